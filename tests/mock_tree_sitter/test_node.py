from __future__ import annotations

import copy
import pickle
import unittest
from typing import Any

from itf.mock_tree_sitter import Node, Point, Range
from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, walked

_SOURCE = b"def f(a):\n    return a\nx = 1\n"


class NodeTestCase(SyntaxTestCase):
    def setUp(self) -> None:
        self.tree = parse(_SOURCE)
        self.root = self.tree.root_node
        self.function, self.statement = self.root.children

    def named(self, nodes: list[Node]) -> list[str]:
        return [node.type for node in nodes]


class AttributeTest(NodeTestCase):
    def test_kind_and_flags(self) -> None:
        """A node has a type, a kind number and flags: named, extra, error, missing, changed."""
        language = self.tree.language
        keyword, name, *_ = self.function.children
        self.assertEqual(
            ("function_definition", True), (self.function.type, self.function.is_named)
        )
        self.assertEqual(("def", False), (keyword.type, keyword.is_named))
        self.assertEqual("identifier", name.grammar_name)
        self.assertEqual(language.id_for_node_kind("identifier", True), name.kind_id)
        self.assertEqual(name.kind_id, name.grammar_id)
        self.assertEqual(language.id_for_node_kind("def", False), keyword.kind_id)
        for attribute in ("is_extra", "is_error", "is_missing", "has_changes", "has_error"):
            self.assertIs(False, getattr(self.function, attribute), attribute)
        self.assertEqual((0, 0), (name.parse_state, name.next_parse_state))

    def test_position_and_text(self) -> None:
        """A node has bytes, points, a range, its text, and the size of its subtree."""
        self.assertEqual((0, 22), self.function.byte_range)
        self.assertEqual((0, 22), (self.function.start_byte, self.function.end_byte))
        self.assertEqual(
            (Point(0, 0), Point(1, 12)), (self.function.start_point, self.function.end_point)
        )
        self.assertEqual(Range((0, 0), (1, 12), 0, 22), self.function.range)
        self.assertEqual(_SOURCE[:22], self.function.text)
        self.assertEqual(12, self.function.descendant_count)

    def test_children(self) -> None:
        """Children and named children are available as a list, as a count, and by index."""
        types = ["def", "identifier", "parameters", ":", "block"]
        self.assertEqual(types, self.named(self.function.children))
        self.assertEqual(5, self.function.child_count)
        named = ["identifier", "parameters", "block"]
        self.assertEqual(named, self.named(self.function.named_children))
        self.assertEqual(3, self.function.named_child_count)
        self.assertEqual(types, [self.function.child(index).type for index in range(5)])
        self.assertEqual(named, [self.function.named_child(index).type for index in range(3)])
        self.assertIs(self.function.children, self.function.children)

    def test_invalid_child_index(self) -> None:
        """A large index raises IndexError, a negative one ValueError, another type TypeError."""
        for method in (
            self.function.child,
            self.function.named_child,
            self.function.field_name_for_child,
            self.function.field_name_for_named_child,
        ):
            with self.subTest(method.__name__):
                self.assert_raises(IndexError, "child index out of range", method, 99)
                self.assert_raises(ValueError, "child index must be positive", method, -1)
                self.assert_raises(TypeError, None, method, "a")

    def assert_raises(
        self, kind: type[Exception], text: str | None, function: Any, *arguments: Any
    ) -> None:
        with self.assertRaises(kind) as caught:
            function(*arguments)
        if text is not None:
            self.assertEqual(text, str(caught.exception))

    def test_fields(self) -> None:
        """Children are found by field name or number; without a match, None or an empty list."""
        language = self.tree.language
        name = self.function.child_by_field_name("name")
        assert name is not None
        self.assertEqual(b"f", name.text)
        number = language.field_id_for_name("name")
        assert number is not None
        self.assertEqual(name, self.function.child_by_field_id(number))
        self.assertEqual([name], self.function.children_by_field_name("name"))
        self.assertEqual([name], self.function.children_by_field_id(number))
        self.assertIsNone(self.function.child_by_field_name("nothing"))
        self.assertIsNone(self.function.child_by_field_name("alternative"))
        self.assertEqual([], self.function.children_by_field_name("nothing"))
        for number in (0, 9999):
            self.assertIsNone(self.function.child_by_field_id(number))
            self.assertEqual([], self.function.children_by_field_id(number))
        self.assert_raises(
            TypeError, "a field's name is a str, not int", self.function.child_by_field_name, 3
        )
        fields = [self.function.field_name_for_child(index) for index in range(5)]
        self.assertEqual([None, "name", "parameters", None, "body"], fields)
        self.assertEqual("body", self.function.field_name_for_named_child(2))
        statement = self.only("if a: b\nelif c: d\nelse: e")
        self.assertEqual(
            ["elif_clause", "else_clause"],
            self.named(statement.children_by_field_name("alternative")),
        )

    def test_relatives(self) -> None:
        """A node has a parent and siblings, also named siblings; None where there is none."""
        keyword, name, parameters, colon, body = self.function.children
        self.assertEqual(self.function, name.parent)
        self.assertIsNone(self.root.parent)
        self.assertEqual((keyword, parameters), (name.prev_sibling, name.next_sibling))
        self.assertEqual((None, body), (keyword.prev_sibling, colon.next_sibling))
        self.assertEqual(body, parameters.next_named_sibling)
        self.assertEqual(parameters, body.prev_named_sibling)
        self.assertIsNone(name.prev_named_sibling)
        self.assertIsNone(body.next_sibling)
        self.assertIsNone(body.next_named_sibling)
        self.assertIsNone(self.root.next_sibling)
        self.assertIsNone(self.root.prev_sibling)

    def test_siblings_agree_with_children(self) -> None:
        """For every node, siblings and parent agree with the parent's list of children."""
        for node in walked(parse("def f(a, *b): return a.b(c)[d] + e if g else h\n@x\nclass A: y")):
            children = node.children
            for left, right in zip([None, *children], [*children, None], strict=True):
                if left is not None:
                    self.assertEqual(right, left.next_sibling)
                if right is not None:
                    self.assertEqual(left, right.prev_sibling)

    def test_child_with_descendant(self) -> None:
        """The child whose subtree contains a node; None for the node itself and outside nodes."""
        body = self.function.children[4]
        inner = body.children[0].children[1]
        self.assertEqual(body, self.function.child_with_descendant(inner))
        self.assertEqual(body, self.function.child_with_descendant(body))
        self.assertEqual(self.function, self.root.child_with_descendant(inner))
        self.assertIsNone(self.function.child_with_descendant(self.function))
        self.assertIsNone(self.function.child_with_descendant(self.root))
        self.assertIsNone(self.function.child_with_descendant(parse(_SOURCE).root_node))
        self.assert_raises(
            TypeError,
            "child_with_descendant() argument 1 must be a Node, not int",
            self.function.child_with_descendant,
            3,
        )


