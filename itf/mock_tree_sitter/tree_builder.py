"""Builder that fills a table of nodes in postorder: children first, then their parent."""

from __future__ import annotations

from array import array

from itf.mock_tree_sitter.grammar import ERROR, Grammar
from itf.mock_tree_sitter.node_table import NodeTable

__all__ = ["TreeBuilder"]

__unittest = True

# Nodes to collect before they move to the table.  A move has a fixed cost of a few
# nodes, so moving after each statement would be slower.
_STORE_BATCH = 1000


class TreeBuilder:
    """Collects nodes in postorder and converts them to the preorder of `NodeTable`.

    A left-to-right parser knows the kind of a node only after its last token:
    ``a`` can turn out to be a name, an operand, or the function of a call.  So
    the builder numbers nodes by their end.  To begin a node, the parser
    remembers the next number, called a mark (`mark`, usually in a variable
    ``low``).  To end the node, the parser passes the mark to `node`; all nodes
    added since the mark become descendants.

    Extras (comments, line continuations) are deferred until the next token.
    If a node ends before that token, the extra follows the node and is not
    inside the node.

    Thread safety: use each builder from one thread.
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
        # Number of each node's first descendant; the node's own number for a leaf.
        self._lows = array("I")
        self._fields = array("B")
        self._missing: set[int] = set()

    def defer_extra(self, kind: str, start: int, end: int) -> None:
        """Remember a comment or another extra; the next token adds it to the tree."""
        self._deferred.append((self._ids[kind], start, end))

    def flush_extras(self) -> None:
        """Add the deferred extras to the tree, before the next node."""
        deferred, self._deferred = self._deferred, []
        for kind, start, end in deferred:
            self.leaf(kind, start, end)

    def mark(self) -> int:
        """Return the number of the next node, to pass as ``low`` when a node ends."""
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
        """Make a rule's node the parent of all nodes since a mark; there must be one."""
        number = len(self._kinds)
        self._kinds.append(self._ids[kind])
        self._starts.append(self._starts[low])
        self._ends.append(self._ends[number - 1])
        self._lows.append(low)
        self._fields.append(0)
        return number

    def token_node(self, token: str, low: int) -> int:
        """Make a token's node the parent of all nodes since a mark, such as for ``not in``."""
        number = self.node("ERROR", low)
        self._kinds[number] = self.grammar.token_ids[token]
        return number

    def span(self, kind: str, low: int, start: int, end: int) -> int:
        """Make a node with a given byte range the parent of all nodes since a mark, if any."""
        number = len(self._kinds)
        self._kinds.append(self._ids[kind])
        self._starts.append(start)
        self._ends.append(end)
        self._lows.append(low)
        self._fields.append(0)
        return number

    def empty(self, kind: str) -> int:
        """Add a node of length 0 where the last node ends; extras stay deferred."""
        end = self.last_end()
        return self.span(kind, len(self._kinds), end, end)

    def missing(self, token: str, position: int) -> int:
        """Add a node of length 0 for a token that the grammar requires and the source lacks."""
        number = self.span("ERROR", len(self._kinds), position, position)
        self._kinds[number] = self.grammar.token_ids[token]
        self._missing.add(number)
        return number

    def set_field(self, number: int, field: str) -> None:
        """Set the field that a node will have in its parent."""
        self._fields[number] = self._field_ids[field]

    def clear_field(self, number: int) -> None:
        """Remove the field that `set_field` set."""
        self._fields[number] = 0

    def kind_of(self, number: int) -> int:
        """Return the number of a node's kind."""
        return self._kinds[number]

    def set_kind(self, number: int, kind: str) -> None:
        """Change the kind of a node, when later tokens show what the node is."""
        self._kinds[number] = self._ids[kind]

    def set_token_kind(self, number: int, token: str) -> None:
        """Change the kind of a leaf to a token, such as a name to a soft keyword."""
        self._kinds[number] = self.grammar.token_ids[token]

    def children(self, number: int) -> list[int]:
        """Return the children of a node in reverse order."""
        found = []
        low, child = self._lows[number], number - 1
        while child >= low:
            found.append(child)
            child = self._lows[child] - 1
        return found

    def is_single(self, low: int, number: int) -> bool:
        """Return whether a node and its descendants are the only nodes since a mark."""
        return number == len(self._kinds) - 1 and self._lows[number] == low

    def roots(self, low: int) -> list[int]:
        """Return the nodes since a mark that have no parent yet, in reverse order."""
        found, number = [], len(self._kinds) - 1
        while number >= low:
            found.append(number)
            number = self._lows[number] - 1
        return found

    def last_low(self) -> int:
        """Return the number of the last node's first descendant."""
        return self._lows[-1]

    def unwrap(self) -> int:
        """Remove the last node but keep its children; return the mark of the removed node."""
        low = self._lows[-1]
        for column in (self._kinds, self._starts, self._ends, self._lows, self._fields):
            column.pop()
        return low

    def last_end(self) -> int:
        """Return the offset after the last node's last byte."""
        return self._ends[-1] if self._ends else 0

    def store_when_full(self) -> None:
        """Move the collected nodes to the table if there are many.

        Call only between top-level statements: nodes in the table can get no
        parent other than the root.
        """
        if len(self._kinds) >= _STORE_BATCH:
            self._store()

    def _store(self) -> None:
        """Move the collected nodes to the table, below its root, from postorder to preorder."""
        count = len(self._kinds)
        table = self._table
        base = table.extend(count)
        kinds, starts, ends, sizes = table.kinds, table.starts, table.ends, table.sizes
        parents, fields = table.parents, table.fields
        lows = self._lows
        # Backwards through postorder, each parent comes before its children.  The
        # stacks hold the ancestors of the current node.  In preorder, a node follows
        # its ancestors and every node that ends before its first descendant.
        open_lows: list[int] = []
        open_targets: list[int] = [0]
        error_nodes: list[int] = []
        for number in range(count - 1, -1, -1):
            low = lows[number]
            while open_lows and open_lows[-1] > number:
                open_lows.pop()
                open_targets.pop()
            target = base + low + len(open_lows)
            kind = self._kinds[number]
            kinds[target] = kind
            starts[target] = self._starts[number]
            ends[target] = self._ends[number]
            sizes[target] = number - low + 1
            parents[target] = open_targets[-1]
            fields[target] = self._fields[number]
            if kind == ERROR or number in self._missing:
                error_nodes.append(target)
                if kind != ERROR:
                    table.missing.add(target)
            if low < number:
                open_lows.append(low)
                open_targets.append(target)
        table.error_nodes.extend(sorted(error_nodes))
        for column in (self._kinds, self._starts, self._ends, self._lows, self._fields):
            del column[:]
        self._missing.clear()

    def finish(self) -> NodeTable:
        """Move all remaining nodes to the table, and return the table."""
        self.flush_extras()
        self._store()
        table = self._table
        table.sizes[0] = len(table.kinds)
        # As in tree-sitter, the root begins at the first node, not at offset 0.
        source = table.source
        table.starts[0] = table.starts[1] if len(table.kinds) > 1 else len(source)
        return table
