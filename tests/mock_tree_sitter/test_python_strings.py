from __future__ import annotations

import itertools
import unittest

from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, written

_SAMPLES = ("", "a", "{b}", "{b!r:>{c}} {{d}}", "{b=}", "{'e' 'f'}", "\\n{b,}")


class TemplateStringTest(SyntaxTestCase):
    def test_a_template_is_a_string_with_fields(self) -> None:
        """As in tree-sitter-python, a t-string has the nodes of an f-string."""
        self.assertEqual(
            '(string (string_start) (string_content) (interpolation "{" expression: (identifier) '
            'type_conversion: (type_conversion) format_specifier: (format_specifier ":" '
            '(format_expression "{" expression: (identifier) "}")) "}") (string_end))',
            written(self.only('t"a{b!r:>{c}}"').children[0]),
        )

    def test_all_prefixes_and_quotes(self) -> None:
        """With any prefix and quotes, a t-string gives the same tree as an f-string."""
        prefixes = ("t", "T", "rt", "rT", "Rt", "RT", "tr", "tR", "Tr", "TR")
        for prefix, quote, text in itertools.product(prefixes, ('"', '"""'), _SAMPLES):
            source = f"{prefix}{quote}{text}{quote}"
            with self.subTest(source):
                tree = parse(source)
                other = parse(source.replace("t", "f", 1).replace("T", "F", 1))
                self.assertFalse(tree.root_node.has_error)
                self.assertEqual(written(other.root_node), written(tree.root_node))
                self.assert_sound(tree)

    def test_adjacent_and_nested_templates(self) -> None:
        """Adjacent strings are concatenated; a field can contain a t-string with equal quotes."""
        row = self.only('t"a" t"{b}"').children[0]
        self.assertEqual("concatenated_string", row.type)
        nested = parse('t"{t"{t"{a}"}"}"').root_node
        self.assertFalse(row.has_error or nested.has_error)
        self.assertEqual(3, written(nested).count("(interpolation "))

    def test_invalid_templates(self) -> None:
        """An empty or unclosed field is an ERROR; the next statement is parsed."""
        for source in ('t"{a"', 't"}"', 't"{}"'):
            with self.subTest(source):
                root = parse(source + "\nb = 1\n").root_node
                self.assertTrue(root.has_error)
                self.assertFalse(root.children[-1].has_error)


if __name__ == "__main__":
    unittest.main()
