from __future__ import annotations

import ast
import pathlib
import sys
import unittest

import itf
from itf import sample_code_files
from itf.mock_tree_sitter import Node, Point, Tree
from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, walked, written

_TREES = pathlib.Path(__file__).parent / "python_trees.txt"
_PACKAGE = pathlib.Path(itf.__file__).parent


def trees() -> list[tuple[str, str]]:
    """Return sources, each with the tree that tree-sitter-python 0.25 made."""
    pieces = _TREES.read_text(encoding="utf-8").split("\n====\n")
    pairs = [tuple(piece.strip("\n").split("\n----\n")) for piece in pieces]
    return [(source, tree) for source, tree in pairs]


class GrammarTest(SyntaxTestCase):
    def test_trees_are_those_of_tree_sitter_python(self) -> None:
        """For each source, types, fields and tokens are those of tree-sitter-python."""
        pairs = trees()
        self.assertGreater(len(pairs), 250)
        for source, expected in pairs:
            with self.subTest(source):
                tree = parse(source)
                self.assertEqual(expected, written(tree.root_node))
                self.assertFalse(tree.root_node.has_error)
                self.assert_sound(tree)

    def test_strings(self) -> None:
        """A string has nodes for its quotes, its content, escapes and replacement fields."""
        for source, expected in (
            ("'a'", "(string (string_start) (string_content) (string_end))"),
            ("''", "(string (string_start) (string_end))"),
            (
                r"'\n\d'",
                '(string (string_start) (string_content (escape_sequence) "\\") (string_end))',
            ),
            (r"r'\n'", "(string (string_start) (string_content) (string_end))"),
            (
                r"b'\x41\u1234'",
                "(string (string_start) (string_content (escape_sequence)) (string_end))",
            ),
            (
                "f'{a!r:>{b}}'",
                '(string (string_start) (interpolation "{" expression: (identifier) '
                'type_conversion: (type_conversion) format_specifier: (format_specifier ":" '
                '(format_expression "{" expression: (identifier) "}")) "}") (string_end))',
            ),
            (
                "f'{{'",
                "(string (string_start) (string_content (escape_interpolation)) (string_end))",
            ),
            (
                """f"{a["b"]}" """,
                '(string (string_start) (interpolation "{" expression: '
                '(subscript value: (identifier) "[" subscript: '
                '(string (string_start) (string_content) (string_end)) "]") "}") (string_end))',
            ),
        ):
            with self.subTest(source):
                self.assertEqual(expected, written(self.only(source).children[0]))

    def test_definitions_agree_with_ast(self) -> None:
        """In each module of itf, functions and classes are those of ast, at the same positions."""
        paths = sorted(_PACKAGE.rglob("*.py"))
        self.assertGreater(len(paths), 50)
        for path in paths:
            with self.subTest(path.name):
                source = path.read_bytes()
                tree = parse(source)
                self.assertFalse(tree.root_node.has_error)
                self.assertEqual(self.by_ast(source), self.by_tree(tree))

    def by_ast(self, source: bytes) -> list[tuple[str, str, Point, Point]]:
        kinds = {
            ast.FunctionDef: "function_definition",
            ast.AsyncFunctionDef: "function_definition",
            ast.ClassDef: "class_definition",
        }
        return sorted(
            (
                kinds[type(node)],
                node.name,
                Point(node.lineno - 1, node.col_offset),
                Point((node.end_lineno or 0) - 1, node.end_col_offset or 0),
            )
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        )

    def by_tree(self, tree: Tree) -> list[tuple[str, str, Point, Point]]:
        found = []
        for node in walked(tree):
            if node.type in ("function_definition", "class_definition"):
                name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
                assert name is not None and name.text is not None and body is not None
                # Here, unlike in ast, a body includes the comments at its end.
                last = [child for child in body.children if child.type not in ("comment", ";")][-1]
                found.append((node.type, name.text.decode(), node.start_point, self.end(last)))
        return sorted(found)

    def end(self, node: Node) -> Point:
        """Return the end of a statement without the comments at its end."""
        while node.children and node.children[-1].end_byte == node.end_byte:
            solid = [child for child in node.children if child.type not in ("comment", ";")]
            if not solid:
                break
            node = solid[-1]
        return node.end_point


