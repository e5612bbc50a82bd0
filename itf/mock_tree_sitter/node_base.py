"""Properties of a tree node that are plain values: kind, position, text, errors."""

from __future__ import annotations

from typing import NoReturn

from itf.mock_tree_sitter.lookup import s_expression
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.points import Edit, Point, Range

__all__ = ["NodeBase"]

__unittest = True


class NodeBase:
    """Base of `Node`: everything that returns neither a node nor a cursor."""

    __slots__ = ("_edits", "_number", "_table", "_tree_id")

    # Id of the tree's root.  Unique to the tree, also among trees that share a table.
    _tree_id: int
    _table: NodeTable
    # Index of the node in the columns of the table.
    _number: int
    # Edits of this view alone; those of the tree are in the table.
    _edits: tuple[Edit, ...]

    @property
    def id(self) -> int:
        """Number that identifies the node; no other node of any tree has the same."""
        return self._tree_id + self._number

    @property
    def kind_id(self) -> int:
        """Number of the node's type in its language."""
        return self._table.kinds[self._number]

    grammar_id = kind_id

    @property
    def type(self) -> str:
        """Name of a grammar rule, such as ``identifier``, or a token's text, such as ``def``."""
        return self._table.grammar.kind(self._table.kinds[self._number])

    grammar_name = type

    @property
    def is_named(self) -> bool:
        """Whether the node's type is the name of a grammar rule."""
        return self._table.grammar.is_named(self.kind_id)

    @property
    def is_extra(self) -> bool:
        """Whether the grammar allows the node anywhere, as it does a comment."""
        return self.kind_id in self._table.grammar.extras

    @property
    def is_error(self) -> bool:
        """Whether the node is an ``ERROR``: source that the grammar does not allow there."""
        return self.type == "ERROR"

    @property
    def is_missing(self) -> bool:
        """Whether the parser inserted the node for a token that the source lacks."""
        return self._number in self._table.missing

    @property
    def has_error(self) -> bool:
        """Whether the node or a node below it is an ``ERROR``, or missing."""
        return self._table.has_error_below(self._number)

    @property
    def has_changes(self) -> bool:
        """Whether an edit of the tree touched the node."""
        return self._table.has_changes(self._number)

    @property
    def parse_state(self) -> int:
        """Always 0: the mock parser has no numbered states."""
        return 0

    next_parse_state = parse_state

    def _positions(self) -> tuple[tuple[int, Point], tuple[int, Point]]:
        """Return start and end of the node, each as a byte and a point."""
        first, last = self._table.positions(self._number)
        if self._edits:
            # tree-sitter's Node.edit moves the start and keeps the node's length.
            size = last[0] - first[0]
            rows = last[1].row - first[1].row
            columns = last[1].column - (0 if rows else first[1].column)
            for edit in self._edits:
                first = edit.apply(*first)
            row, column = first[1]
            last = (first[0] + size, Point(row + rows, columns + (0 if rows else column)))
        return first, last

    @property
    def start_byte(self) -> int:
        """Offset of the node's first byte."""
        return self.byte_range[0]

    @property
    def end_byte(self) -> int:
        """Offset after the node's last byte."""
        return self.byte_range[1]

    @property
    def byte_range(self) -> tuple[int, int]:
        """Offset of the node's first byte, and offset after its last byte."""
        if self._edits:
            (start, _), (end, _) = self._positions()
            return start, end
        return self._table.span(self._number)

    @property
    def start_point(self) -> Point:
        """Row and column of the node's first byte."""
        return self._positions()[0][1]

    @property
    def end_point(self) -> Point:
        """Row and column after the node's last byte."""
        return self._positions()[1][1]

    @property
    def range(self) -> Range:
        """Start and end of the node, in bytes and points."""
        (start, start_point), (end, end_point) = self._positions()
        # `corrupt` makes nodes that end before they start, which Range refuses.
        return Range(start_point, max(start_point, end_point), start, max(start, end))

    @property
    def text(self) -> bytes | None:
        """Source of the node; None if the tree was edited since the parse."""
        table = self._table
        if table.edits:
            return None
        return table.source[table.starts[self._number] : table.ends[self._number]]

    @property
    def descendant_count(self) -> int:
        """Number of nodes in the subtree, including the node itself."""
        return self._table.sizes[self._number]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NodeBase):
            return NotImplemented
        return (
            self._tree_id == other._tree_id
            and self._table is other._table
            and self._number == other._number
        )

    def __hash__(self) -> int:
        return hash((self.id, id(self._table)))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle '{type(self).__name__}' object; send the source instead")

    def __repr__(self) -> str:
        kind = self.type if self.is_named else f'"{self.type}"'
        (_, start), (_, end) = self._positions()
        return f"<Node type={kind}, start_point={tuple(start)}, end_point={tuple(end)}>"

    def __str__(self) -> str:
        """Return the subtree as an S-expression."""
        return s_expression(self._table, self._number)
