from __future__ import annotations

import ast
import pathlib
import unittest

import itf.file_generation

_PACKAGE = pathlib.Path(itf.file_generation.__file__).parent


def is_private(name: str) -> bool:
    """Say whether a dotted name has a part with one underscore before it."""
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def private_names(source: str) -> set[str]:
    """Return the private names of other packages that a source uses."""
    tree = ast.parse(source)
    found: set[str] = set()
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            modules |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {alias.asname or alias.name for alias in node.names}
        else:
            continue
        found |= {name for name in names if is_private(name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner, name = node.value, node.attr
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "hasattr", "setattr")
            and isinstance(node.args[1], ast.Constant)
        ):
            owner, name = node.args[0], str(node.args[1].value)
        else:
            continue
        path = f"{ast.unparse(owner)}.{name}"
        if not path.replace(".", "").isidentifier():
            continue  # an attribute of what a call or a subscript gives
        if path.partition(".")[0] in modules and is_private(path):
            found.add(path)
    return found


class PrivateNamesTest(unittest.TestCase):
    def test_the_package_uses_none(self) -> None:
        """No module of the package depends on a private name of the standard library.

        A name that it comes to need has a fallback, and a test of its own by name.
        """
        paths = sorted(_PACKAGE.glob("*.py"))
        self.assertGreater(len(paths), 10)
        for path in paths:
            with self.subTest(path.name):
                self.assertEqual(set(), private_names(path.read_text(encoding="utf-8")))

    def test_how_such_a_name_is_found(self) -> None:
        """As a module, as a name from one, as an attribute, and in a string."""
        for source, expected in (
            ("import _thread", {"_thread"}),
            ("import a._b as c", {"a._b"}),
            ("from a import _b", {"a._b"}),
            ("import os\nos._exit(0)", {"os._exit"}),
            ("import os\nos.path._get_sep('')", {"os.path._get_sep"}),
            ("from a import b as c\nc._d", {"c._d"}),
            ("import sys\ngetattr(sys, '_getframe')", {"sys._getframe"}),
            ("import os\nos.stat(self._a).st_mode", set()),
            ("import os\nself._a = os.a\na.b._replace()\nos.__doc__", set()),
        ):
            with self.subTest(source):
                self.assertEqual(expected, private_names(source))


if __name__ == "__main__":
    unittest.main()
