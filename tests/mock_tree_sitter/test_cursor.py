from __future__ import annotations

import copy
import pickle
import unittest

from itf.mock_tree_sitter import TreeCursor
from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, walked

_SOURCE = b"def f(a):\n    return a\nx = 1\n"


class CursorTest(SyntaxTestCase):
    def setUp(self) -> None:
        self.tree = parse(_SOURCE)
        self.cursor = self.tree.walk()

    def node_type(self, cursor: TreeCursor | None = None) -> str:
        node = (cursor or self.cursor).node
        assert node is not None
        return node.type

    def test_start_of_a_walk(self) -> None:
        """A new cursor is at the root, without a field, at depth 0."""
        cursor = self.cursor
        self.assertEqual(self.tree.root_node, cursor.node)
        self.assertEqual((None, None), (cursor.field_name, cursor.field_id))
        self.assertEqual((0, 0), (cursor.depth, cursor.descendant_index))

    def test_steps(self) -> None:
        """Each move returns whether it was possible; if not, the cursor stays."""
        cursor = self.cursor
        self.assertTrue(cursor.goto_first_child())
        self.assertEqual(("function_definition", 1), (self.node_type(), cursor.depth))
        self.assertTrue(cursor.goto_first_child())
        self.assertEqual(("def", 2), (self.node_type(), cursor.depth))
        self.assertFalse(cursor.goto_first_child())
        self.assertFalse(cursor.goto_last_child())
        self.assertFalse(cursor.goto_previous_sibling())
        self.assertTrue(cursor.goto_next_sibling())
        self.assertEqual(("identifier", "name"), (self.node_type(), cursor.field_name))
        self.assertEqual(self.tree.language.field_id_for_name("name"), cursor.field_id)
        self.assertTrue(cursor.goto_previous_sibling())
        self.assertEqual("def", self.node_type())
        self.assertTrue(cursor.goto_parent())
        self.assertTrue(cursor.goto_last_child())
        self.assertEqual("block", self.node_type())
        self.assertFalse(cursor.goto_next_sibling())
        self.assertTrue(cursor.goto_parent())
        self.assertTrue(cursor.goto_parent())
        self.assertFalse(cursor.goto_parent())
        self.assertEqual("module", self.node_type())

    def test_a_cursor_stays_in_its_subtree(self) -> None:
        """A cursor cannot move to the parent or the siblings of its start node."""
        cursor = self.tree.root_node.children[0].walk()
        self.assertEqual(("function_definition", None), (self.node_type(cursor), cursor.field_name))
        self.assertFalse(cursor.goto_parent())
        self.assertFalse(cursor.goto_next_sibling())
        self.assertFalse(cursor.goto_previous_sibling())
        self.assertTrue(cursor.goto_first_child())
        self.assertEqual((1, 1), (cursor.depth, cursor.descendant_index))

    def test_every_node_has_an_index(self) -> None:
        """descendant_index is the preorder index of a node; goto_descendant moves to it."""
        nodes = [*walked(self.tree)]
        self.assertEqual(self.tree.root_node.descendant_count, len(nodes))
        for index, node in enumerate(nodes):
            self.cursor.goto_descendant(index)
            self.assertEqual((node, index), (self.cursor.node, self.cursor.descendant_index))
            depth, parent = 0, node.parent
            while parent is not None:
                depth, parent = depth + 1, parent.parent
            self.assertEqual(depth, self.cursor.depth)
        for nowhere in (len(nodes), -1):
            self.cursor.goto_descendant(nowhere)
            self.assertEqual(0, self.cursor.descendant_index)

    def test_children_by_position(self) -> None:
        """The cursor moves to the first child that ends after a position, or stays."""
        cursor = self.cursor
        self.assertEqual(1, cursor.goto_first_child_for_byte(24))
        self.assertEqual("expression_statement", self.node_type())
        cursor.goto_parent()
        self.assertEqual(1, cursor.goto_first_child_for_byte(22))
        cursor.goto_parent()
        self.assertEqual(0, cursor.goto_first_child_for_byte(21))
        cursor.goto_parent()
        self.assertEqual(1, cursor.goto_first_child_for_point((1, 12)))
        cursor.goto_parent()
        self.assertIsNone(cursor.goto_first_child_for_byte(99))
        self.assertIsNone(cursor.goto_first_child_for_byte(-1))
        self.assertIsNone(cursor.goto_first_child_for_point((9, 0)))
        self.assertEqual("module", self.node_type())

    def test_copies_and_resets(self) -> None:
        """A copy moves independently; a reset moves to a node or to another cursor's position."""
        self.cursor.goto_first_child()
        for other in (self.cursor.copy(), copy.copy(self.cursor)):
            other.goto_first_child()
            self.assertEqual(("def", 2), (self.node_type(other), other.depth))
            self.assertEqual("function_definition", self.node_type())
        block = self.tree.root_node.children[0].children[4]
        self.cursor.reset(block)
        self.assertEqual(("block", 0), (self.node_type(), self.cursor.depth))
        other = self.tree.walk()
        other.goto_first_child()
        self.cursor.reset_to(other)
        self.assertEqual(("function_definition", 1), (self.node_type(), self.cursor.depth))
        self.assertTrue(self.cursor.goto_parent())

    def test_invalid_use(self) -> None:
        """Creating or pickling a cursor, or resetting it to another type, raises TypeError."""
        for function, text in (
            (TreeCursor, "cannot create 'TreeCursor' instances; call walk() of a Tree or a Node"),
            (
                lambda: pickle.dumps(self.cursor),
                "cannot pickle 'TreeCursor' object; send the source instead",
            ),
            (lambda: self.cursor.reset(3), "reset() argument 1 must be a Node, not int"),  # type: ignore[arg-type]
            (
                lambda: self.cursor.reset_to(3),
                "reset_to() argument 1 must be a TreeCursor, not int",
            ),  # type: ignore[arg-type]
        ):
            with self.subTest(text), self.assertRaises(TypeError) as caught:
                function()
            self.assertEqual(text, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
