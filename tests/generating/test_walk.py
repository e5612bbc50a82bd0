from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import stat
import tempfile
import unittest
import warnings
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf import TestFileGenerator, test_file_generator as file_generator
from itf.exceptions import WorkspaceEscapeError
from itf.generating.walk import HAS_FOLDERS
from tests.fixtures import test_file_generator as fixture_tests
from tests.generating.system_calls import happening_at

# Every way through a folder to make or change something: large files, broken ones
# and sparse ones are written as any other is.
_ACTIONS: dict[str, Callable[[TestFileGenerator], object]] = {
    "create_file": lambda files: files.create_file("folder/inner/a", "x"),
    "create_file in a new folder": lambda files: files.create_file("folder/inner/new/a", "x"),
    "create_file, replacing": lambda files: files.create_file("folder/inner/file", "x"),
    "create_tree": lambda files: files.create_tree({"folder": {"inner": {"a": "x", "b/c": "y"}}}),
    "create_project": lambda files: files.create_project("folder/inner/package", files=2),
    "create_symlink_loop": lambda files: files.create_symlink_loop("folder/inner/a"),
    "create_unreadable folder": lambda files: files.create_unreadable("folder/inner/a", {"b": ""}),
    "mutate": lambda files: files.mutate("folder/inner/file", 1),
    "mutate in place": lambda files: files.mutate("folder/inner/large", 1),
    "tearDown": lambda files: files.tearDown(),
}


