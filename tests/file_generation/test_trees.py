from __future__ import annotations

import os
import types
import unittest
from typing import Any

from itf import WorkspaceEscapeError, test_file_generator as file_generator


class TreeTest(unittest.TestCase):
    """`create_tree`."""

    def setUp(self) -> None:
        self.files = file_generator()
        self.files.setUp()
        self.addCleanup(self.files.tearDown)
        self.root = self.files.workspace

    def test_a_tree(self) -> None:
        """A tree has text, bytes, nested folders, empty folders, and names that are paths."""
        tree = {
            "src/a.py": "x = 'ä'\r\n",
            "src/b": {"c.py": b"\xff", "d/e": {"f": bytearray(b"1")}, "empty": {}},
            "top": memoryview(b"2"),
        }
        paths = self.files.create_tree(tree)  # type: ignore[arg-type]
        contents = {"src/a.py": "x = 'ä'\r\n".encode(), "src/b/c.py": b"\xff"}
        contents |= {"src/b/d/e/f": b"1", "top": b"2"}
        self.assertEqual(contents, {name: path.read_bytes() for name, path in paths.items()})
        self.assertEqual({name: self.root / name for name in contents}, paths)
        self.assertEqual([], os.listdir(self.root / "src" / "b" / "empty"))

    def test_in_a_folder(self) -> None:
        """With subdir, the names in the result are still those of the tree."""
        self.assertEqual(
            {"a": self.root / "x" / "y" / "a"}, self.files.create_tree({"a": ""}, subdir="x/y")
        )

    def test_links_that_lead_out(self) -> None:
        """The error has the name that the tree uses."""
        (self.root / "out").symlink_to("/")
        for tree in ({"out": {}}, {"out/a": ""}):
            with self.assertRaises(WorkspaceEscapeError) as caught:
                self.files.create_tree(tree)
            self.assertEqual(
                f"'out' leads out of the workspace {str(self.root)!r}: "
                "a link on its way leads to '/'; give a relative name below it",
                str(caught.exception),
            )

    def test_a_folder_given_twice(self) -> None:
        """The contents of a folder that is given several times are combined."""
        paths = self.files.create_tree({"new/a": "", "new": {"b": ""}, "./new//": {"c/d": ""}})
        self.assertEqual(["new/a", "new/b", "new/c/d"], sorted(paths))

    def test_empty_trees_and_mappings(self) -> None:
        """A tree may be empty, and may be any kind of mapping."""
        self.assertEqual({}, self.files.create_tree({}))
        tree = types.MappingProxyType({"a": types.MappingProxyType({"b": ""})})
        self.assertEqual(["a/b"], list(self.files.create_tree(tree)))

    def test_it_is_one_event(self) -> None:
        """The timeline gets one event with the number of files."""
        self.files.create_tree({"new": {"a": "", "b": ""}})
        self.assertEqual(
            [{"action": "tree written", "path": str(self.root), "files": 2}],
            [event["data"] for event in self.files.timeline.events("file")],
        )

    def test_wrong_trees_are_refused(self) -> None:
        """A wrong tree raises an error before the first file is written."""
        circle: dict[str, Any] = {}
        circle["a"] = {"b": circle}
        content = "the content of {} must be str or bytes, got {}"
        twice = "{} occurs twice in the tree; give it once"
        below = "{} is below a name that the same tree uses for a file"
        cases: list[tuple[Any, type[Exception], str]] = [
            ({"new": {"x": "", "a": 3}}, TypeError, content.format("'new/a'", 3)),
            ({"new": {"x": ""}, "a": None}, TypeError, content.format("'a'", None)),
            (["a"], TypeError, "a tree must be a mapping from name to content, got ['a']"),
            ({"new": "", 3: ""}, TypeError, "name must be a str, got 3"),
            ({"new/a": "1", "new": {"a": "2"}}, ValueError, twice.format("'new/a'")),
            ({"new/a": "1", "./new/a": "1"}, ValueError, twice.format("'new/a'")),
            ({"new/a": "", "new": "1"}, ValueError, twice.format("'new'")),
            ({"new": {}, "./new": ""}, ValueError, twice.format("'new'")),
            ({"new": "1", "new/a": ""}, ValueError, below.format("'new/a'")),
            ({"new": {"": ""}}, ValueError, "'new/' is not the name of a file"),
            ({"new": "", "x": circle}, ValueError, "the tree contains itself, at 'x/a/b'"),
        ]
        for tree, kind, text in cases:
            with self.subTest(text), self.assertRaises(kind) as caught:
                self.files.create_tree(tree)
            self.assertEqual(text, str(caught.exception))
        self.assertFalse((self.root / "new").exists())


if __name__ == "__main__":
    unittest.main()
