"""Finding nodes by place, and writing them down."""

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

# Where a node begins and ends, in bytes or in points.
Measure: TypeAlias = Callable[[NodeTable, int], tuple[Any, Any]]


def byte_of(value: SupportsIndex) -> int:
    """Return a byte that somebody gave; to tree-sitter, a negative one is far behind any source."""
    byte = operator.index(value)
    return byte if byte >= 0 else sys.maxsize


def bytes_of(table: NodeTable, number: int) -> tuple[int, int]:
    """Return the bytes at which a node begins and ends."""
    return table.span(number)


def points_of(table: NodeTable, number: int) -> tuple[Point, Point]:
    """Return the points at which a node begins and ends."""
    (_, start), (_, end) = table.positions(number)
    return start, end


def first_after(table: NodeTable, numbers: Sequence[int], place: Any, measure: Measure) -> int:
    """Return which of some nodes, given in order, is the first that ends after a place.

    Returns:
        Its index; the number of nodes if there is none.
    """
    return bisect_right(numbers, place, key=lambda number: measure(table, number)[1])


def smallest(
    table: NodeTable, number: int, start: Any, end: Any, measure: Measure, *, named: bool
) -> int | None:
    """Return the smallest node that holds a range, from a node on downwards.

    Args:
        table: The nodes.
        number: Where to begin; what is returned if no node below it holds the range.
        start: The first place of the range.
        end: The place behind the range.
        measure: What kind of places they are.
        named: Whether only a named node will do.

    Returns:
        The node's number; None if the range ends before it begins.
    """
    if start > end:
        return None
    found = current = number
    while True:
        children = table.children(current)
        place = bisect_left(children, end, key=lambda child: measure(table, child)[1])
        # A node that ends where the range begins does not hold an empty one.
        while place < len(children) and measure(table, children[place])[1] <= start:
            place += 1
        if place == len(children) or start < measure(table, children[place])[0]:
            return found
        current = children[place]
        if not named or table.grammar.is_named(table.kinds[current]):
            found = current


def s_expression(table: NodeTable, number: int) -> str:
    """Return a node and the named ones below it, as tree-sitter writes them."""
    grammar, kinds = table.grammar, table.kinds
    if not grammar.is_named(kinds[number]) and number not in table.missing:
        return f'("{grammar.kind(kinds[number])}")'
    parts: list[str] = []
    ends: list[int] = []
    for place in range(number, number + table.sizes[number]):
        while ends and ends[-1] <= place:
            ends.pop()
            parts.append(")")
        missing = place in table.missing
        named = grammar.is_named(kinds[place])
        if not named and not missing:
            continue
        field = grammar.fields[table.fields[place]] if place != number else ""
        label = f" {field}: " if field else " " if parts else ""
        parts.append(f"{label}({_label(table, place, named=named, missing=missing)}")
        ends.append(place + table.sizes[place])
    return "".join(parts) + ")" * len(ends)


def _label(table: NodeTable, number: int, *, named: bool, missing: bool) -> str:
    kind = table.grammar.kind(table.kinds[number])
    if missing:
        return f"MISSING {kind}" if named else f'MISSING "{kind}"'
    if kind == "ERROR" and table.sizes[number] == 1:
        text = table.source[table.starts[number] : table.ends[number]]
        return f"UNEXPECTED '{text.decode(errors='replace')}'" if text else kind
    return kind
