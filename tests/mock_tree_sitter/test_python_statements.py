from __future__ import annotations

import unittest

from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, written


class ExceptTest(SyntaxTestCase):
    def test_several_types_need_no_parentheses(self) -> None:
        """Each type is a `value` of the clause; a comma can follow the last one."""
        value = "value: (identifier)"
        for header, expected in (
            ("except A, B", f'"except" {value} "," {value}'),
            ("except A, B,", f'"except" {value} "," {value} ","'),
            ("except A,", f'"except" {value} ","'),
            ("except* A, B, C", f'"except" "*" {value} "," {value} "," {value}'),
            ("except* A, B,", f'"except" "*" {value} "," {value} ","'),
            (
                "except (A, B)",
                '"except" value: (tuple "(" (identifier) "," (identifier) ")")',
            ),
        ):
            with self.subTest(header):
                tree = parse(f"try: a\n{header}: b")
                self.assertFalse(tree.root_node.has_error)
                self.assertIn(
                    f'(except_clause {expected} ":" (block (expression_statement (identifier))))',
                    written(tree.root_node),
                )
                self.assert_sound(tree)

    def test_invalid_lists_of_types(self) -> None:
        """A list with a leading comma or two adjacent commas is an ERROR."""
        for header in ("except ,", "except A,, B", "except , A", "except* A, *B, **C"):
            with self.subTest(header):
                self.assertTrue(parse(f"try: a\n{header}: b").root_node.has_error)


if __name__ == "__main__":
    unittest.main()
