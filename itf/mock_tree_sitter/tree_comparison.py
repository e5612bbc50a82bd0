"""Comparison of two trees, for Tree.changed_ranges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from itf.mock_tree_sitter.node_table import NodeTable

__all__ = ["changed_spans"]

__unittest = True


def changed_spans(old: NodeTable, new: NodeTable) -> list[tuple[int, int]]:
    """Return the byte ranges in which two trees have different nodes, ascending.

    A byte differs if the kinds of the nodes that contain it, from the root down
    to the leaf, differ between the trees.  The text of the nodes is not compared.
    """
    kinds = [dict(_path_changes(table)) for table in (old, new)]
    offsets = sorted({*kinds[0], *kinds[1]})
    found: list[tuple[int, int]] = []
    current = [0, 0]
    for offset, following in pairwise(offsets):
        current = [known.get(offset, before) for known, before in zip(kinds, current, strict=True)]
        if current[0] == current[1]:
            continue
        if found and found[-1][1] == offset:
            found[-1] = (found[-1][0], following)
        else:
            found.append((offset, following))
    return found


def _path_changes(table: NodeTable) -> Iterator[tuple[int, int]]:
    """Yield offsets, ascending, each with a hash of the kinds of all nodes that contain it.

    The hash holds up to the next offset.
    """
    kind_of, kinds = table.grammar.kind, table.kinds
    # Stack of the nodes that contain the current offset: end offset and hash of each.
    opened = [(table.span(0)[1], hash(kind_of(kinds[0])))]
    yield 0, 0
    yield table.span(0)[0], opened[0][1]
    for number in range(1, len(kinds)):
        start, end = table.span(number)
        while len(opened) > 1 and opened[-1][0] <= start:
            offset, _ = opened.pop()
            yield offset, opened[-1][1]
        path = hash((opened[-1][1], kind_of(kinds[number])))
        if start < end:
            opened.append((end, path))
            yield start, path
    while opened:
        offset, _ = opened.pop()
        yield offset, opened[-1][1] if opened else 0
