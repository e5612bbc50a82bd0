"""Search for nodes by position, and S-expressions."""

from __future__ import annotations

import operator
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, TypeAlias

from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.points import Point

__all__ = ["byte_of", "bytes_of", "first_after", "points_of", "s_expression", "smallest"]

__unittest = True

# Function that returns start and end of a node: `bytes_of` or `points_of`.
Measure: TypeAlias = Callable[[NodeTable, int], tuple[Any, Any]]


def byte_of(value: SupportsIndex) -> int:
    """Return a byte offset; a negative one becomes very large, as in tree-sitter."""
    byte = operator.index(value)
    return byte if byte >= 0 else sys.maxsize


def bytes_of(table: NodeTable, number: int) -> tuple[int, int]:
    """Return start and end of a node as byte offsets."""
    return table.span(number)


def points_of(table: NodeTable, number: int) -> tuple[Point, Point]:
    """Return start and end of a node as points."""
    (_, start), (_, end) = table.positions(number)
    return start, end


def first_after(table: NodeTable, numbers: Sequence[int], position: Any, measure: Measure) -> int:
    """Return the index of the first of several siblings that ends after a position.

    Returns:
        The index in ``numbers``; ``len(numbers)`` if none ends after the position.
    """
    return bisect_right(numbers, position, key=lambda number: measure(table, number)[1])


def smallest(
    table: NodeTable, number: int, start: Any, end: Any, measure: Measure, *, named: bool
) -> int | None:
    """Return the smallest node in a subtree that contains a range.

    Args:
        table: All nodes of the tree.
        number: Root of the subtree; returned if no descendant contains the range.
        start: Start of the range, as a byte or a point.
        end: End of the range, of the same type.
        measure: `bytes_of` or `points_of`, matching ``start`` and ``end``.
        named: Whether to consider named nodes only.

    Returns:
        The node's number; None if ``start`` is after ``end``.
    """
    if start > end:
        return None
    found = current = number
    while True:
        children = table.children(current)
        index = bisect_left(children, end, key=lambda child: measure(table, child)[1])
        # An empty range belongs to the node that begins there, not to one that ends there.
        while index < len(children) and measure(table, children[index])[1] <= start:
            index += 1
        if index == len(children) or start < measure(table, children[index])[0]:
            return found
        current = children[index]
        if not named or table.grammar.is_named(table.kinds[current]):
            found = current


def s_expression(table: NodeTable, number: int) -> str:
    """Return a subtree as an S-expression in tree-sitter's format: named nodes and fields."""
    grammar, kinds = table.grammar, table.kinds
    if not grammar.is_named(kinds[number]) and number not in table.missing:
        return f'("{grammar.kind(kinds[number])}")'
    parts: list[str] = []
    ends: list[int] = []
    for current in range(number, number + table.sizes[number]):
        while ends and ends[-1] <= current:
            ends.pop()
            parts.append(")")
        missing = current in table.missing
        named = grammar.is_named(kinds[current])
        if not named and not missing:
            continue
        field = grammar.fields[table.fields[current]] if current != number else ""
        prefix = f" {field}: " if field else " " if parts else ""
        parts.append(f"{prefix}({_label(table, current, named=named, missing=missing)}")
        ends.append(current + table.sizes[current])
    return "".join(parts) + ")" * len(ends)


def _label(table: NodeTable, number: int, *, named: bool, missing: bool) -> str:
    kind = table.grammar.kind(table.kinds[number])
    if missing:
        return f"MISSING {kind}" if named else f'MISSING "{kind}"'
    if kind == "ERROR" and table.sizes[number] == 1:
        text = table.source[table.starts[number] : table.ends[number]]
        return f"UNEXPECTED '{text.decode(errors='replace')}'" if text else kind
    return kind