class LookupTest(NodeTestCase):
    def test_first_child_for_byte(self) -> None:
        """As in tree-sitter, the first child that ends after a byte is returned."""
        for byte, expected in ((0, "def"), (3, "identifier"), (5, "parameters"), (99, None)):
            child = self.function.first_child_for_byte(byte)
            self.assertEqual(expected, child and child.type)
        named = self.function.first_named_child_for_byte(0)
        self.assertEqual("identifier", named and named.type)
        self.assertEqual(self.statement, self.root.first_child_for_byte(22))
        self.assertIsNone(self.root.first_child_for_byte(-1))

    def test_descendants_for_bytes(self) -> None:
        """The smallest node that contains a byte range; if no descendant does, the node itself."""
        for start, end, expected in (
            (4, 5, "identifier"),
            (3, 4, "function_definition"),
            (3, 3, "function_definition"),
            (4, 4, "identifier"),
            (5, 5, "("),
            (0, 100, "module"),
            (100, 101, "module"),
            (22, 22, "module"),
            (0, 22, "function_definition"),
            (28, 28, "module"),
            (5, 4, None),
            (-1, 1, None),
            (4, -1, "module"),  # a negative byte counts as after the end
            (-1, -1, "module"),
        ):
            with self.subTest(start=start, end=end):
                found = self.root.descendant_for_byte_range(start, end)
                self.assertEqual(expected, found and found.type)
        found = self.root.named_descendant_for_byte_range(0, 1)
        self.assertEqual(self.function, found)
        self.assertEqual(self.function, self.function.descendant_for_byte_range(25, 26))

    def test_descendants_for_points(self) -> None:
        """The smallest node that contains a range of points, given as `Point` or as a tuple."""
        name = self.function.children[1]
        self.assertEqual(name, self.root.descendant_for_point_range((0, 4), (0, 5)))
        self.assertEqual(name, self.root.descendant_for_point_range(Point(0, 4), Point(0, 5)))
        self.assertEqual(self.function, self.root.named_descendant_for_point_range((0, 0), (0, 1)))
        self.assertEqual(self.root, self.root.descendant_for_point_range((9, 4), (9, 5)))
        self.assertIsNone(self.root.descendant_for_point_range((0, 5), (0, 4)))
        with self.assertRaises(TypeError) as caught:
            self.root.descendant_for_point_range(3, 4)  # type: ignore[arg-type]
        self.assertEqual("a point is a row and a column, not int", str(caught.exception))

    def test_many_children_are_found_one_by_one(self) -> None:
        """Each of 20,000 children is found by its index and by its bytes, in linear time."""
        root = parse(b"x\n" * 20_000).root_node
        for index in range(0, 20_000, 7):
            self.assertEqual(index * 2, root.child(index).start_byte)
            child = root.descendant_for_byte_range(index * 2, index * 2 + 1)
            assert child is not None
            self.assertEqual(index * 2, child.start_byte)


