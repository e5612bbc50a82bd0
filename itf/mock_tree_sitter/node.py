"""A node of a tree, as tree-sitter's Python API has it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from itf.mock_tree_sitter.lookup import (
    Measure,
    byte_of,
    bytes_of,
    first_after,
    points_of,
    s_expression,
    smallest,
)
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.points import Edit, Point, Range, point_of

if TYPE_CHECKING:
    from itf.mock_tree_sitter.cursor import TreeCursor
    from itf.mock_tree_sitter.tree import Tree

__all__ = ["Node", "node_of"]

__unittest = True


class Node:
    """A node of a tree: a view, made when it is asked for.

    Asked for twice, the two are equal and have the same hash; a node of another
    tree is never equal.

    Thread safety: every method but `edit`, from any thread.
    """

    __slots__ = ("_children", "_edits", "_number", "_table", "_tree")

    _tree: Tree
    _table: NodeTable
    _number: int
    _edits: tuple[Edit, ...]
    _children: list[Node] | None

    def __init__(self) -> None:
        raise TypeError(
            f"cannot create '{type(self).__name__}' instances; ask a Tree for its root_node"
        )

    @property
    def id(self) -> int:
        """A number that no other node of any tree has."""
        return self._tree._first_id + self._number

    @property
    def kind_id(self) -> int:
        """The number of its type in its language."""
        return self._table.kinds[self._number]

    grammar_id = kind_id

    @property
    def type(self) -> str:
        """What it is: the name of a rule, or a piece of text such as ``def``."""
        return self._table.grammar.kind(self._table.kinds[self._number])

    grammar_name = type

    @property
    def is_named(self) -> bool:
        """Whether its type is the name of a rule."""
        return self._table.grammar.is_named(self.kind_id)

    @property
    def is_extra(self) -> bool:
        """Whether it may stand anywhere, as a comment may."""
        return self.kind_id in self._table.grammar.extras

    @property
    def is_error(self) -> bool:
        """Whether it is an ``ERROR``: a piece of the source that fits nowhere."""
        return self.type == "ERROR"

    @property
    def is_missing(self) -> bool:
        """Whether it should be there, and is not."""
        return self._number in self._table.missing

    @property
    def has_error(self) -> bool:
        """Whether it or a node below it is an ``ERROR``, or missing."""
        return self._table.has_damage(self._number)

    @property
    def has_changes(self) -> bool:
        """Whether an edit of the tree touched it."""
        return self._table.has_changes(self._number)

    @property
    def parse_state(self) -> int:
        """Always 0: there are no states of a parser here."""
        return 0

    next_parse_state = parse_state

    def _places(self) -> tuple[tuple[int, Point], tuple[int, Point]]:
        first, last = self._table.places(self._number)
        if self._edits:
            # An edit of a node moves its start; it stays as long as it is.
            size = last[0] - first[0]
            rows = last[1].row - first[1].row
            columns = last[1].column - (0 if rows else first[1].column)
            for edit in self._edits:
                first = edit.place(*first)
            row, column = first[1]
            last = (first[0] + size, Point(row + rows, columns + (0 if rows else column)))
        return first, last

    @property
    def start_byte(self) -> int:
        """The byte at which it begins."""
        return self.byte_range[0]

    @property
    def end_byte(self) -> int:
        """The byte at which it ends; that one is no longer its own."""
        return self.byte_range[1]

    @property
    def byte_range(self) -> tuple[int, int]:
        """The bytes at which it begins and ends."""
        if self._edits:
            (start, _), (end, _) = self._places()
            return start, end
        return self._table.span(self._number)

    @property
    def start_point(self) -> Point:
        """Where it begins."""
        return self._places()[0][1]

    @property
    def end_point(self) -> Point:
        """Where it ends."""
        return self._places()[1][1]

    @property
    def range(self) -> Range:
        """Where it is, in bytes and points."""
        (start, start_point), (end, end_point) = self._places()
        # A corrupt tree has nodes that end before they begin.
        return Range(start_point, max(start_point, end_point), start, max(start, end))

    @property
    def text(self) -> bytes | None:
        """Its source; None if the tree was edited since."""
        table = self._table
        if table.edits:
            return None
        return table.source[table.starts[self._number] : table.ends[self._number]]

    @property
    def descendant_count(self) -> int:
        """How many nodes there are below it, itself included."""
        return self._table.sizes[self._number]

    @property
    def children(self) -> list[Node]:
        """The nodes right below it, in order."""
        if self._children is None:
            self._children = [self._at(child) for child in self._table.children(self._number)]
        return self._children

    @property
    def child_count(self) -> int:
        """How many nodes there are right below it."""
        return len(self._table.children(self._number))

    @property
    def named_children(self) -> list[Node]:
        """The named ones of the nodes right below it, in order."""
        return [self._at(child) for child in self._named()]

    @property
    def named_child_count(self) -> int:
        """How many of the nodes right below it are named."""
        return len(self._named())

    @property
    def parent(self) -> Node | None:
        """The node that it is right below; None for the root."""
        return self._at(self._table.parents[self._number]) if self._number else None

    @property
    def next_sibling(self) -> Node | None:
        """The node after it below the same parent."""
        return self._maybe(self._table.next_sibling(self._number))

    @property
    def prev_sibling(self) -> Node | None:
        """The node before it below the same parent."""
        return self._maybe(self._table.previous_sibling(self._number))

    @property
    def next_named_sibling(self) -> Node | None:
        """The first named node after it below the same parent."""
        return self._named_beyond(self._table.next_sibling)

    @property
    def prev_named_sibling(self) -> Node | None:
        """The last named node before it below the same parent."""
        return self._named_beyond(self._table.previous_sibling)

    def walk(self) -> TreeCursor:
        """Return a cursor that goes from here to all nodes below."""
        from itf.mock_tree_sitter.cursor import cursor_at

        return cursor_at(self)

    def child(self, index: SupportsIndex, /) -> Node:
        """Return one of the nodes right below it.

        Raises:
            IndexError: There are not so many.
            ValueError: ``index`` is negative.
        """
        return self._at(_pick(self._table.children(self._number), index))

    def named_child(self, index: SupportsIndex, /) -> Node:
        """Return one of the named nodes right below it.

        Raises:
            IndexError: There are not so many.
            ValueError: ``index`` is negative.
        """
        return self._at(_pick(self._named(), index))

    def child_by_field_name(self, name: str, /) -> Node | None:
        """Return the first child that is this to it; None if there is none."""
        return self.child_by_field_id(self._field_id(name))

    def child_by_field_id(self, id: int, /) -> Node | None:
        """Return the first child that has the field of this number; None if there is none."""
        found = self.children_by_field_id(id)
        return found[0] if found else None

    def children_by_field_name(self, name: str, /) -> list[Node]:
        """Return all children that are this to it."""
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
        """Return what a child is to it; None if it has no field.

        Raises:
            IndexError: There are not so many children.
            ValueError: ``child_index`` is negative.
        """
        return self._field(_pick(self._table.children(self._number), child_index))

    def field_name_for_named_child(self, child_index: SupportsIndex, /) -> str | None:
        """Return what a named child is to it; None if it has no field.

        Raises:
            IndexError: There are not so many named children.
            ValueError: ``child_index`` is negative.
        """
        return self._field(_pick(self._named(), child_index))

    def child_with_descendant(self, descendant: Node, /) -> Node | None:
        """Return the child that a node is, or is below of; None if there is none."""
        if not isinstance(descendant, Node):
            raise TypeError(
                "child_with_descendant() argument 1 must be a Node, "
                f"not {type(descendant).__name__}"
            )
        table, number = self._table, descendant._number
        end = self._number + table.sizes[self._number]
        if descendant._tree is not self._tree or not self._number < number < end:
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
        """Return the smallest node that holds a range: one below it, or else it itself."""
        return self._smallest(byte_of(start_byte), byte_of(end_byte), bytes_of, named=False)

    def named_descendant_for_byte_range(self, start_byte: int, end_byte: int, /) -> Node | None:
        """Return the smallest named node that holds a range."""
        return self._smallest(byte_of(start_byte), byte_of(end_byte), bytes_of, named=True)

    def descendant_for_point_range(
        self, start_point: tuple[int, int], end_point: tuple[int, int], /
    ) -> Node | None:
        """Return the smallest node below it that holds a range of points."""
        return self._smallest(point_of(start_point), point_of(end_point), points_of, named=False)

    def named_descendant_for_point_range(
        self, start_point: tuple[int, int], end_point: tuple[int, int], /
    ) -> Node | None:
        """Return the smallest named node that holds a range of points."""
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
        """Move this view of a node as an edit of the source moves it.

        `Tree.edit` is for whole trees; this is for nodes that are kept meanwhile.
        """
        edit = Edit.of(
            start_byte, old_end_byte, new_end_byte, start_point, old_end_point, new_end_point
        )
        self._edits = (*self._edits, edit)

    def _at(self, number: int) -> Node:
        return node_of(self._tree, self._table, number)

    def _maybe(self, number: int | None) -> Node | None:
        return None if number is None else self._at(number)

    def _named(self) -> list[int]:
        table = self._table
        is_named, kinds = table.grammar.is_named, table.kinds
        return [child for child in table.children(self._number) if is_named(kinds[child])]

    def _named_beyond(self, step: Callable[[int], int | None]) -> Node | None:
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
        place = first_after(self._table, children, byte_of(byte), bytes_of)
        return self._at(children[place]) if place < len(children) else None

    def _smallest(self, start: Any, end: Any, measure: Measure, *, named: bool) -> Node | None:
        return self._maybe(smallest(self._table, self._number, start, end, measure, named=named))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return (
            self._tree is other._tree
            and self._table is other._table
            and self._number == other._number
        )

    def __hash__(self) -> int:
        return hash((self.id, id(self._table)))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle '{type(self).__name__}' object; send the source instead")

    def __repr__(self) -> str:
        kind = self.type if self.is_named else f'"{self.type}"'
        (_, start), (_, end) = self._places()
        return f"<Node type={kind}, start_point={tuple(start)}, end_point={tuple(end)}>"

    def __str__(self) -> str:
        """Return the S-expression."""
        return s_expression(self._table, self._number)


def node_of(tree: Tree, table: NodeTable, number: int) -> Node:
    """Return a view of the node of this number."""
    node: Node = object.__new__(Node)
    node._tree = tree
    node._table = table
    node._number = number
    node._edits = ()
    node._children = None
    return node


def _pick(numbers: Sequence[int], index: SupportsIndex) -> int:
    place = operator.index(index)
    if place < 0:
        raise ValueError("child index must be positive")
    if place >= len(numbers):
        raise IndexError("child index out of range")
    return numbers[place]
