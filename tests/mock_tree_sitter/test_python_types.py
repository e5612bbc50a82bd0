from __future__ import annotations

import unittest

from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, written


class SignedPatternTest(SyntaxTestCase):
    def test_a_number_after_case_has_either_sign(self) -> None:
        """The sign is a token before a plain number, a complex number, or a number as a key."""
        for pattern, expected in (
            ("+1", '"+" (integer)'),
            ("-1", '"-" (integer)'),
            ("+1.5", '"+" (float)'),
            ("+0j", '"+" (integer)'),
            ("+1 + 2j", '(complex_pattern "+" (integer) "+" (integer))'),
            ("-1 - 2j", '(complex_pattern "-" (integer) "-" (integer))'),
            ("-0 | +1", '(union_pattern "-" (integer) "|" "+" (integer))'),
            (
                "{+1: +2}",
                '(dict_pattern "{" key: "+" key: (integer) ":" '
                'value: (case_pattern "+" (integer)) "}")',
            ),
            (
                "A(b=+1)",
                '(class_pattern (dotted_name (identifier)) "(" '
                '(case_pattern (keyword_pattern (identifier) "=" "+" (integer))) ")")',
            ),
        ):
            with self.subTest(pattern):
                tree = parse(f"match a:\n    case {pattern}: pass")
                self.assertFalse(tree.root_node.has_error)
                self.assertIn(
                    f'(case_clause "case" (case_pattern {expected}) ":"', written(tree.root_node)
                )

    def test_a_sign_belongs_to_a_number(self) -> None:
        """A sign before anything else, or a second sign, is an ERROR."""
        for pattern in ("+a", "++1", "-+1", "+None", "1 + a", "+'a'"):
            with self.subTest(pattern):
                self.assertTrue(parse(f"match a:\n    case {pattern}: pass").root_node.has_error)


class SliceInTypeTest(SyntaxTestCase):
    def test_a_slice_without_a_bound(self) -> None:
        """Such a slice, which tree-sitter-python cannot parse, makes a subscript, not a type."""
        for source, expected in (
            ("x: a[:]", '"[" subscript: (slice ":") "]"'),
            ("x: a[::]", '"[" subscript: (slice ":" ":") "]"'),
            ("x: a[b:]", '"[" subscript: (slice (identifier) ":") "]"'),
            ("x: a[:b]", '"[" subscript: (slice ":" (identifier)) "]"'),
            ("x: a[::b]", '"[" subscript: (slice ":" ":" (identifier)) "]"'),
            ("x: a[:, b]", '"[" subscript: (slice ":") "," subscript: (identifier) "]"'),
            (
                "x: a[b, c:]",
                '"[" subscript: (identifier) "," subscript: (slice (identifier) ":") "]"',
            ),
        ):
            with self.subTest(source):
                tree = parse(source)
                self.assertFalse(tree.root_node.has_error)
                self.assertIn(
                    f"type: (type (subscript value: (identifier) {expected}))",
                    written(tree.root_node),
                )
                self.assert_sound(tree)

    def test_other_colons_in_a_generic_type(self) -> None:
        """A slice with both bounds, nested brackets and a lambda leave a generic type."""
        for source in (
            "x: a[b:c]",
            "x: a[b:c:d]",
            "x: a[b[:], c]",
            "x: a[b[c]:d]",
            "x: a[{b: c}]",
            "x: a[lambda: b]",
            "x: a[lambda b,: c]",
            "x: a[lambda b=[lambda: 1][0],: c]",
        ):
            with self.subTest(source):
                root = parse(source).root_node
                self.assertFalse(root.has_error)
                self.assertIn("type: (type (generic_type ", written(root))


class TypeParameterTest(SyntaxTestCase):
    def test_defaults(self) -> None:
        """A default is a second type after the parameter, with the token `=` between them."""
        expected = '(type_parameter "[" (type (identifier)) "=" (type (identifier)) "]")'
        for source in ("def f[T = int](): pass", "class A[T = int]: pass"):
            with self.subTest(source):
                node = self.only(source)
                self.assertFalse(node.has_error)
                self.assertIn(f"type_parameters: {expected}", written(node))


if __name__ == "__main__":
    unittest.main()