class IdentityTest(NodeTestCase):
    def test_two_views_of_a_node_are_equal(self) -> None:
        """Two views have equal hash and id, but are not identical; other objects are unequal."""
        again = self.tree.root_node
        self.assertIsNot(self.root, again)
        self.assertEqual((self.root, hash(self.root)), (again, hash(again)))
        self.assertEqual(self.root.id, again.id)
        self.assertEqual(self.function, self.function.children[0].parent)
        self.assertNotEqual(self.root, self.function)
        self.assertNotEqual(self.root, 3)
        self.assertFalse(self.root == "module")

    def test_ids_are_unique(self) -> None:
        """No two nodes have the same id, also in different trees; nodes of two trees differ."""
        other = parse(_SOURCE)
        ids = [node.id for tree in (self.tree, other) for node in walked(tree)]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertNotEqual(self.root, other.root_node)
        self.assertNotEqual(self.root, self.tree.copy().root_node)

    def test_repr_and_str(self) -> None:
        """repr shows type and points; str is the S-expression, or the text of a token."""
        self.assertEqual(
            "<Node type=function_definition, start_point=(0, 0), end_point=(1, 12)>",
            repr(self.function),
        )
        keyword = self.function.children[0]
        self.assertEqual('<Node type="def", start_point=(0, 0), end_point=(0, 3)>', repr(keyword))
        self.assertEqual('("def")', str(keyword))
        self.assertEqual(
            "(module (function_definition name: (identifier) parameters: (parameters (identifier)) "
            "body: (block (return_statement (identifier)))) "
            "(expression_statement (assignment left: (identifier) right: (integer))))",
            str(self.root),
        )

    def test_invalid_use(self) -> None:
        """Creating, changing, ordering, pickling or copying a node raises an error."""
        with self.assertRaises(TypeError) as caught:
            Node()
        self.assertEqual(
            "cannot create 'Node' instances; use the root_node of a Tree", str(caught.exception)
        )
        for name in ("type", "other"):
            with self.assertRaises(AttributeError):
                setattr(self.root, name, "x")
        with self.assertRaises(TypeError):
            _ = self.root < self.function  # type: ignore[operator]
        for function in (pickle.dumps, copy.copy, copy.deepcopy):
            with self.assertRaises(TypeError) as caught:
                function(self.root)
            self.assertEqual(
                "cannot pickle 'Node' object; send the source instead", str(caught.exception)
            )

    def test_edit_moves_this_view_alone(self) -> None:
        """Node.edit moves the view without changing its length; other views do not move."""
        self.function.edit(0, 0, 5, (0, 0), (0, 0), (1, 2))
        self.assertEqual((5, 27), self.function.byte_range)
        self.assertEqual(
            (Point(1, 2), Point(2, 12)), (self.function.start_point, self.function.end_point)
        )
        self.assertEqual((0, 22), self.root.children[0].children[0].parent.byte_range)  # type: ignore[union-attr]


if __name__ == "__main__":
    unittest.main()
