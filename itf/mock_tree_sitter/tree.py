"""A tree of a source, as tree-sitter's Python API has it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, NoReturn

from itf.mock_tree_sitter.cursor import TreeCursor
from itf.mock_tree_sitter.language import Language
from itf.mock_tree_sitter.node import Node, node_of
from itf.mock_tree_sitter.points import Edit, Point, Range, point_of
from itf.mock_tree_sitter.tree_comparison import changed_spans

if TYPE_CHECKING:
    from itf.mock_tree_sitter.node_table import NodeTable

__all__ = ["WHOLE", "Tree", "tree_of"]

__unittest = True

_FARTHEST: Final = 2**32 - 1

WHOLE: Final = Range(Point(0, 0), Point(_FARTHEST, _FARTHEST), 0, _FARTHEST)
"""All of any source."""

# A tree has at most so many nodes: their ids do not meet those of the next tree.
_IDS: Final = 2**32
_trees = itertools.count(1)


class Tree:
    """The tree of a source; a parser makes it.

    Thread safety: every method but `edit`, from any thread.
    """

    __slots__ = ("_first_id", "_language", "_ranges", "_table")

    _table: NodeTable
    _language: Language
    _ranges: tuple[Range, ...]
    _first_id: int

    def __init__(self) -> None:
        raise TypeError(f"cannot create '{type(self).__name__}' instances; a Parser's parse() does")

    @property
    def root_node(self) -> Node:
        """The node of the whole source."""
        return node_of(self, self._table, 0)

    @property
    def language(self) -> Language:
        """The language that it was parsed as."""
        return self._language

    @property
    def included_ranges(self) -> list[Range]:
        """The pieces of the source that were parsed."""
        return [*self._ranges]

    @property
    def source(self) -> bytes:
        """What was parsed; tree-sitter's trees do not have it."""
        return self._table.source

    def root_node_with_offset(
        self, offset_bytes: int, offset_extent: tuple[int, int], /
    ) -> Node | None:
        """Return the root as if so many bytes stood before it.

        Args:
            offset_bytes: How many bytes.
            offset_extent: The row and column where they end.
        """
        start = Point(0, 0)
        shift = Edit(0, 0, offset_bytes, start, start, point_of(offset_extent))
        return node_of(self, self._table.shifted(shift), 0)

    def walk(self) -> TreeCursor:
        """Return a cursor that goes from the root to all nodes."""
        return self.root_node.walk()

    def copy(self) -> Tree:
        """Return another tree of the same nodes, which may be edited by itself."""
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
        """Move its nodes as an edit of the source moves them.

        Nodes that were asked for before stay as they were.  The tree no longer
        knows its source: the text of its nodes is None.

        Args:
            start_byte: Where the edit begins.
            old_end_byte: Where what was there ended.
            new_end_byte: Where what is there now ends.
            start_point: Where the edit begins.
            old_end_point: Where what was there ended.
            new_end_point: Where what is there now ends.
        """
        edit = Edit.of(
            start_byte, old_end_byte, new_end_byte, start_point, old_end_point, new_end_point
        )
        self._table = self._table.edited(edit)

    def changed_ranges(self, new_tree: Tree, /) -> list[Range]:
        """Return where another tree, of the source as it is now, has other nodes than this one.

        This tree should have been told of the edits.
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
    """Return the tree of some nodes."""
    tree: Tree = object.__new__(Tree)
    tree._table = table
    tree._language = language
    tree._ranges = ranges
    tree._first_id = next(_trees) * _IDS
    return tree
