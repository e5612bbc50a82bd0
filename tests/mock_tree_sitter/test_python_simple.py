from __future__ import annotations

import unittest

from tests.mock_tree_sitter.tree_support import SyntaxTestCase, parse, written

# The two names that `lazy import` and `lazy from` import from, and their nodes.
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
            # Python's grammar has it; its compiler refuses it later.
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

    def test_where_a_lazy_import_may_stand(self) -> None:
        """It is a simple statement: after a colon or a semicolon, in a block, on two lines."""
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
        """Wherever no import follows, `lazy` gives the tree that any other name gives."""
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

    def test_what_is_no_lazy_import(self) -> None:
        """What Python's grammar refuses is an ERROR, and the statement after it is not."""
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
        """It begins a statement as `import` does, so that not all after it is lost."""
        for statement in ("lazy import a", "lazy from a import b"):
            for source in (f"f(a,\n{statement}\n", f"f'''{{a\n{statement}\n"):
                with self.subTest(source):
                    last = parse(source).root_node.children[-1]
                    self.assertIn(last.type, ("import_statement", "import_from_statement"))
                    self.assertFalse(last.has_error)


if __name__ == "__main__":
    unittest.main()
