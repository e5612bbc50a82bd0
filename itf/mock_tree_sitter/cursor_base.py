"""Moves of a tree cursor: to a child, a sibling, the parent, or any descendant."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NoReturn, SupportsIndex

from itf.mock_tree_sitter.lookup import Measure, byte_of, bytes_of, first_after, points_of
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.points import point_of

__all__ = ["CursorBase"]

__unittest = True


class CursorBase:
    """Base of `TreeCursor`: everything that neither takes nor returns a node."""

    __slots__ = ("_depth", "_node", "_number", "_root", "_table", "_tree_id")

    _tree_id: int
    _table: NodeTable
    # Indexes of the cursor's start node and of its current node.
    _root: int
    _number: int
    _depth: int
    # The view that `TreeCursor.node` returned for the current node; None after a move.
    _node: Any

    @property
    def field_id(self) -> int | None:
        """Number of the field that the node is in its parent; None if it has no field."""
        return (self._table.fields[self._number] or None) if self._depth else None

    @property
    def field_name(self) -> str | None:
        """Name of the field that the node is in its parent; None if it has no field."""
        field = self.field_id
        return None if field is None else self._table.grammar.fields[field]

    @property
    def depth(self) -> int:
        """Number of levels between the cursor's start node and its current node."""
        return self._depth

    @property
    def descendant_index(self) -> int:
        """Index of the current node in a preorder walk from the cursor's start node."""
        return self._number - self._root

    def goto_first_child(self) -> bool:
        """Move to the first child; without children, stay and return False."""
        if self._table.sizes[self._number] == 1:
            return False
        return self._move_to(self._number + 1, self._depth + 1)

    def goto_last_child(self) -> bool:
        """Move to the last child; without children, stay and return False."""
        table, number = self._table, self._number
        if table.sizes[number] == 1:
            return False
        last = number + table.sizes[number] - 1
        while table.parents[last] != number:
            last = table.parents[last]
        return self._move_to(last, self._depth + 1)

    def goto_parent(self) -> bool:
        """Move to the parent; at the cursor's start node, stay and return False."""
        if not self._depth:
            return False
        return self._move_to(self._table.parents[self._number], self._depth - 1)

    def goto_next_sibling(self) -> bool:
        """Move to the next sibling; without one, stay and return False."""
        sibling = self._table.next_sibling(self._number) if self._depth else None
        return sibling is not None and self._move_to(sibling, self._depth)

    def goto_previous_sibling(self) -> bool:
        """Move to the previous sibling; without one, stay and return False."""
        sibling = self._table.previous_sibling(self._number) if self._depth else None
        return sibling is not None and self._move_to(sibling, self._depth)

    def goto_descendant(self, index: SupportsIndex, /) -> None:
        """Move to the node with this `descendant_index`, or to the start node if there is none."""
        wanted = operator.index(index)
        inside = 0 <= wanted < self._table.sizes[self._root]
        number = self._root + wanted if inside else self._root
        depth, above = 0, number
        while above != self._root:
            above = self._table.parents[above]
            depth += 1
        self._move_to(number, depth)

    def goto_first_child_for_byte(self, byte: SupportsIndex, /) -> int | None:
        """Move to the first child that ends after a byte.

        Returns:
            The child's index; None if no child does, and then the cursor stays.
        """
        return self._move_to_child_after(byte_of(byte), bytes_of)

    def goto_first_child_for_point(self, point: tuple[int, int], /) -> int | None:
        """Move to the first child that ends after a point.

        Returns:
            The child's index; None if no child does, and then the cursor stays.
        """
        return self._move_to_child_after(point_of(point), points_of)

    def _move_to(self, number: int, depth: int) -> bool:
        self._number, self._depth = number, depth
        self._node = None
        return True

    def _move_to_child_after(self, position: Any, measure: Measure) -> int | None:
        children: Sequence[int] = self._table.children(self._number)
        index = first_after(self._table, children, position, measure)
        if index == len(children):
            return None
        self._move_to(children[index], self._depth + 1)
        return index

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle '{type(self).__name__}' object; send the source instead")
