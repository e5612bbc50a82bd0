from __future__ import annotations

import copy
import pickle
import unittest

from itf.mock_tree_sitter import Language, Point, Range, Tree
from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, walked

_SOURCE = b"def f(a):\n    return a\nx = 1\n"


class TreeTest(SyntaxTestCase):
    def test_attributes(self) -> None:
        """A tree has a root, a language, the ranges that were parsed, and the source."""
        tree = parse(_SOURCE)
        self.assertEqual("module", tree.root_node.type)
        self.assertEqual(Language("python"), tree.language)
        farthest = 2**32 - 1
        whole = Range((0, 0), (farthest, farthest), 0, farthest)
        self.assertEqual([whole], tree.included_ranges)
        self.assertEqual(_SOURCE, tree.source)

    def test_only_parsers_create_trees(self) -> None:
        """Creating or pickling a tree raises TypeError."""
        with self.assertRaises(TypeError) as caught:
            Tree()
        self.assertEqual(
            "cannot create 'Tree' instances; call parse() of a Parser", str(caught.exception)
        )
        with self.assertRaises(TypeError) as caught:
            pickle.dumps(parse(b"x"))
        self.assertEqual(
            "cannot pickle 'Tree' object; send the source instead", str(caught.exception)
        )

    def test_a_root_with_an_offset(self) -> None:
        """An offset moves all nodes in bytes and points; their text does not change."""
        root = parse(_SOURCE).root_node_with_offset(10, (1, 2))
        assert root is not None
        function, statement = root.children
        self.assertEqual((10, 32), function.byte_range)
        self.assertEqual((Point(1, 2), Point(2, 12)), (function.start_point, function.end_point))
        self.assertEqual(Point(3, 0), statement.start_point)
        self.assertEqual(b"x = 1", statement.text)
        self.assertEqual("x", (root.descendant_for_byte_range(33, 34) or root).text.decode())  # type: ignore[union-attr]


class EditTest(SyntaxTestCase):
    def positions(self, tree: Tree) -> list[tuple[str, tuple[int, int], bool]]:
        function, statement = tree.root_node.children
        nodes = [*function.children, statement]
        return [(node.type, node.byte_range, node.has_changes) for node in nodes]

    def test_an_edit_moves_nodes(self) -> None:
        """As in tree-sitter, nodes after an edit move, and nodes that it touches have changes."""
        tree = parse(_SOURCE)
        before = tree.root_node.children[0]
        tree.edit(5, 5, 8, (0, 5), (0, 5), (0, 8))
        self.assertEqual(
            [
                ("def", (0, 3), False),
                ("identifier", (4, 8), True),
                ("parameters", (8, 11), False),
                (":", (11, 12), False),
                ("block", (17, 25), False),
                ("expression_statement", (26, 31), False),
            ],
            self.positions(tree),
        )
        tree.edit(0, 4, 1, (0, 0), (0, 4), (0, 1))
        self.assertEqual(
            [
                ("def", (0, 1), True),
                ("identifier", (1, 5), True),
                ("parameters", (5, 8), False),
                (":", (8, 9), False),
                ("block", (14, 22), False),
                ("expression_statement", (23, 28), False),
            ],
            self.positions(tree),
        )
        self.assertTrue(tree.root_node.has_changes)
        self.assertIsNone(tree.root_node.text)
        self.assertEqual(((0, 22), _SOURCE[:22]), (before.byte_range, before.text))

    def test_points_move_too(self) -> None:
        """An inserted line end moves the rows after it, and the columns in its own row."""
        tree = parse(b"a = b\nc\n")
        tree.edit(2, 2, 5, (0, 2), (0, 2), (1, 2))
        equals = tree.root_node.children[0].children[0].children[1]
        self.assertEqual((Point(1, 2), Point(1, 3)), (equals.start_point, equals.end_point))
        self.assertEqual(Point(2, 0), tree.root_node.children[1].start_point)

    def test_copies_are_edited_independently(self) -> None:
        """An edit of a copy, from Tree.copy or copy.copy, does not move the original's nodes."""
        tree = parse(_SOURCE)
        for other in (tree.copy(), copy.copy(tree)):
            other.edit(0, 0, 2, (0, 0), (0, 0), (0, 2))
            self.assertEqual(2, other.root_node.start_byte)
            self.assertEqual(0, tree.root_node.start_byte)

    def test_changed_ranges(self) -> None:
        """Changed ranges contain nodes of another kind; a different name is no change."""
        for old, new, expected in (
            (b"a = 1", b"b = 2", []),
            (b"a = 1", b"a = 1; c", [(5, 8)]),
            (b"", b"a", [(0, 1)]),
            (b"a", b"", [(0, 1)]),
        ):
            with self.subTest(old=old, new=new):
                ranges = parse(old).changed_ranges(parse(new))
                self.assertEqual(expected, [(r.start_byte, r.end_byte) for r in ranges])
        with self.assertRaises(TypeError) as caught:
            parse(b"a").changed_ranges(3)  # type: ignore[arg-type]
        self.assertEqual(
            "changed_ranges() argument 1 must be a Tree, not int", str(caught.exception)
        )

    def test_an_edited_tree_differs_by_the_edit_alone(self) -> None:
        """After edit() for an insertion, only the inserted text is a changed range."""
        old, new = b"a = 1\nb = 2\n", b"a = 1\nif x: y\nb = 2\n"
        tree = parse(old)
        tree.edit(6, 6, 14, (1, 0), (1, 0), (2, 0))
        (changed,) = tree.changed_ranges(parse(new, "python"))
        self.assertEqual(6, changed.start_byte)
        self.assertLessEqual(changed.end_byte, 14)
        self.assertEqual(Point(1, 0), changed.start_point)


