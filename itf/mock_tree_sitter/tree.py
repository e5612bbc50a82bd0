"""Tree of a parsed source, with the API of py-tree-sitter."""

from __future__ import annotations

import itertools
from typing import Final, NoReturn

from itf.mock_tree_sitter.language import Language
from itf.mock_tree_sitter.node import Node, TreeCursor, node_of
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.points import Edit, Point, Range, point_of
from itf.mock_tree_sitter.tree_comparison import changed_spans

__all__ = ["WHOLE", "Tree", "tree_of"]

__unittest = True

_MAX_UINT32: Final = 2**32 - 1

WHOLE: Final = Range(Point(0, 0), Point(_MAX_UINT32, _MAX_UINT32), 0, _MAX_UINT32)
"""The range that tree-sitter reports when all of the source was parsed."""

# Number of node ids reserved for each tree.  A source has less than 2**32 bytes, so
# no tree has as many nodes, and ids of two trees never collide.
_IDS_PER_TREE: Final = 2**32
_tree_numbers = itertools.count(1)


class Tree:
    """Syntax tree of a source, created by `Parser.parse`.

    Thread safety: every method except `edit`, from any thread.
    """

    __slots__ = ("_id", "_language", "_ranges", "_table")

    _table: NodeTable
    _language: Language
    _ranges: tuple[Range, ...]
    # Id of the root node; see _IDS_PER_TREE.
    _id: int

    def __init__(self) -> None:
        raise TypeError(
            f"cannot create '{type(self).__name__}' instances; call parse() of a Parser"
        )

    @property
    def root_node(self) -> Node:
        """Node of the whole source."""
        return node_of(self._id, self._table, 0)

    @property
    def language(self) -> Language:
        """Language in which the source was parsed."""
        return self._language

    @property
    def included_ranges(self) -> list[Range]:
        """Ranges of the source that were parsed."""
        return [*self._ranges]

    @property
    def source(self) -> bytes:
        """Source that was parsed; tree-sitter's trees do not have this attribute."""
        return self._table.source

    def root_node_with_offset(
        self, offset_bytes: int, offset_extent: tuple[int, int], /
    ) -> Node | None:
        """Return the root node as if other text stood before the source.

        Args:
            offset_bytes: Length of that text in bytes.
            offset_extent: Row and column where that text ends.
        """
        start = Point(0, 0)
        offset = Edit(0, 0, offset_bytes, start, start, point_of(offset_extent))
        return node_of(self._id, self._table.with_offset(offset), 0)

    def walk(self) -> TreeCursor:
        """Return a cursor over the whole tree."""
        return self.root_node.walk()

    def copy(self) -> Tree:
        """Return a tree with the same nodes that can be edited independently."""
        return tree_of(self._table, self._language, self._ranges)

    __copy__ = copy

    def edit(  # noqa: PLR0917 - as tree-sitter has it
        self,
        start_byte: int,
        old_end_byte: int,
        new_end_byte: int,
        start_point: tuple[int, int],
        old_end_point: tuple[int, int],
        new_end_point: tuple[int, int],
    ) -> None:
        """Adjust the positions of all nodes to an edit of the source.

        Nodes that were read from the tree before keep their positions.  The tree
        does not have the new source, so the text of its nodes becomes None.

        Args:
            start_byte: First byte of the replaced text.
            old_end_byte: Byte after the replaced text.
            new_end_byte: Byte after the new text.
            start_point: Row and column of ``start_byte``.
            old_end_point: Row and column of ``old_end_byte``.
            new_end_point: Row and column of ``new_end_byte``.
        """
        edit = Edit.of(
            start_byte, old_end_byte, new_end_byte, start_point, old_end_point, new_end_point
        )
        self._table = self._table.edited(edit)

    def changed_ranges(self, new_tree: Tree, /) -> list[Range]:
        """Return the ranges in which the nodes of a newer tree differ from those of this tree.

        Call `edit` on this tree for each edit of the source first.

        Args:
            new_tree: Tree of the source after the edits.
        """
        if not isinstance(new_tree, Tree):
            raise TypeError(
                f"changed_ranges() argument 1 must be a Tree, not {type(new_tree).__name__}"
            )
        new = new_tree._table
        return [
            Range(new.point(start), new.point(end), start, end)
            for start, end in changed_spans(self._table, new)
        ]

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle '{type(self).__name__}' object; send the source instead")


def tree_of(table: NodeTable, language: Language, ranges: tuple[Range, ...] = (WHOLE,)) -> Tree:
    """Return a new tree over a table of nodes."""
    tree: Tree = object.__new__(Tree)
    tree._table = table
    tree._language = language
    tree._ranges = ranges
    tree._id = next(_tree_numbers) * _IDS_PER_TREE
    return tree
