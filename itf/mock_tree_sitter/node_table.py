"""The nodes of a tree in columns of numbers: some twenty bytes a node."""

from __future__ import annotations

import copy
import re
from array import array
from bisect import bisect_left, bisect_right

from itf.mock_tree_sitter.grammar import Grammar
from itf.mock_tree_sitter.points import Edit, Point

__all__ = ["NodeTable"]

__unittest = True

# A node with more children than this remembers where they are, once somebody
# has asked for one of them by its place: asking for each would else take the
# square of their number.
_CACHE_CHILDREN_ABOVE = 16


class NodeTable:
    """All nodes of a tree, in the order in which they begin; the root is number 0.

    The nodes below number n are those from n + 1 up to n + ``sizes[n]``.

    Thread safety: once it is filled, any thread may read it.
    """

    def __init__(self, source: bytes, grammar: Grammar) -> None:
        self.source = source
        self.newline = b"\n"
        self.grammar = grammar
        self.kinds = array("H")
        self.starts = array("I")
        self.ends = array("I")
        self.sizes = array("I")
        self.parents = array("I")
        self.fields = array("B")
        # The numbers of nodes that are an ERROR or missing, in order.
        self.error_nodes = array("I")
        self.missing: set[int] = set()
        # What happened to the source since; the columns stay as they are.
        self.edits: tuple[Edit, ...] = ()
        # Whether the nodes lie where the source has them.
        self.offset: Edit | None = None
        self._line_starts: array[int] | None = None
        self._children: dict[int, array[int]] = {}

    def append(self, kind: int, start: int, end: int, parent: int, field: int) -> None:
        """Add one node."""
        self.kinds.append(kind)
        self.starts.append(start)
        self.ends.append(end)
        self.sizes.append(1)
        self.parents.append(parent)
        self.fields.append(field)

    def extend(self, count: int) -> int:
        """Make room for so many nodes, and return the number of the first."""
        base = len(self.kinds)
        for column in (self.kinds, self.starts, self.ends, self.sizes, self.parents, self.fields):
            column.frombytes(bytes(column.itemsize * count))
        return base

    def edited(self, edit: Edit) -> NodeTable:
        """Return the same nodes after an edit of the source."""
        other = copy.copy(self)
        other.edits = (*self.edits, edit)
        return other

    def with_offset(self, offset: Edit) -> NodeTable:
        """Return the same nodes further on, as if something stood before them."""
        other = copy.copy(self)
        other.offset = offset
        return other

    def span(self, number: int) -> tuple[int, int]:
        """Return the bytes at which a node begins and ends."""
        if not self.edits and self.offset is None:
            return self.starts[number], self.ends[number]
        (start, _), (end, _) = self.positions(number)
        return start, end

    def positions(self, number: int, edits: int | None = None) -> tuple[tuple[int, Point], ...]:
        """Return where a node begins and ends, each as a byte and a point.

        Args:
            number: The node.
            edits: How many of the edits count; None for all.
        """
        start, end = self.starts[number], self.ends[number]
        first, last = (start, self.point(start)), (end, self.point(end))
        for edit in self.edits[:edits]:
            behind = first[0] >= edit.old_end_byte or last[0] >= edit.old_end_byte
            last = edit.shift(*last) if behind else edit.apply(*last)
            first = edit.apply(*first)
        if self.offset is not None:
            first, last = self.offset.shift(*first), self.offset.shift(*last)
        return first, last

    def has_changes(self, number: int) -> bool:
        """Say whether an edit touched a node, or the space before it."""
        for count, edit in enumerate(self.edits):
            end = self.positions(number, count)[1][0]
            if end < edit.start_byte:
                continue
            node, previous = number, self.previous_sibling(number)
            while previous is None and node:
                node = self.parents[node]
                previous = self.previous_sibling(node)
            left = 0 if previous is None else self.positions(previous, count)[1][0]
            if left < edit.old_end_byte or (left == edit.old_end_byte and node != number):
                return True
            if previous is None:
                return True
        return False

    def point(self, offset: int) -> Point:
        """Return the row and column of a byte."""
        starts = self._line_starts
        if starts is None:
            # Two threads that come first find the same.
            starts = array("I", [0])
            newline = self.newline
            starts.extend(
                match.end()
                for match in re.finditer(re.escape(newline), self.source)
                # In UTF-16, half of one character and half of the next are no newline.
                if match.start() % len(newline) == 0
            )
            self._line_starts = starts
        row = bisect_right(starts, offset) - 1
        return Point(row, offset - starts[row])

    def children(self, number: int) -> array[int]:
        """Return the numbers of a node's children, in order."""
        known = self._children.get(number)
        if known is not None:
            return known
        found = array("I")
        sizes = self.sizes
        child, end = number + 1, number + sizes[number]
        while child < end:
            found.append(child)
            child += sizes[child]
        if len(found) > _CACHE_CHILDREN_ABOVE:
            self._children[number] = found
        return found

    def next_sibling(self, number: int) -> int | None:
        """Return the node after this one below the same parent."""
        if number == 0:
            return None
        parent, following = self.parents[number], number + self.sizes[number]
        return following if following < parent + self.sizes[parent] else None

    def previous_sibling(self, number: int) -> int | None:
        """Return the node before this one below the same parent."""
        if number == 0:
            return None
        parent, previous = self.parents[number], number - 1
        if previous == parent:
            return None
        while self.parents[previous] != parent:
            previous = self.parents[previous]
        return previous

    def has_error_below(self, number: int) -> bool:
        """Say whether a node or one below it is an ERROR or missing."""
        place = bisect_left(self.error_nodes, number)
        return (
            place < len(self.error_nodes) and self.error_nodes[place] < number + self.sizes[number]
        )
