from __future__ import annotations

import errno
import os
import pathlib
import tempfile
import unittest
from collections.abc import Callable
from typing import Any

from itf.exceptions import WorkspaceEscapeError
from itf.file_generation.path_checks import TEMPORARY_NAME_BYTES
from tests.file_generation.given_directory import WRITE_FILE, GivenDirectoryTestCase
from tests.support import run_script


class LimitsTest(GivenDirectoryTestCase):
    """Names and paths of the greatest length, odd names, and text that cannot be encoded."""

    def test_a_name_of_the_greatest_length(self) -> None:
        """A name may have the greatest length in bytes; the error for a longer one shows it."""
        most = os.pathconf(self.root, "PC_NAME_MAX")
        for name in ("x" * most, "é" * (most // 2)):
            for create in WRITE_FILE.values():
                create(self.files, name)
                self.assertIn(name.encode(), os.listdir(os.fsencode(self.root)))
            with self.assertRaises(OSError) as caught:
                self.files.create_file(f"folder/{name}xx", "")
            size = len(f"{name}xx".encode())
            self.assertEqual(
                f"[Errno {errno.ENAMETOOLONG}] the name has {size} bytes, the file system allows "
                f"{most}; shorten it: '{name}xx'",
                str(caught.exception),
            )
        self.assertFalse((self.root / "folder").exists())

    def test_a_path_of_the_greatest_length(self) -> None:
        """A path may have the greatest length in bytes; the error for a longer one shows it."""
        most = os.pathconf(self.root, "PC_PATH_MAX") - 1
        room = most - len(os.fsencode(self.root)) - 1
        name = "folder-16-bytes/" * ((room - TEMPORARY_NAME_BYTES) // 16)
        path = self.files.create_file(name + "x" * (room - len(name)), "deep")
        self.assertEqual(("deep", most), (path.read_text(), len(os.fsencode(path))))
        name += "x" * (room - len(name) + 1)
        with self.assertRaises(OSError) as caught:
            self.files.create_file(name, "")
        self.assertIn(
            f"the whole path has {most + 1} bytes, at most {most} are possible here; shorten it",
            str(caught.exception),
        )
        self.files.tearDown()
        self.assertEqual([], os.listdir(self.root))

    def test_a_long_path_with_a_short_name(self) -> None:
        """The limit leaves room for the temporary name, which is longer than a short name."""
        most = os.pathconf(self.root, "PC_PATH_MAX") - 1
        room = most - len(os.fsencode(self.root)) - 1 - TEMPORARY_NAME_BYTES
        folder = "folder-16-bytes/" * (room // 16 - 1)
        folder += "y" * (room - len(folder) - 1)
        path = self.files.create_file(f"{folder}/a", "deep")
        self.assertEqual("deep", path.read_text())
        with self.assertRaises(OSError) as caught:
            self.files.create_file(f"{folder}y/a", "")
        limit = most - TEMPORARY_NAME_BYTES + 1
        self.assertIn(
            f"the whole path has {limit + 1} bytes, at most {limit} are possible here",
            str(caught.exception),
        )

    def test_names_of_every_kind(self) -> None:
        """Emoji, right-to-left text, combining marks and names reserved by Windows are allowed."""
        names = [
            "☃",
            "שלום",
            "e\u0301",
            "é",
            "\u202ecod.exe",
            "😀" * 60,
            "CON",
            "a:b",
            "a\\b",
            "a.",
            "a ",
        ]
        paths = self.files.create_tree(dict.fromkeys(names, "x"))
        self.assertEqual(set(names), {name.decode() for name in os.listdir(os.fsencode(self.root))})
        self.assertEqual(names, list(paths))
        for name in ("\ud800", "a\udfff/b"):
            with self.assertRaises(ValueError) as caught:
                self.files.create_file(name, "")
            self.assertRegex(str(caught.exception), "is not the name of a file: no name on disk")

    def test_utf8_in_every_locale(self) -> None:
        """Names on disk are UTF-8 in every locale, and the returned paths can be opened."""
        for options in ({"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONUTF8": "1"}):
            with self.subTest(options):
                done = run_script(
                    """
import os, sys
from itf import test_file_generator
with test_file_generator() as files:
    path = files.create_file("\\xe4/\\u2603.py", "\\xe4\\u2603", "\\xf6")
    tree = files.create_tree({"\\xfc": {"\\xdf": ""}})
    mutation = files.mutate(path, 1)
    loop = files.create_symlink_loop("\\xe4/loop")
    root = os.fsencode(files.workspace)
    names = os.listdir(root)
    found = {
        "created": os.path.exists(root + "/\\xf6/\\xe4/\\u2603.py".encode()),
        "tree": os.path.exists(root + "/\\xfc/\\xdf".encode()),
        "paths": path.exists() and all(made.exists() for made in tree.values()),
        "loop": os.path.lexists(loop),
        "keys": list(tree) == ["\\xfc/\\xdf"],
        "parent": path.parent.parent.name.encode("utf-8", "surrogateescape") == "\\xf6".encode(),
    }
    files.timeline.describe().encode("ascii", "backslashreplace")
found["removed"] = not os.path.exists(root)
print(sys.getfilesystemencoding(), [name for name in found if not found[name]], names)
""",
                    PYTHONCOERCECLOCALE="0",
                    **options,
                )
                self.assertEqual("", done.stderr)
                encoding, wrong = done.stdout.split(" ", 1)
                self.assertTrue(wrong.startswith("[] "), wrong)
                if options.get("PYTHONUTF8") == "0":
                    self.assertNotEqual("utf-8", encoding)


class NamesTest(GivenDirectoryTestCase):
    def test_every_name_is_checked(self) -> None:
        """Every method refuses names and links that lead out of the workspace."""
        calls: list[Callable[[Any], object]] = [
            lambda name: self.files.create_file(name, ""),
            lambda name: self.files.create_file("a", "", subdir=name),
            lambda name: self.files.create_large_file(name, 0.001),
            lambda name: self.files.create_error_file(name, "bom"),
            lambda name: self.files.create_tree({name: ""}),
            lambda name: self.files.create_tree({"a": {name: ""}}),
            lambda name: self.files.create_tree({"a": {"b": {}, name: {"c": {}}}}),
            lambda name: self.files.create_tree({"a": ""}, subdir=name),
            lambda name: self.files.create_project(name, files=1),
            self.files.create_symlink_loop,
            lambda name: self.files.create_symlink_loop(name, "folder"),
            self.files.create_unreadable,
            lambda name: self.files.create_unreadable(name, {}),
            lambda name: self.files.create_sparse(name, 1),
            lambda name: self.files.mutate(name, 1),
        ]
        with tempfile.TemporaryDirectory(dir=self.root.parent) as folder:
            outside = pathlib.Path(folder)
            (outside / "x").write_text("kept")
            (self.root / "a").mkdir()
            links = [self.root / "link", self.root / "a" / "link"]
            for link in links:
                link.symlink_to(outside)
            try:
                for call in calls:
                    for name in ("../x", "a/../../x", str(outside / "x"), "link/x", "link/new"):
                        with self.subTest(name), self.assertRaises(WorkspaceEscapeError):
                            call(name)
                    for wrong in (3, None, b"x"):
                        with self.subTest(wrong), self.assertRaises(TypeError):
                            call(wrong)
            finally:
                for link in links:
                    link.unlink()
            self.assertEqual({"x": "kept"}, {p.name: p.read_text() for p in outside.iterdir()})
        self.assertEqual([["a"], ["b"]], [os.listdir(self.root), os.listdir(self.root / "a")])


if __name__ == "__main__":
    unittest.main()
