from __future__ import annotations

import os
import pathlib
import sysconfig
import tempfile
import unittest
import warnings

from tests.mock_tree_sitter.tree_support import parse

# A normal run parses one file in this many, to save time; ITF_TEST_FULL=1 parses all.
_STEP = 40
# Files that every run parses, if this Python has them: they contain the newest syntax,
# or more kinds of syntax than other files.
_ALWAYS = (
    "argparse.py",
    "collections/__init__.py",
    "_pyrepl/utils.py",
    "test/test_annotationlib.py",
    "test/test_except_star.py",
    "test/test_grammar.py",
    "test/test_patma.py",
    "test/test_tstring.py",
    "test/test_type_params.py",
    "test/test_unpack_ex.py",
    "typing.py",
)


def sources(root: pathlib.Path) -> list[pathlib.Path]:
    """Return the Python files below a directory, without installed packages."""
    installed = {"site-packages", "dist-packages"}
    return sorted(
        path for path in root.rglob("*.py") if path.is_file() and not installed & {*path.parts}
    )


def compiles(path: pathlib.Path) -> bool:
    """Return whether Python can compile a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(path.read_bytes(), path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
    return True


def misread(paths: list[pathlib.Path]) -> list[str]:
    """Return the files that Python compiles but the parser does not, with the error's line."""
    found = []
    for path in paths:
        node = parse(path.read_bytes()).root_node
        if node.has_error and compiles(path):
            while not (node.is_error or node.is_missing):
                node = next(child for child in node.children if child.has_error)
            found.append(f"{path}:{node.start_point.row + 1}")
    return found


class StandardLibraryTest(unittest.TestCase):
    def test_the_standard_library_is_parsed_without_an_error(self) -> None:
        """No file of this Python's standard library that it compiles gets an ERROR node."""
        root = pathlib.Path(sysconfig.get_path("stdlib"))
        paths = sources(root)
        self.assertGreater(len(paths), 100)
        if os.environ.get("ITF_TEST_FULL") != "1":
            always = {root / name for name in _ALWAYS}
            paths = [
                path for index, path in enumerate(paths) if index % _STEP == 0 or path in always
            ]
        self.assertEqual([], misread(paths))

    def test_only_files_that_python_compiles_are_reported(self) -> None:
        """A file that only Python accepts is reported with a line; an invalid file is not."""
        with tempfile.TemporaryDirectory() as directory:
            folder = pathlib.Path(directory)
            # A carriage return ends a line in Python, but is white space in tree-sitter.
            (folder / "old_mac.py").write_bytes(b"a\nb\rc\n")
            (folder / "broken.py").write_bytes(b"a b\n")
            (folder / "good.py").write_bytes(b"a\n")
            (folder / "site-packages").mkdir()
            (folder / "site-packages" / "other.py").write_bytes(b"a\rb\n")
            (folder / "nowhere.py").symlink_to(folder / "missing.py")
            self.assertEqual(
                ["broken.py", "good.py", "old_mac.py"], [path.name for path in sources(folder)]
            )
            self.assertEqual([f"{folder / 'old_mac.py'}:2"], misread(sources(folder)))


if __name__ == "__main__":
    unittest.main()
