"""A place in a tree that moves from node to node, as tree-sitter's Python API has it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from itf.mock_tree_sitter.lookup import Measure, byte_of, bytes_of, first_after, points_of
from itf.mock_tree_sitter.node import Node, node_of
from itf.mock_tree_sitter.points import point_of

if TYPE_CHECKING:
    from itf.mock_tree_sitter.node_table import NodeTable
    from itf.mock_tree_sitter.tree import Tree

__all__ = ["TreeCursor", "cursor_at"]

__unittest = True


class TreeCursor:
    """A node of a tree at a time, from the one where it began downwards.

    It never leaves that one: it has no parent and no siblings to the cursor.

    Thread safety: one thread for each cursor.
    """

    __slots__ = ("_depth", "_node", "_number", "_root", "_table", "_tree")

    _tree: Tree
    _table: NodeTable
    _root: int
    _number: int
    _depth: int
    _node: Node | None

    def __init__(self) -> None:
        raise TypeError(
            f"cannot create '{type(self).__name__}' instances; ask a Tree or a Node to walk()"
        )

    @property
    def node(self) -> Node | None:
        """The node where it is."""
        if self._node is None:
            self._node = node_of(self._tree, self._table, self._number)
        return self._node

    @property
    def field_id(self) -> int | None:
        """The number of what the node is to its parent; None if it has no field."""
        return (self._table.fields[self._number] or None) if self._depth else None

    @property
    def field_name(self) -> str | None:
        """What the node is to its parent; None if it has no field."""
        field = self.field_id
        return None if field is None else self._table.grammar.fields[field]

    @property
    def depth(self) -> int:
        """How many steps it is below the node where it began."""
        return self._depth

    @property
    def descendant_index(self) -> int:
        """How many nodes come before it, from the one where it began on."""
        return self._number - self._root

    def goto_first_child(self) -> bool:
        """Go to the first child; without one stay, and return False."""
        if self._table.sizes[self._number] == 1:
            return False
        return self._go(self._number + 1, self._depth + 1)

    def goto_last_child(self) -> bool:
        """Go to the last child; without one stay, and return False."""
        table, number = self._table, self._number
        if table.sizes[number] == 1:
            return False
        last = number + table.sizes[number] - 1
        while table.parents[last] != number:
            last = table.parents[last]
        return self._go(last, self._depth + 1)

    def goto_parent(self) -> bool:
        """Go to the parent; where it began stay, and return False."""
        if not self._depth:
            return False
        return self._go(self._table.parents[self._number], self._depth - 1)

    def goto_next_sibling(self) -> bool:
        """Go to the next node below the same parent; without one stay, and return False."""
        sibling = self._table.next_sibling(self._number) if self._depth else None
        return sibling is not None and self._go(sibling, self._depth)

    def goto_previous_sibling(self) -> bool:
        """Go to the node before below the same parent; without one stay, and return False."""
        sibling = self._table.previous_sibling(self._number) if self._depth else None
        return sibling is not None and self._go(sibling, self._depth)

    def goto_descendant(self, index: SupportsIndex, /) -> None:
        """Go to the node of this `descendant_index`; if there is none, to where it began."""
        wanted = operator.index(index)
        inside = 0 <= wanted < self._table.sizes[self._root]
        number = self._root + wanted if inside else self._root
        depth, above = 0, number
        while above != self._root:
            above = self._table.parents[above]
            depth += 1
        self._go(number, depth)

    def goto_first_child_for_byte(self, byte: SupportsIndex, /) -> int | None:
        """Go to the first child that ends after a byte.

        Returns:
            Which child that is; None, without a move, if there is none.
        """
        return self._go_to_child(byte_of(byte), bytes_of)

    def goto_first_child_for_point(self, point: tuple[int, int], /) -> int | None:
        """Go to the first child that ends after a point.

        Returns:
            Which child that is; None, without a move, if there is none.
        """
        return self._go_to_child(point_of(point), points_of)

    def copy(self) -> TreeCursor:
        """Return another cursor at the same place."""
        other: TreeCursor = object.__new__(TreeCursor)
        other.reset_to(self)
        return other

    __copy__ = copy

    def reset(self, node: Node, /) -> None:
        """Begin anew, at a node of any tree."""
        if not isinstance(node, Node):
            raise TypeError(f"reset() argument 1 must be a Node, not {type(node).__name__}")
        self._tree, self._table = node._tree, node._table
        self._root = node._number
        self._go(node._number, 0)

    def reset_to(self, cursor: TreeCursor, /) -> None:
        """Go to where another cursor is, having begun where it began."""
        if not isinstance(cursor, TreeCursor):
            raise TypeError(
                f"reset_to() argument 1 must be a TreeCursor, not {type(cursor).__name__}"
            )
        self._tree, self._table = cursor._tree, cursor._table
        self._root = cursor._root
        self._go(cursor._number, cursor._depth)

    def _go(self, number: int, depth: int) -> bool:
        self._number, self._depth = number, depth
        self._node = None
        return True

    def _go_to_child(self, place: Any, measure: Measure) -> int | None:
        children: Sequence[int] = self._table.children(self._number)
        found = first_after(self._table, children, place, measure)
        if found == len(children):
            return None
        self._go(children[found], self._depth + 1)
        return found

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle '{type(self).__name__}' object; send the source instead")


def cursor_at(node: Node) -> TreeCursor:
    """Return a cursor that begins at a node."""
    cursor: TreeCursor = object.__new__(TreeCursor)
    cursor.reset(node)
    return cursor
