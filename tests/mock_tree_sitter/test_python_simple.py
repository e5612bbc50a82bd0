from __future__ import annotations

import unittest

from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, written

# Nodes of the imported names `json` and `a.b`.
_JSON = "name: (dotted_name (identifier))"
_DOTTED = 'name: (dotted_name (identifier) "." (identifier))'


class LazyImportTest(SyntaxTestCase):
    def test_lazy_is_the_first_token_of_the_import(self) -> None:
        """The keyword is a token without a field, as `async` is before `def`."""
        for source, expected in (
            ("lazy import json", f'(import_statement "lazy" "import" {_JSON})'),
            (
                "lazy import os.path, json as j",
                f'(import_statement "lazy" "import" {_DOTTED} "," name: (aliased_import {_JSON} '
                '"as" alias: (identifier)))',
            ),
            (
                "lazy from json import dumps",
                '(import_from_statement "lazy" "from" module_name: (dotted_name (identifier)) '
                f'"import" {_JSON})',
            ),
            (
                "lazy from . import (a, b as c,)",
                '(import_from_statement "lazy" "from" module_name: (relative_import '
                f'(import_prefix ".")) "import" "(" {_JSON} "," name: (aliased_import {_JSON} '
                '"as" alias: (identifier)) "," ")")',
            ),
            (
                "lazy from ..lazy import lazy",
                '(import_from_statement "lazy" "from" module_name: (relative_import '
                f'(import_prefix "." ".") (dotted_name (identifier))) "import" {_JSON})',
            ),
            # Python's grammar allows this; its compiler raises the SyntaxError.
            (
                "lazy from a import *",
                '(import_from_statement "lazy" "from" module_name: (dotted_name (identifier)) '
                '"import" (wildcard_import "*"))',
            ),
        ):
            with self.subTest(source):
                node = self.only(source)
                self.assertEqual(expected, written(node))
                self.assertFalse(node.has_error)
                self.assert_sound(parse(source))

    def test_positions_of_a_lazy_import(self) -> None:
        """A lazy import can follow a colon or a semicolon, be in a block, or span two lines."""
        for source in (
            "if a: lazy import b",
            "pass; lazy import b; lazy from c import d",
            "with a:\n    lazy import b\n",
            "try:\n    lazy import b\nexcept* C: pass\n",
            "lazy \\\nimport b",
            "lazy import \\\n    b",
            "lazy\timport b",
        ):
            with self.subTest(source):
                tree = parse(source)
                self.assertFalse(tree.root_node.has_error)
                self.assertIn('"lazy" ', written(tree.root_node))

    def test_lazy_is_a_name_elsewhere(self) -> None:
        """Where no import follows, `lazy` gives the same tree as any other name."""
        for source in (
            "lazy",
            "lazy = 1",
            "lazy: int = 1",
            "lazy += lazy",
            "lazy, b = lazy",
            "lazy.a(lazy=lazy)[lazy]",
            "lazy(a)\nlazy.b",
            "lazy is None",
            "import lazy, lazy.lazy as lazy",
            "from lazy import lazy as lazy",
            "from .lazy import lazy",
            "global lazy",
            "del lazy",
            "print(lazy)",
            "type lazy[lazy] = lazy",
            "def lazy(lazy, *, b: lazy = lazy) -> lazy: return lazy",
            "class lazy(lazy, metaclass=lazy): pass",
            "lambda lazy: lazy",
            "for lazy in lazy: yield from lazy",
            "with lazy as lazy: pass",
            "try: pass\nexcept lazy as lazy: raise lazy from lazy",
            "match lazy:\n    case lazy | lazy.a | lazy(lazy=lazy) as lazy: pass",
            "@lazy\nasync def lazy(): await lazy",
            "f'{lazy!r:{lazy}}'",
            "[lazy for lazy in lazy if lazy]",
            "(lazy := lazy)",
        ):
            with self.subTest(source):
                tree, other = parse(source), parse(source.replace("lazy", "eager"))
                self.assertFalse(tree.root_node.has_error)
                self.assertEqual(written(other.root_node), written(tree.root_node))

    def test_invalid_lazy_imports(self) -> None:
        """An import that Python refuses is an ERROR; the next statement is parsed."""
        for source in (
            "lazy from __future__ import annotations",
            "lazy import (a)",
            "lazy import",
            "a = lazy import b",
            "lazy lazy import a",
            "async lazy import a",
            "lazy.a import b",
        ):
            with self.subTest(source):
                root = parse(source + "\nb = 1\n").root_node
                self.assertTrue(root.has_error)
                self.assertEqual("(expression_statement", str(root.children[-1])[:21])
                self.assertFalse(root.children[-1].has_error)

    def test_a_lazy_import_ends_brackets_that_are_not_closed(self) -> None:
        """Like `import`, it begins a statement inside unclosed brackets (error recovery)."""
        for statement in ("lazy import a", "lazy from a import b"):
            for source in (f"f(a,\n{statement}\n", f"f'''{{a\n{statement}\n"):
                with self.subTest(source):
                    last = parse(source).root_node.children[-1]
                    self.assertIn(last.type, ("import_statement", "import_from_statement"))
                    self.assertFalse(last.has_error)


if __name__ == "__main__":
    unittest.main()