class ErrorRecoveryTest(SyntaxTestCase):
    def test_code_around_an_error_is_parsed(self) -> None:
        """The definitions before and after invalid source are parsed without an error."""
        before, after = "def before(a):\n    return a\n", "class After:\n    def g(self): pass\n"
        for broken in (
            "def f(:\n    pass\n",
            "x = = 3\n",
            "a b\n",
            "x = 'abc\n",
            "x = foo(1,\n",
            "x = [1, {2: (3\n",
            ")\n",
            "$\n",
            "else:\n    x\n",
            "for in x:\n    y\n",
            "return return\n",
            'f"{a\n',
            'f"{a" + b\n',
            "import\n",
            "@\n",
            "try:\n    x\n",
            "with :\n    pass\n",
            "f() = 1\n",
            "match x:\n    case ]:\n        y\n    case 2: z\n",
            "lambda x\n",
            "\0\n",
            "€ = 2\n",
            "a\u2028 = 2\n",
        ):
            with self.subTest(broken):
                tree = parse(before + broken + after)
                self.assertTrue(tree.root_node.has_error)
                first, *_, last = tree.root_node.children
                self.assertEqual("function_definition", first.type)
                self.assertEqual(("class_definition", False), (last.type, last.has_error))
                self.assertFalse(first.has_error)
                self.assertEqual(after.strip().encode(), last.text)
                self.assert_sound(tree)

    def test_errors_are_nodes(self) -> None:
        """An ERROR contains the invalid source, is an extra, and its ancestors have an error."""
        root = parse("x = = 3\ny").root_node
        error, statement = root.children
        self.assertEqual(("ERROR", True, True), (error.type, error.is_error, error.is_extra))
        self.assertEqual((65535, True), (error.kind_id, error.is_named))
        self.assertEqual(b"x = = 3", error.text)
        self.assertEqual([True, True, False], [n.has_error for n in (root, error, statement)])
        self.assertEqual(
            "(module (ERROR (identifier) (integer)) (expression_statement (identifier)))", str(root)
        )
        self.assertEqual("(module (ERROR (UNEXPECTED '$')))", str(parse("$").root_node))

    def test_missing_tokens(self) -> None:
        """A missing colon or closing bracket is a missing node of length 0."""
        for source, expected in (
            (
                "foo(1, 2",
                "(call function: (identifier) arguments: "
                '(argument_list (integer) (integer) (MISSING ")")))',
            ),
            (
                "def f()\n    pass",
                "(function_definition name: (identifier) parameters: (parameters) "
                '(MISSING ":") body: (block (pass_statement)))',
            ),
        ):
            with self.subTest(source):
                tree = parse(source)
                self.assertIn(expected, str(tree.root_node))
                (missing,) = [node for node in walked(tree) if node.is_missing]
                self.assertEqual(b"", missing.text)
                self.assertEqual(
                    [True] * 3,
                    [n.has_error for n in (missing, missing.parent, tree.root_node) if n],
                )
                self.assertFalse(missing.is_error)


if __name__ == "__main__":
    unittest.main()
