"""Trees with deliberately wrong positions, to test how code handles them."""

from __future__ import annotations

import copy
import random
from typing import Final

from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.tree import Tree, tree_of

__all__ = ["corrupt"]

__unittest = True

# Bytes by which a node can extend past the end of the source; any number would do.
_MAX_OVERSHOOT: Final = 1000
# One node in this many is changed, and at least one: most of the tree stays plausible.
_NODES_PER_CHANGE: Final = 20


def corrupt(tree: Tree, seed: int = 0) -> Tree:
    """Return a copy of a tree in which some nodes overlap or extend past the source.

    Only positions are wrong.  Types, fields and the number of nodes are those of
    the original, no method raises an error, and most nodes keep their positions.

    Example:
        >>> from itf.mock_tree_sitter import Language, Parser
        >>> tree = Parser(Language("python")).parse(b"x = 1")
        >>> corrupt(tree, seed=3).root_node.children[0].byte_range
        (383, 612)

    Args:
        tree: The original; it is not changed.
        seed: Seed of the random choice; the same seed and tree give the same result.
    """
    rng = random.Random(seed)
    table = copy.copy(tree._table)
    table.starts, table.ends = table.starts[:], table.ends[:]
    count = len(table.kinds)
    for _ in range(1 + count // _NODES_PER_CHANGE):
        number = rng.randrange(count)
        previous = table.previous_sibling(number)
        is_wide = previous is not None and table.starts[previous] < table.ends[previous]
        if previous is not None and is_wide and rng.choice((True, False)):
            _make_overlap(table, number, previous, rng)
        else:
            _move_outside(table, number, rng)
    return tree_of(table, tree._language, tree._ranges)


def _make_overlap(table: NodeTable, number: int, previous: int, rng: random.Random) -> None:
    """Move the start of a node into its previous sibling."""
    table.starts[number] = rng.randrange(table.starts[previous], table.ends[previous])


def _move_outside(table: NodeTable, number: int, rng: random.Random) -> None:
    """Move the end of a node past the end of the source, and sometimes its start too."""
    size = len(table.source)
    table.ends[number] = size + rng.randrange(1, _MAX_OVERSHOOT)
    if rng.choice((True, False)):
        table.starts[number] = rng.randrange(size, table.ends[number])
