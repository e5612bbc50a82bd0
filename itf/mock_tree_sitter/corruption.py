"""Trees that are wrong on purpose."""

from __future__ import annotations

import copy
import random
from typing import Final

from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.tree import Tree, tree_of

__all__ = ["corrupt"]

__unittest = True

# How far behind the end of the source a node may reach, at most.
_MAX_OVERSHOOT: Final = 1000
# Of so many nodes one is moved, and one at least.
_NODES_PER_CHANGE: Final = 20


def corrupt(tree: Tree, seed: int = 0) -> Tree:
    """Return a tree like another, but with nodes that overlap or lie outside the source.

    To be told from a sound one, one must look: types, fields and the number of
    nodes are what they were, no method raises an error, and there may well be
    nodes that are where they should be.

    Example:
        >>> from itf.mock_tree_sitter import Language, Parser
        >>> tree = Parser(Language("python")).parse(b"x = 1")
        >>> corrupt(tree, seed=3).root_node.children[0].byte_range
        (383, 612)

    Args:
        tree: The one to begin with; it stays as it is.
        seed: Which nodes, and where to: the same seed does the same to the same tree.
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
    """Let a node begin inside the one before it."""
    table.starts[number] = rng.randrange(table.starts[previous], table.ends[previous])


def _move_outside(table: NodeTable, number: int, rng: random.Random) -> None:
    """Let a node end outside of the source; it may begin there, too."""
    size = len(table.source)
    table.ends[number] = size + rng.randrange(1, _MAX_OVERSHOOT)
    if rng.choice((True, False)):
        table.starts[number] = rng.randrange(size, table.ends[number])
