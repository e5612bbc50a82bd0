from __future__ import annotations

import unittest

from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, written

_FOR = '(for_in_clause "for" left: (identifier) "in" right: (identifier))'
_STAR = 'body: (list_splat "*" (identifier))'
_STARS = 'body: (dictionary_splat "**" (identifier))'


class UnpackingComprehensionTest(SyntaxTestCase):
    def test_an_unpacking_is_the_body(self) -> None:
        """The body of a comprehension may be a `list_splat` or a `dictionary_splat`."""
        for source, expected in (
            ("[*x for x in y]", f'(list_comprehension "[" {_STAR} {_FOR} "]")'),
            ("{*x for x in y}", f'(set_comprehension "{{" {_STAR} {_FOR} "}}")'),
            ("(*x for x in y)", f'(generator_expression "(" {_STAR} {_FOR} ")")'),
            ("{**x for x in y}", f'(dictionary_comprehension "{{" {_STARS} {_FOR} "}}")'),
            (
                "f(*x for x in y)",
                f'(call function: (identifier) arguments: (generator_expression "(" {_STAR} {_FOR} '
                '")"))',
            ),
            (
                "{**x for x in y if x for x in y}",
                f'(dictionary_comprehension "{{" {_STARS} {_FOR} (if_clause "if" (identifier)) '
                f'{_FOR} "}}")',
            ),
            (
                "{**{a: b} async for x in y}",
                '(dictionary_comprehension "{" body: (dictionary_splat "**" (dictionary "{" (pair '
                'key: (identifier) ":" value: (identifier)) "}")) (for_in_clause "async" "for" '
                'left: (identifier) "in" right: (identifier)) "}")',
            ),
            (
                "{**a if b else c for x in y}",
                '(dictionary_comprehension "{" body: (dictionary_splat "**" '
                '(conditional_expression (identifier) "if" (identifier) "else" (identifier))) '
                f'{_FOR} "}}")',
            ),
        ):
            with self.subTest(source):
                tree = parse(source)
                self.assertFalse(tree.root_node.has_error)
                self.assertEqual(expected, written(tree.root_node.children[0].children[0]))
                self.assert_sound(tree)

    def test_comprehensions_without_unpacking_stay_as_they_are(self) -> None:
        """Braces with a pair are a dictionary comprehension, others a set comprehension."""
        for source, kind in (
            ("{a for a in b}", "set_comprehension"),
            ("{a: b for a in b}", "dictionary_comprehension"),
            ("{**a}", "dictionary"),
            ("{**a, **b}", "dictionary"),
            ("{*a}", "set"),
        ):
            with self.subTest(source):
                node = self.only(source).children[0]
                self.assertEqual(kind, node.type)
                self.assertFalse(node.has_error)

    def test_invalid_unpackings(self) -> None:
        """Two stars outside of braces, or two elements before `for`, are an ERROR."""
        for source in (
            "[**a for a in b]",
            "(**a for a in b)",
            "f(**a for a in b)",
            "{**a: 1 for a in b}",
            "{c, **a for a in b}",
            "{c: d, **a for a in b}",
            "[*a, b for a in c]",
            "x[*a for a in b]",
        ):
            with self.subTest(source):
                self.assertTrue(parse(source).root_node.has_error)


if __name__ == "__main__":
    unittest.main()