class PositionTest(SyntaxTestCase):
    def test_offsets_are_bytes(self) -> None:
        """With non-ASCII text, offsets and columns count bytes, and a name is one node."""
        source = "größe = 'ä☃𝄞'\ndef straße(ß): pass\n"
        tree = parse(source)
        self.assert_sound(tree)
        function = tree.root_node.children[1]
        name = function.child_by_field_name("name")
        assert name is not None
        self.assertEqual("straße".encode(), name.text)
        self.assertEqual((Point(1, 4), Point(1, 11)), (name.start_point, name.end_point))
        self.assertEqual(source.encode().index(b"def"), function.start_byte)

    def test_line_ends(self) -> None:
        """LF, CRLF and a missing final newline give the same nodes; LF ends a row."""
        lines = ["def f():", "    '''a", "    b'''", "    return (1,", "  2)", "class A: pass"]
        expected = None
        for end in ("\n", "\r\n"):
            for last in ("", end):
                with self.subTest(end=end, last=last):
                    tree = parse(end.join(lines) + last)
                    self.assert_sound(tree)
                    points = [(n.type, n.start_point, n.end_point) for n in walked(tree)][1:]
                    self.assertEqual(expected or points, points)
                    expected = points

    def test_a_byte_order_mark_is_skipped(self) -> None:
        """As in tree-sitter, the root begins after the mark, and offsets include the mark."""
        tree = parse(b"\xef\xbb\xbfx = 1")
        self.assertEqual((3, 8), tree.root_node.byte_range)
        self.assertEqual(b"x = 1", tree.root_node.text)
        self.assertFalse(tree.root_node.has_error)

    def test_span_of_the_root(self) -> None:
        """The root begins at the first token, and ends at the end of the source."""
        for source, expected in (
            (b"", (0, 0)),
            (b"  \n ", (4, 4)),
            (b" \n# c\n ", (2, 7)),
            (b"\n\nx\n\n", (2, 5)),
        ):
            with self.subTest(source):
                root = parse(source).root_node
                self.assertEqual(("module", expected), (root.type, root.byte_range))

    def test_parents_of_comments(self) -> None:
        """A comment is an extra, and belongs to the block that has its indentation."""
        tree = parse("if a:  # 1\n    # 2\n    b  # 3\n    # 4\n  # 5\n# 6\nc")
        statement = tree.root_node.children[0]
        body = statement.child_by_field_name("consequence")
        assert body is not None
        texts = [[n.text for n in p.children if n.is_extra] for p in (statement, body)]
        self.assertEqual([[b"# 1", b"# 2"], [b"# 3", b"# 4"]], texts)
        outside = [n.text for n in tree.root_node.children if n.type == "comment"]
        self.assertEqual([b"# 5", b"# 6"], outside)

    def test_the_samples(self) -> None:
        """The sample file is parsed without an error, and its spans are consistent."""
        tree = parse(sample_code_files()["example.py"])
        self.assertFalse(tree.root_node.has_error)
        self.assert_sound(tree)


class NestingTest(unittest.TestCase):
    def test_nesting_has_no_limit(self) -> None:
        """Source with 100,000 levels is parsed, walked, printed and searched without recursion."""
        depth = 100_000
        for name, source in (
            ("parentheses", b"(" * depth + b"x" + b")" * depth),
            ("lists, never closed", b"[" * depth),
            ("closed, never opened", b")" * depth),
            ("calls", b"a" + b".b()" * (depth // 10)),
            ("sums", b"a" + b"+a" * depth),
            ("lambdas", b"lambda: " * (depth // 10) + b"x"),
            ("conditions", b"a if b else " * (depth // 10) + b"x"),
            ("strings", b'f"{' * (depth // 10)),
            ("types", b"x: " + b"a[" * (depth // 10) + b"b" + b"]" * (depth // 10)),
        ):
            with self.subTest(name):
                limit = sys.getrecursionlimit()
                tree = parse(source)
                root = tree.root_node
                deepest = root.descendant_for_byte_range(len(source) // 2, len(source) // 2 + 1)
                self.assertIsNotNone(deepest)
                self.assertEqual(root.descendant_count, sum(1 for _ in walked(tree)))
                self.assertTrue(str(root).startswith("(module ("))
                self.assertEqual(limit, sys.getrecursionlimit())


if __name__ == "__main__":
    unittest.main()
