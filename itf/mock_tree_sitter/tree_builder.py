"""Trees as they grow: children first, then what they are the children of."""

from __future__ import annotations

from array import array

from itf.mock_tree_sitter.grammar import ERROR, Grammar
from itf.mock_tree_sitter.node_table import NodeTable

__all__ = ["TreeBuilder"]

__unittest = True

# So many nodes are stored at once: to begin anew costs as much as some nodes.
_STORE_BATCH = 1000


class TreeBuilder:
    """Collects the nodes of a tree, each after its children.

    A parser that reads from left to right knows what a node is when it has seen
    the whole of it: ``a`` is a name, an operand, or what is called, as the text
    goes on.  So nodes are numbered here in the order in which they end, and a
    node is made of all that came from a certain number on.  `NodeTable` has
    them in the order in which they begin.

    What may stand anywhere, such as a comment, waits until the next token comes:
    if a node ends before that, the comment lies behind the node, not in it.

    Thread safety: one thread.
    """

    def __init__(self, source: bytes, grammar: Grammar, root: str) -> None:
        self.grammar = grammar
        self._ids = grammar.ids
        self._field_ids = grammar.field_ids
        self._deferred: list[tuple[int, int, int]] = []
        self._table = NodeTable(source, grammar)
        self._table.append(self._ids[root], 0, len(source), 0, 0)
        self._kinds = array("H")
        self._starts = array("I")
        self._ends = array("I")
        # The first node below each node; of one without children, itself.
        self._lows = array("I")
        self._fields = array("B")
        self._missing: set[int] = set()

    def defer_extra(self, kind: str, start: int, end: int) -> None:
        """Take something that may stand anywhere, for when the next token comes."""
        self._deferred.append((self._ids[kind], start, end))

    def flush_extras(self) -> None:
        """Put down what waits, so that it lies in front of what comes next."""
        deferred, self._deferred = self._deferred, []
        for kind, start, end in deferred:
            self.leaf(kind, start, end)

    def mark(self) -> int:
        """Return where the next node begins."""
        if self._deferred:
            self.flush_extras()
        return len(self._kinds)

    def leaf(self, kind: int, start: int, end: int) -> int:
        """Add a node without children, and return its number."""
        if self._deferred:
            self.flush_extras()
        number = len(self._kinds)
        self._kinds.append(kind)
        self._starts.append(start)
        self._ends.append(end)
        self._lows.append(number)
        self._fields.append(0)
        return number

    def node(self, kind: str, low: int) -> int:
        """Make one node of all from a mark on, of which there is at least one."""
        number = len(self._kinds)
        self._kinds.append(self._ids[kind])
        self._starts.append(self._starts[low])
        self._ends.append(self._ends[number - 1])
        self._lows.append(low)
        self._fields.append(0)
        return number

    def token_node(self, token: str, low: int) -> int:
        """Make one node of all from a mark on, that is a piece of text, not a rule."""
        number = self.node("ERROR", low)
        self._kinds[number] = self.grammar.token_ids[token]
        return number

    def span(self, kind: str, low: int, start: int, end: int) -> int:
        """Make one node of all from a mark on, if there is any, that has these bytes."""
        number = len(self._kinds)
        self._kinds.append(self._ids[kind])
        self._starts.append(start)
        self._ends.append(end)
        self._lows.append(low)
        self._fields.append(0)
        return number

    def empty(self, kind: str) -> int:
        """Add a node without anything in it, where the last one ends; what waits, waits on."""
        end = self.last_end()
        return self.span(kind, len(self._kinds), end, end)

    def missing(self, token: str, position: int) -> int:
        """Add a token that should be there, and is not."""
        number = self.span("ERROR", len(self._kinds), position, position)
        self._kinds[number] = self.grammar.token_ids[token]
        self._missing.add(number)
        return number

    def set_field(self, number: int, field: str) -> None:
        """Say what a node is to its parent-to-be."""
        self._fields[number] = self._field_ids[field]

    def clear_field(self, number: int) -> None:
        """Take back what a node was to be to its parent."""
        self._fields[number] = 0

    def kind_of(self, number: int) -> int:
        """Return the number of a node's kind."""
        return self._kinds[number]

    def set_kind(self, number: int, kind: str) -> None:
        """Let a node be of another kind: what it is shows late."""
        self._kinds[number] = self._ids[kind]

    def set_token_kind(self, number: int, token: str) -> None:
        """Let a leaf be a piece of text, not a rule."""
        self._kinds[number] = self.grammar.token_ids[token]

    def children(self, number: int) -> list[int]:
        """Return the children of a node, last first."""
        found = []
        low, child = self._lows[number], number - 1
        while child >= low:
            found.append(child)
            child = self._lows[child] - 1
        return found

    def is_single(self, low: int, number: int) -> bool:
        """Say whether a node is all that there is from a mark on."""
        return number == len(self._kinds) - 1 and self._lows[number] == low

    def roots(self, low: int) -> list[int]:
        """Return the nodes from a mark on that have no parent yet, last first."""
        found, number = [], len(self._kinds) - 1
        while number >= low:
            found.append(number)
            number = self._lows[number] - 1
        return found

    def last_low(self) -> int:
        """Return where the last node begins."""
        return self._lows[-1]

    def unwrap(self) -> int:
        """Take the last node back, not those in it; return where it began."""
        low = self._lows[-1]
        for column in (self._kinds, self._starts, self._ends, self._lows, self._fields):
            column.pop()
        return low

    def last_end(self) -> int:
        """Return the byte at which the last node ends."""
        return self._ends[-1] if self._ends else 0

    def store_when_full(self) -> None:
        """Let go of what is done: nothing that follows is a part of the nodes so far."""
        if len(self._kinds) >= _STORE_BATCH:
            self._store()

    def _store(self) -> None:
        """Put all nodes so far into the table, as children of its root, and begin anew."""
        count = len(self._kinds)
        table = self._table
        base = table.extend(count)
        kinds, starts, ends, sizes = table.kinds, table.starts, table.ends, table.sizes
        parents, fields = table.parents, table.fields
        lows = self._lows
        # Backwards: a node before its children.  Those above the present one are
        # open; its place in the table is behind them and all that ended before.
        open_lows: list[int] = []
        open_places: list[int] = [0]
        error_nodes: list[int] = []
        for number in range(count - 1, -1, -1):
            low = lows[number]
            while open_lows and open_lows[-1] > number:
                open_lows.pop()
                open_places.pop()
            place = base + low + len(open_lows)
            kind = self._kinds[number]
            kinds[place] = kind
            starts[place] = self._starts[number]
            ends[place] = self._ends[number]
            sizes[place] = number - low + 1
            parents[place] = open_places[-1]
            fields[place] = self._fields[number]
            if kind == ERROR or number in self._missing:
                error_nodes.append(place)
                if kind != ERROR:
                    table.missing.add(place)
            if low < number:
                open_lows.append(low)
                open_places.append(place)
        table.error_nodes.extend(sorted(error_nodes))
        for column in (self._kinds, self._starts, self._ends, self._lows, self._fields):
            del column[:]
        self._missing.clear()

    def finish(self) -> NodeTable:
        """Return the table, once all is in it."""
        self.flush_extras()
        self._store()
        table = self._table
        table.sizes[0] = len(table.kinds)
        # The root begins where the first node does, as tree-sitter's does.
        source = table.source
        table.starts[0] = table.starts[1] if len(table.kinds) > 1 else len(source)
        return table
