"""Storage of all nodes of a tree in arrays of numbers, about twenty bytes per node."""

from __future__ import annotations

import copy
import re
from array import array
from bisect import bisect_left, bisect_right

from itf.mock_tree_sitter.grammar import Grammar
from itf.mock_tree_sitter.points import Edit, Point

__all__ = ["NodeTable"]

__unittest = True

# Number of children above which a node's child list is cached.  Without the cache,
# a loop over child(0), child(1), ... takes quadratic time.
_CACHE_CHILDREN_ABOVE = 16


class NodeTable:
    """All nodes of a tree in preorder; the root has number 0.

    The descendants of node n have the numbers n + 1 to n + ``sizes[n]`` - 1.

    Thread safety: any number of threads can read a table that is complete.
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
        # Numbers of the nodes that are an ERROR or missing, ascending.
        self.error_nodes = array("I")
        self.missing: set[int] = set()
        # Edits since the parse.  They are applied when a position is read; the arrays
        # do not change, because edited copies share them.
        self.edits: tuple[Edit, ...] = ()
        # Added to every position, for Tree.root_node_with_offset; None for no offset.
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
        """Add nodes filled with zeros, and return the number of the first."""
        base = len(self.kinds)
        for column in (self.kinds, self.starts, self.ends, self.sizes, self.parents, self.fields):
            column.frombytes(bytes(column.itemsize * count))
        return base

    def edited(self, edit: Edit) -> NodeTable:
        """Return a copy with one more edit of the source."""
        other = copy.copy(self)
        other.edits = (*self.edits, edit)
        return other

    def with_offset(self, offset: Edit) -> NodeTable:
        """Return a copy whose positions are all moved by an offset."""
        other = copy.copy(self)
        other.offset = offset
        return other

    def span(self, number: int) -> tuple[int, int]:
        """Return the offset of a node's first byte and the offset after its last byte."""
        if not self.edits and self.offset is None:
            return self.starts[number], self.ends[number]
        (start, _), (end, _) = self.positions(number)
        return start, end

    def positions(self, number: int, edits: int | None = None) -> tuple[tuple[int, Point], ...]:
        """Return start and end of a node, each as a byte and a point.

        Args:
            number: Number of the node.
            edits: How many of the edits to apply, from the first; None for all.
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
        """Return whether an edit touched a node or the white space before the node."""
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
            # No lock: two threads that get here at once compute the same array.
            starts = array("I", [0])
            newline = self.newline
            starts.extend(
                match.end()
                for match in re.finditer(re.escape(newline), self.source)
                # In UTF-16, the newline's bytes can also span two other characters.
                if match.start() % len(newline) == 0
            )
            self._line_starts = starts
        row = bisect_right(starts, offset) - 1
        return Point(row, offset - starts[row])

    def children(self, number: int) -> array[int]:
        """Return the numbers of a node's children, ascending."""
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
        """Return the number of the next node with the same parent; None if there is none."""
        if number == 0:
            return None
        parent, following = self.parents[number], number + self.sizes[number]
        return following if following < parent + self.sizes[parent] else None

    def previous_sibling(self, number: int) -> int | None:
        """Return the number of the previous node with the same parent; None if there is none."""
        if number == 0:
            return None
        parent, previous = self.parents[number], number - 1
        if previous == parent:
            return None
        while self.parents[previous] != parent:
            previous = self.parents[previous]
        return previous

    def has_error_below(self, number: int) -> bool:
        """Return whether the subtree of a node contains an ERROR or a missing node."""
        errors = self.error_nodes
        first = bisect_left(errors, number)
        return first < len(errors) and errors[first] < number + self.sizes[number]