class WalkTestCase(unittest.TestCase):
    def setUp(self) -> None:
        both = tempfile.TemporaryDirectory()
        self.addCleanup(both.cleanup)
        self.both = pathlib.Path(both.name).resolve()
        self.root = self.both / "root"
        self.outside = self.both / "outside"

        (self.outside / "inner").mkdir(parents=True)
        for name in ("file", "a", "own"):
            (self.outside / "inner" / name).write_text("kept")
        (self.outside / "inner" / "large").touch()
        os.truncate(self.outside / "inner" / "large", 1 << 27)

    def build(self) -> TestFileGenerator:
        """Make the directory anew, with names in it that there are outside, too."""
        if self.root.exists():
            shutil.rmtree(self.root)
        self.root.mkdir()
        files = file_generator(self.root)
        files.setUp()
        files.create_file("folder/inner/own", "of the generator")
        files.create_file("folder/inner/file", "x = 1\n")
        files.create_sparse("folder/inner/large", 128)
        return files

    def seen(self) -> dict[str, Any]:
        """Return all there is outside: names, modes, contents."""
        found: dict[str, Any] = {}
        for path in sorted(self.outside.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if status.st_size < 1000 and path.is_file() else b""
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
        return found

    def swap(self, name: str) -> None:
        """Put a link that leads out in the place of a folder."""
        path = self.root / name
        os.rename(path, self.both / "moved")
        path.symlink_to(self.outside / name.partition("/")[2])


@unittest.skipUnless(HAS_FOLDERS, "this system cannot hold a folder open")
class SwappedFolderTest(WalkTestCase):
    """A folder becomes a link that leads out, at every single moment of every action."""

    def test_nothing_is_made_changed_or_removed_outside(self) -> None:
        """Whichever call to the system it happens before, and whichever folder it is."""
        escapes = 0
        for name, action in _ACTIONS.items():
            for folder in ("folder", "folder/inner"):
                number = 0
                while True:
                    with self.subTest(name, folder=folder, call=number):
                        moments, refused = self.run_with_swap(action, folder, number)
                    escapes += refused
                    number += 1
                    if number > moments:
                        break
                self.assertGreater(number, 5, "hardly a call was seen")
        # The link was met, and not by chance walked past each time.
        self.assertGreater(escapes, len(_ACTIONS))

    def run_with_swap(
        self, action: Callable[[TestFileGenerator], object], folder: str, number: int
    ) -> tuple[int, bool]:
        files = self.build()
        before = self.seen()
        refused = False
        with (
            happening_at(number, lambda: self.swap(folder)) as calls,
            warnings.catch_warnings(),
            contextlib.suppress(OSError),  # the folder was moved away from under it
        ):
            warnings.simplefilter("ignore", RuntimeWarning)
            try:
                action(files)
            except WorkspaceEscapeError:
                refused = True
        self.assertEqual(before, self.seen())
        files.tearDown()
        self.assertEqual(before, self.seen())
        if (self.both / "moved").exists():
            for path in (self.both / "moved").rglob("*"):
                if path.is_dir():
                    path.chmod(0o700)
            shutil.rmtree(self.both / "moved")
        return calls.count, refused


class LinksInsideTest(WalkTestCase):
    """Links that stay inside are followed, wherever they lead."""

    def setUp(self) -> None:
        super().setUp()
        self.files = self.build()
        self.addCleanup(self.files.tearDown)

    def leads(self, link: str, target: str, name: str, to: str) -> None:
        path = self.root / link
        path.symlink_to(target)
        self.addCleanup(path.unlink)
        self.files.create_file(name, f"by {link}")
        self.assertEqual(f"by {link}", (self.root / to).read_text())
        self.assertFalse((self.root / to).is_symlink())

    def test_relative_absolute_and_up(self) -> None:
        """To a folder, to a file, by '..', by an absolute path, and through other links."""
        (self.root / "folder" / "deep" / "er").mkdir(parents=True)
        self.leads("a", "folder", "a/new", "folder/new")
        self.leads("b", str(self.root / "folder"), "b/new2", "folder/new2")
        self.leads("folder/deep/up", "../inner", "folder/deep/up/x", "folder/inner/x")
        self.leads("c", "folder/deep/up/../deep/er", "c/y", "folder/deep/er/y")
        self.leads("d", "folder/inner/file", "d", "folder/inner/file")
        self.leads("e", "folder/dangling", "e", "folder/dangling")
        self.leads("f", "a/../folder//./deep", "f/z", "folder/deep/z")

    def test_up_goes_from_where_the_link_led(self) -> None:
        """As the system has it: '..' after a link is above its target, not above the link."""
        (self.root / "folder" / "deep").mkdir()
        self.leads("to_deep", "folder/deep", "x", "x")
        self.leads("folder/back", "../to_deep/..", "folder/back/q", "folder/q")

    def test_a_link_called_like_any_name(self) -> None:
        """What is made new, and folders, go where they are to go, whatever lies beside them."""
        for name in ("-", "*"):
            (self.root / "folder" / name).symlink_to(self.outside)
        self.files.create_symlink_loop("folder/a")
        self.files.create_tree({"folder": {"inner": {}, "new": {}}})
        self.files.create_project("folder/package", files=1)
        made = {"-", "*", "a", "a-2", "inner", "new", "package"}
        self.assertEqual(made, set(os.listdir(self.root / "folder")))
        for name in ("-", "*"):
            (self.root / "folder" / name).unlink()

    def test_up_and_out(self) -> None:
        """A link that goes above the root is refused, also if it came back."""
        for target in ("..", "../outside", "../root/folder", "folder/../../root", "/", "//etc"):
            (self.root / "link").symlink_to(target)
            with self.subTest(target), self.assertRaises(WorkspaceEscapeError):
                self.files.create_file("link/new", "")
            (self.root / "link").unlink()

    def test_what_is_no_folder(self) -> None:
        """A file on the way, a link to the root, and loops, are the system's own errors."""
        (self.root / "self").symlink_to(".")
        (self.root / "loop").symlink_to("loop")
        for name, kind in (
            ("folder/inner/file/a", NotADirectoryError),
            ("self", IsADirectoryError),
            ("folder", IsADirectoryError),
            ("loop", OSError),
            ("loop/a", OSError),
        ):
            with self.subTest(name), self.assertRaises(kind) as caught:
                self.files.create_file(name, "")
            self.assertIn(str(self.root), str(caught.exception))
        for name in ("self", "loop"):
            (self.root / name).unlink()

    def test_a_removed_workspace_is_made_again(self) -> None:
        """A test may remove it all and go on; the directory is closed to others."""
        shutil.rmtree(self.root)
        self.files.create_file("a/b", "c")
        self.assertEqual("c", (self.root / "a" / "b").read_text())
        self.assertEqual(0o700, stat.S_IMODE(self.root.stat().st_mode))


class _WithoutFolders(unittest.TestCase):
    def setUp(self) -> None:
        patch = mock.patch("itf.generating.place.HAS_FOLDERS", False)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class WithoutFoldersTest(_WithoutFolders, fixture_tests.EscapeTest):
    """The same names are refused on a system that cannot hold a folder open."""


class GivenWithoutFoldersTest(_WithoutFolders, fixture_tests.GivenDirectoryTest):
    """And what was made is removed there, and nothing else."""


if __name__ == "__main__":
    unittest.main()
