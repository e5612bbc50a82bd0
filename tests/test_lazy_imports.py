from __future__ import annotations

import importlib
import pathlib
import sys
import tempfile
import types
import unittest
from typing import Any

from itf.lazy_imports import is_lazy, lazy_names, resolve_modules, resolved_item

HAS_LAZY = sys.version_info >= (3, 15)


def namespace(source: str) -> dict[str, Any]:
    """Execute a source and return its globals."""
    names: dict[str, Any] = {"__name__": "lazy_example"}
    exec(source, names)
    return names


class PlainTest(unittest.TestCase):
    def test_a_value_is_itself(self) -> None:
        """On every Python, values that are no lazy imports are returned unchanged.

        An import inside a `try` statement is never lazy.
        """
        names = namespace("try:\n import colorsys\nfinally:\n number = 1")
        self.assertEqual([], lazy_names(names))
        for name, value in [*names.items()]:
            self.assertFalse(is_lazy(value))
            self.assertIs(value, resolved_item(names, name))
        resolve_modules("itf")

    def test_the_type_has_its_name(self) -> None:
        """`types.LazyImportType` exists since Python 3.15; this test fails if it is renamed."""
        self.assertEqual(HAS_LAZY, hasattr(types, "LazyImportType"))


@unittest.skipUnless(HAS_LAZY, "lazy imports are new in Python 3.15")
class LazyTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        sys.path.insert(0, folder.name)
        self.addCleanup(sys.path.remove, folder.name)
        self.addCleanup(self.forget)

    def forget(self) -> None:
        for name in [name for name in sys.modules if name.startswith("lazy_example")]:
            del sys.modules[name]

    def write(self, name: str, source: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")

    def test_a_lazy_import_is_found_and_resolved(self) -> None:
        """The imported module replaces the placeholder."""
        self.write("lazy_example_one.py", "value = [1]")
        names = namespace("lazy from lazy_example_one import value\nother = 2")
        self.assertEqual(["value"], lazy_names(names))
        self.assertTrue(is_lazy(names["value"]))
        self.assertEqual([1], resolved_item(names, "value"))
        self.assertEqual([1], names["value"])
        self.assertEqual([], lazy_names(names))

    def test_a_failing_lazy_import_stays(self) -> None:
        """If the module raises any exception, the placeholder stays, and using the name raises."""
        self.write("lazy_example_bad.py", "raise ZeroDivisionError")
        names = namespace("lazy import lazy_example_none\nlazy import lazy_example_bad")
        for name in ("lazy_example_none", "lazy_example_bad"):
            self.assertTrue(is_lazy(resolved_item(names, name)))
            self.assertTrue(is_lazy(names[name]))

    def test_all_modules_of_a_package(self) -> None:
        """Modules that the resolution loads are resolved too; other packages are not."""
        self.write("lazy_example/__init__.py", "")
        self.write("lazy_example/one.py", "lazy from lazy_example.two import x")
        self.write("lazy_example/two.py", "lazy import lazy_example_three\nx = 1")
        self.write("lazy_example_three.py", "lazy import colorsys")
        importlib.import_module("lazy_example.one")
        resolve_modules("lazy_example")
        modules = [sys.modules[f"lazy_example{name}"] for name in (".one", ".two", "_three")]
        self.assertEqual([[], [], ["colorsys"]], [lazy_names(vars(m)) for m in modules])


if __name__ == "__main__":
    unittest.main()
