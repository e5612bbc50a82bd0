from __future__ import annotations

import unittest

from itf import sample_code_files
from itf.mock_tree_sitter import Node, Tree, corrupt
from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, walked

_SOURCE = b"def f(a, b):\n    return a + b\n\n\nclass A:\n    x = 1\n"


def position_errors(tree: Tree) -> list[str]:
    """Return the kinds of wrong positions in a tree, one item for each wrong node."""
    found = []
    for node in walked(tree):
        if node.end_byte > len(tree.source):
            found.append("outside")
        end: Node | None = None
        for child in node.children:
            if end is not None and child.start_byte < end.end_byte:
                found.append("overlap")
            end = child
    return found


class CorruptTest(SyntaxTestCase):
    def test_every_seed_corrupts_every_tree(self) -> None:
        """With any seed, nodes of any tree overlap or extend past the source; both occur."""
        kinds = set()
        for source in (b"", b"x", _SOURCE):
            tree = parse(source)
            self.assertEqual([], position_errors(tree))
            for seed in range(100):
                found = position_errors(corrupt(tree, seed))
                self.assertNotEqual([], found, f"{source!r} with seed {seed}")
                kinds.update(found)
            self.assertEqual([], position_errors(tree))
        self.assertEqual({"outside", "overlap"}, kinds)

    def test_a_seed_reproduces_the_corruption(self) -> None:
        """The same seed gives the same spans, another seed different ones; the default is 0."""

        def spans(tree: Tree) -> list[tuple[int, int]]:
            return [node.byte_range for node in walked(tree)]

        tree = parse(_SOURCE)
        self.assertEqual(spans(corrupt(tree, 7)), spans(corrupt(parse(_SOURCE), 7)))
        self.assertNotEqual(spans(corrupt(tree, 7)), spans(corrupt(tree, 8)))
        self.assertEqual(spans(corrupt(tree)), spans(corrupt(tree, 0)))

    def test_only_positions_change(self) -> None:
        """Types, fields and errors are those of the original tree."""
        tree = parse(_SOURCE)
        for seed in range(20):
            self.assertEqual(str(tree.root_node), str(corrupt(tree, seed).root_node))

    def test_no_method_raises(self) -> None:
        """No method of a node, a cursor or a tree raises on a corrupted tree."""
        tree = parse(sample_code_files()["example.py"])
        for seed in range(10):
            bad = corrupt(tree, seed)
            for node in walked(bad):
                _ = (node.text, node.range, node.start_point, node.end_point, node.has_changes)
                _ = (node.next_sibling, node.prev_sibling, node.parent, repr(node))
                node.first_child_for_byte(node.start_byte)
                node.descendant_for_byte_range(0, node.end_byte)
                node.descendant_for_point_range((0, 0), node.end_point)
                node.walk().goto_first_child_for_point(node.end_point)
            bad.changed_ranges(tree)
            tree.changed_ranges(bad)
            bad.copy().edit(0, 0, 1, (0, 0), (0, 0), (0, 1))


if __name__ == "__main__":
    unittest.main()
