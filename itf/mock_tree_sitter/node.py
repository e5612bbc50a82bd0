"""Nodes of a tree and cursors over a tree, with the API of py-tree-sitter.

A node makes cursors and a cursor makes nodes, so both classes are in this module.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

from itf.mock_tree_sitter.cursor_base import CursorBase
from itf.mock_tree_sitter.lookup import (
    Measure,
    byte_of,
    bytes_of,
    first_after,
    points_of,
    smallest,
)
from itf.mock_tree_sitter.node_base import NodeBase
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.points import Edit, point_of

__all__ = ["Node", "TreeCursor", "node_of"]

__unittest = True


class Node(NodeBase):
    """View of one node of a tree, created on each access.

    Two views of the same node are equal and have the same hash.  Nodes of
    different trees are never equal.

    Thread safety: every method except `edit`, from any thread.
    """

    __slots__ = ("_children",)

    # The list that `children` returned before; None until then.
    _children: list[Node] | None

    def __init__(self) -> None:
        raise TypeError(
            f"cannot create '{type(self).__name__}' instances; use the root_node of a Tree"
        )

    @property
    def children(self) -> list[Node]:
        """Child nodes, in order."""
        if self._children is None:
            self._children = [self._at(child) for child in self._table.children(self._number)]
        return self._children

    @property
    def child_count(self) -> int:
        """Number of child nodes."""
        return len(self._table.children(self._number))

    @property
    def named_children(self) -> list[Node]:
        """Child nodes that are named, in order."""
        return [self._at(child) for child in self._named()]

    @property
    def named_child_count(self) -> int:
        """Number of child nodes that are named."""
        return len(self._named())

    @property
    def parent(self) -> Node | None:
        """Parent node; None for the root."""
        return self._at(self._table.parents[self._number]) if self._number else None

    @property
    def next_sibling(self) -> Node | None:
        """Next node with the same parent; None if there is none."""
        return self._maybe(self._table.next_sibling(self._number))

    @property
    def prev_sibling(self) -> Node | None:
        """Previous node with the same parent; None if there is none."""
        return self._maybe(self._table.previous_sibling(self._number))

    @property
    def next_named_sibling(self) -> Node | None:
        """Next named node with the same parent; None if there is none."""
        return self._first_named(self._table.next_sibling)

    @property
    def prev_named_sibling(self) -> Node | None:
        """Previous named node with the same parent; None if there is none."""
        return self._first_named(self._table.previous_sibling)

    def walk(self) -> TreeCursor:
        """Return a cursor over the subtree of this node."""
        cursor: TreeCursor = object.__new__(TreeCursor)
        cursor.reset(self)
        return cursor

    def child(self, index: SupportsIndex, /) -> Node:
        """Return the child with this index.

        Raises:
            IndexError: The node has fewer children.
            ValueError: ``index`` is negative.
        """
        return self._at(_pick(self._table.children(self._number), index))

    def named_child(self, index: SupportsIndex, /) -> Node:
        """Return the named child with this index among the named children.

        Raises:
            IndexError: The node has fewer named children.
            ValueError: ``index`` is negative.
        """
        return self._at(_pick(self._named(), index))

    def child_by_field_name(self, name: str, /) -> Node | None:
        """Return the first child that has the field of this name; None if there is none."""
        return self.child_by_field_id(self._field_id(name))

    def child_by_field_id(self, id: int, /) -> Node | None:
        """Return the first child that has the field of this number; None if there is none."""
        found = self.children_by_field_id(id)
        return found[0] if found else None

    def children_by_field_name(self, name: str, /) -> list[Node]:
        """Return all children that have the field of this name."""
        return self.children_by_field_id(self._field_id(name))

    def children_by_field_id(self, id: int, /) -> list[Node]:
        """Return all children that have the field of this number."""
        fields = self._table.fields
        wanted = operator.index(id)
        if wanted == 0:
            return []
        return [
            self._at(child)
            for child in self._table.children(self._number)
            if fields[child] == wanted
        ]

    def field_name_for_child(self, child_index: SupportsIndex, /) -> str | None:
        """Return the field name of the child with this index; None if the child has no field.

        Raises:
            IndexError: The node has fewer children.
            ValueError: ``child_index`` is negative.
        """
        return self._field(_pick(self._table.children(self._number), child_index))

    def field_name_for_named_child(self, child_index: SupportsIndex, /) -> str | None:
        """Return the field name of the named child with this index; None if it has no field.

        Raises:
            IndexError: The node has fewer named children.
            ValueError: ``child_index`` is negative.
        """
        return self._field(_pick(self._named(), child_index))

    def child_with_descendant(self, descendant: Node, /) -> Node | None:
        """Return the child whose subtree contains a node; None if there is none."""
        if not isinstance(descendant, Node):
            raise TypeError(
                "child_with_descendant() argument 1 must be a Node, "
                f"not {type(descendant).__name__}"
            )
        table, number = self._table, descendant._number
        end = self._number + table.sizes[self._number]
        if descendant._tree_id != self._tree_id or not self._number < number < end:
            return None
        while table.parents[number] != self._number:
            number = table.parents[number]
        return self._at(number)

    def first_child_for_byte(self, byte: int, /) -> Node | None:
        """Return the first child that ends after a byte; None if there is none."""
        return self._first_after(byte, self._table.children(self._number))

    def first_named_child_for_byte(self, byte: int, /) -> Node | None:
        """Return the first named child that ends after a byte; None if there is none."""
        return self._first_after(byte, self._named())

    def descendant_for_byte_range(self, start_byte: int, end_byte: int, /) -> Node | None:
        """Return the smallest node in the subtree that contains a byte range."""
        return self._smallest(byte_of(start_byte), byte_of(end_byte), bytes_of, named=False)

    def named_descendant_for_byte_range(self, start_byte: int, end_byte: int, /) -> Node | None:
        """Return the smallest named node in the subtree that contains a byte range."""
        return self._smallest(byte_of(start_byte), byte_of(end_byte), bytes_of, named=True)

    def descendant_for_point_range(
        self, start_point: tuple[int, int], end_point: tuple[int, int], /
    ) -> Node | None:
        """Return the smallest node in the subtree that contains a range of points."""
        return self._smallest(point_of(start_point), point_of(end_point), points_of, named=False)

    def named_descendant_for_point_range(
        self, start_point: tuple[int, int], end_point: tuple[int, int], /
    ) -> Node | None:
        """Return the smallest named node in the subtree that contains a range of points."""
        return self._smallest(point_of(start_point), point_of(end_point), points_of, named=True)

    def edit(  # noqa: PLR0917 - as tree-sitter has it
        self,
        start_byte: int,
        old_end_byte: int,
        new_end_byte: int,
        start_point: tuple[int, int],
        old_end_point: tuple[int, int],
        new_end_point: tuple[int, int],
    ) -> None:
        """Adjust the position of this view to an edit of the source.

        `Tree.edit` adjusts only nodes that are read from the tree afterwards.
        Call this method on nodes that were read before.
        """
        edit = Edit.of(
            start_byte, old_end_byte, new_end_byte, start_point, old_end_point, new_end_point
        )
        self._edits = (*self._edits, edit)

    def _at(self, number: int) -> Node:
        return node_of(self._tree_id, self._table, number)

    def _maybe(self, number: int | None) -> Node | None:
        return None if number is None else self._at(number)

    def _named(self) -> list[int]:
        table = self._table
        is_named, kinds = table.grammar.is_named, table.kinds
        return [child for child in table.children(self._number) if is_named(kinds[child])]

    def _first_named(self, step: Callable[[int], int | None]) -> Node | None:
        """Return the first named node that repeated steps from this node reach."""
        table = self._table
        number = step(self._number)
        while number is not None and not table.grammar.is_named(table.kinds[number]):
            number = step(number)
        return self._maybe(number)

    def _field_id(self, name: object) -> int:
        if not isinstance(name, str | bytes):
            raise TypeError(f"a field's name is a str, not {type(name).__name__}")
        text = name.decode() if isinstance(name, bytes) else name
        return self._table.grammar.field_ids.get(text, 0)

    def _field(self, child: int) -> str | None:
        return self._table.grammar.fields[self._table.fields[child]] or None

    def _first_after(self, byte: SupportsIndex, children: Sequence[int]) -> Node | None:
        index = first_after(self._table, children, byte_of(byte), bytes_of)
        return self._at(children[index]) if index < len(children) else None

    def _smallest(self, start: Any, end: Any, measure: Measure, *, named: bool) -> Node | None:
        return self._maybe(smallest(self._table, self._number, start, end, measure, named=named))


class TreeCursor(CursorBase):
    """Position in a tree that moves from node to node.

    A cursor stays in the subtree of its start node: there, it has no parent
    and no siblings.

    Thread safety: use each cursor from one thread.
    """

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError(
            f"cannot create '{type(self).__name__}' instances; call walk() of a Tree or a Node"
        )

    @property
    def node(self) -> Node | None:
        """Current node."""
        if self._node is None:
            self._node = node_of(self._tree_id, self._table, self._number)
        return self._node  # type: ignore[no-any-return]

    def copy(self) -> TreeCursor:
        """Return another cursor with the same position and the same start node."""
        other: TreeCursor = object.__new__(TreeCursor)
        other.reset_to(self)
        return other

    __copy__ = copy

    def reset(self, node: Node, /) -> None:
        """Make a node of any tree the start node, and move there."""
        if not isinstance(node, Node):
            raise TypeError(f"reset() argument 1 must be a Node, not {type(node).__name__}")
        self._tree_id, self._table = node._tree_id, node._table
        self._root = node._number
        self._move_to(node._number, 0)

    def reset_to(self, cursor: TreeCursor, /) -> None:
        """Copy the position and the start node of another cursor."""
        if not isinstance(cursor, TreeCursor):
            raise TypeError(
                f"reset_to() argument 1 must be a TreeCursor, not {type(cursor).__name__}"
            )
        self._tree_id, self._table = cursor._tree_id, cursor._table
        self._root = cursor._root
        self._move_to(cursor._number, cursor._depth)


def node_of(tree_id: int, table: NodeTable, number: int) -> Node:
    """Return a view of the node with this number."""
    node: Node = object.__new__(Node)
    node._tree_id = tree_id
    node._table = table
    node._number = number
    node._edits = ()
    node._children = None
    return node


def _pick(numbers: Sequence[int], index: SupportsIndex) -> int:
    """Return the item with an index, with tree-sitter's errors for a bad index."""
    position = operator.index(index)
    if position < 0:
        raise ValueError("child index must be positive")
    if position >= len(numbers):
        raise IndexError("child index out of range")
    return numbers[position]
