from __future__ import annotations

import os
import pathlib
import shutil
import stat
import tempfile
import unittest
import warnings
from collections.abc import Callable
from typing import Any

from itf import TestFileGenerator, test_file_generator as file_generator
from itf.exceptions import WorkspaceEscapeError
from itf.file_generation.capabilities import enforce_permissions
from itf.file_generation.relative_paths import resolve_below

# Every method that creates or changes something inside folder/inner.  Large,
# defective and sparse files are written by the same function as create_file.
_ACTIONS: dict[str, Callable[[TestFileGenerator], object]] = {
    "create_file": lambda files: files.create_file("folder/inner/a", "x"),
    "create_file in a new folder": lambda files: files.create_file("folder/inner/new/a", "x"),
    "create_file, replacing": lambda files: files.create_file("folder/inner/file", "x"),
    "create_tree": lambda files: files.create_tree({"folder": {"inner": {"a": "x", "b/c": "y"}}}),
    "create_project": lambda files: files.create_project("folder/inner/package", files=2),
    "create_symlink_loop": lambda files: files.create_symlink_loop("folder/inner/a"),
    "create_unreadable": lambda files: files.create_unreadable("folder/inner/a", "b"),
    "create_unreadable folder": lambda files: files.create_unreadable("folder/inner/a", {"b": ""}),
    "mutate": lambda files: files.mutate("folder/inner/file", 1),
    "mutate in place": lambda files: files.mutate("folder/inner/large", 1),
}


class LinksTestCase(unittest.TestCase):
    """Base class: a workspace, and a directory outside of it that has the same names."""

    def setUp(self) -> None:
        parent = tempfile.TemporaryDirectory()
        self.addCleanup(parent.cleanup)
        self.parent = pathlib.Path(parent.name).resolve()
        self.root = self.parent / "root"
        self.outside = self.parent / "outside"

        (self.outside / "inner").mkdir(parents=True)
        for name in ("file", "a", "own"):
            (self.outside / "inner" / name).write_text("kept")
        (self.outside / "inner" / "large").touch()
        os.truncate(self.outside / "inner" / "large", 1 << 27)

    def create_workspace(self) -> TestFileGenerator:
        """Create a new workspace with files in folder/inner."""
        if self.root.exists():
            shutil.rmtree(self.root)
        self.root.mkdir()
        files = file_generator(self.root)
        files.setUp()
        files.create_file("folder/inner/own", "of the generator")
        files.create_file("folder/inner/file", "x = 1\n")
        files.create_sparse("folder/inner/large", 128)
        return files

    def state_outside(self) -> dict[str, Any]:
        """Return mode, size, time of change and content of every path outside."""
        found: dict[str, Any] = {}
        for path in sorted(self.outside.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if status.st_size < 1000 and path.is_file() else b""
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
        return found

    def replace_by_link(self, name: str) -> None:
        """Move a folder of the workspace away, and put a link in its place that leads out."""
        path = self.root / name
        shutil.move(path, self.parent / "moved")
        self.addCleanup(shutil.rmtree, self.parent / "moved", ignore_errors=True)
        path.symlink_to(self.outside / name.partition("/")[2])


class LinkOutTest(LinksTestCase):
    """A folder was replaced by a link that leads out, after files were created in it."""

    def test_every_method_refuses_the_link(self) -> None:
        """The method raises WorkspaceEscapeError, and nothing outside changes."""
        before = self.state_outside()
        for name, action in _ACTIONS.items():
            for folder in ("folder", "folder/inner"):
                with self.subTest(name, folder=folder):
                    files = self.create_workspace()
                    self.replace_by_link(folder)
                    with self.assertRaises(WorkspaceEscapeError):
                        action(files)
                    self.assertEqual(before, self.state_outside())
                    files.tearDown()
                    self.assertEqual(before, self.state_outside())
                    shutil.rmtree(self.parent / "moved")

    def test_every_method_works_without_the_link(self) -> None:
        """Counterpart of the test above: it is the link that is refused, nothing else."""
        for name, action in _ACTIONS.items():
            with self.subTest(name), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # create_unreadable as root
                files = self.create_workspace()
                action(files)
                files.tearDown()
                self.assertEqual([], os.listdir(self.root))

    def test_the_last_component_is_a_link(self) -> None:
        """A file is not written through a link, and a name that must be free counts as in use."""
        files = self.create_workspace()
        self.addCleanup(files.tearDown)
        before = self.state_outside()
        for target in (self.outside / "inner" / "file", self.outside / "missing"):
            link = self.root / "link"
            link.symlink_to(target)
            for action in (
                lambda: files.create_file("link", "x"),
                lambda: files.create_unreadable("link", "x"),
                lambda: files.mutate("link", 1),
                lambda: files.create_tree({"link": {}}),
            ):
                with self.assertRaises(WorkspaceEscapeError):
                    action()
            for action in (
                lambda: files.create_symlink_loop("link"),
                lambda: files.create_project("link", files=1),
                lambda: files.create_unreadable("link", {}),
            ):
                with self.assertRaises(FileExistsError):
                    action()
            link.unlink()
        self.assertEqual(before, self.state_outside())

    def test_nothing_is_removed_behind_a_link(self) -> None:
        """Tear-down leaves files outside alone that have the names of created files."""
        before = self.state_outside()
        for folder in ("folder", "folder/inner"):
            files = self.create_workspace()
            self.replace_by_link(folder)
            files.tearDown()
            self.assertEqual(before, self.state_outside())
            shutil.rmtree(self.parent / "moved")

    def test_the_permissions_of_a_link_target_do_not_change(self) -> None:
        """Tear-down makes unreadable folders writable, but not the target of a link."""
        files = self.create_workspace()
        files.create_file("closed/own", "")
        (self.outside / "inner").chmod(0o500)
        shutil.rmtree(self.root / "closed")
        (self.root / "closed").symlink_to(self.outside / "inner")
        before = self.state_outside()
        with enforce_permissions():
            files.tearDown()
        self.assertEqual(before, self.state_outside())


class LinksInsideTest(LinksTestCase):
    """Links that lead to another place in the workspace are followed."""

    def setUp(self) -> None:
        super().setUp()
        self.files = self.create_workspace()
        self.addCleanup(self.files.tearDown)

    def check_link(self, link: str, target: str, name: str, written: str) -> None:
        """Create a link, write a file under a name, and look for it under another."""
        path = self.root / link
        path.symlink_to(target)
        self.addCleanup(path.unlink)
        self.files.create_file(name, f"by {link}")
        self.assertEqual(f"by {link}", (self.root / written).read_text())
        self.assertFalse((self.root / written).is_symlink())

    def test_forms_of_links(self) -> None:
        """Links to a folder, to a file, to a missing file, with '..', absolute, to another link."""
        (self.root / "folder" / "deep" / "er").mkdir(parents=True)
        self.check_link("a", "folder", "a/new", "folder/new")
        self.check_link("b", str(self.root / "folder"), "b/new2", "folder/new2")
        self.check_link("folder/deep/up", "../inner", "folder/deep/up/x", "folder/inner/x")
        self.check_link("c", "folder/deep/up/../deep/er", "c/y", "folder/deep/er/y")
        self.check_link("d", "folder/inner/file", "d", "folder/inner/file")
        self.check_link("e", "folder/dangling", "e", "folder/dangling")
        self.check_link("f", "a/../folder//./deep", "f/z", "folder/deep/z")
        self.check_link("g", "../root/folder", "g/back", "folder/back")

    def test_parent_of_a_link_target(self) -> None:
        """'..' after a link means the parent of the link's target, as for the system."""
        (self.root / "folder" / "deep").mkdir()
        self.check_link("to_deep", "folder/deep", "x", "x")
        self.check_link("folder/back", "../to_deep/..", "folder/back/q", "folder/q")

    def test_special_files_behind_a_link(self) -> None:
        """Loops, unreadable folders and projects are created in the link's target, and removed."""
        (self.root / "link").symlink_to("folder")
        self.addCleanup((self.root / "link").unlink)
        with enforce_permissions():
            self.files.create_symlink_loop("link/loop")
            self.files.create_unreadable("link/closed", {"a": ""})
            self.files.create_project("link/package", files=1)
        closed = self.root / "folder" / "closed"
        self.assertEqual(0, stat.S_IMODE(closed.stat().st_mode))
        for name in ("loop", "closed", "package"):
            self.assertTrue(os.path.lexists(self.root / "folder" / name))

    def test_links_with_odd_names(self) -> None:
        """Links named '-' and '*' beside the created names do not matter."""
        for name in ("-", "*"):
            (self.root / "folder" / name).symlink_to(self.outside)
        self.files.create_symlink_loop("folder/a")
        self.files.create_tree({"folder": {"inner": {}, "new": {}}})
        self.files.create_project("folder/package", files=1)
        created = {"-", "*", "a", "a-2", "inner", "new", "package"}
        self.assertEqual(created, set(os.listdir(self.root / "folder")))
        for name in ("-", "*"):
            (self.root / "folder" / name).unlink()

    def test_links_to_a_parent_of_the_workspace(self) -> None:
        """Links to the parent, a sibling, and the root of the file system are refused."""
        for target in ("..", "../outside", "folder/../../outside", "/", "//etc", "../root2"):
            (self.root / "link").symlink_to(target)
            with self.subTest(target), self.assertRaises(WorkspaceEscapeError):
                self.files.create_file("link/new", "")
            (self.root / "link").unlink()

    def test_files_in_place_of_folders(self) -> None:
        """A file as parent, a folder as the name, and loops raise the system's errors."""
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

    def test_a_folder_that_is_a_file(self) -> None:
        """A tree with a folder where a file exists raises NotADirectoryError with the path."""
        with self.assertRaises(NotADirectoryError) as caught:
            self.files.create_tree({"folder/inner/file": {}})
        self.assertIn(str(self.root / "folder" / "inner" / "file"), str(caught.exception))

    def test_a_removed_workspace_is_created_again(self) -> None:
        """A test may remove the whole directory; the new one has mode 0700."""
        shutil.rmtree(self.root)
        self.files.create_file("a/b", "c")
        self.assertEqual("c", (self.root / "a" / "b").read_text())
        self.assertEqual(0o700, stat.S_IMODE(self.root.stat().st_mode))


class ResolveTest(LinksTestCase):
    """`resolve_below` itself."""

    def resolve(self, *parts: str, follow_last: bool = True) -> tuple[str, ...]:
        return resolve_below(self.root, parts, follow_last=follow_last)

    def test_components_after_links(self) -> None:
        """The result has no links, whether the path exists or not; the root is an empty tuple."""
        self.root.mkdir()
        (self.root / "folder").mkdir()
        (self.root / "link").symlink_to("folder")
        (self.root / "self").symlink_to(".")
        self.assertEqual(("folder", "a", "b"), self.resolve("link", "a", "b"))
        self.assertEqual(("folder",), self.resolve("link"))
        self.assertEqual((), self.resolve("self"))

    def test_last_component_not_followed(self) -> None:
        """With follow_last=False a link as the last component stays, wherever it leads."""
        self.root.mkdir()
        (self.root / "link").symlink_to(self.outside)
        self.assertEqual(("link",), self.resolve("link", follow_last=False))
        with self.assertRaises(WorkspaceEscapeError) as caught:
            self.resolve("link", "a", follow_last=False)
        self.assertEqual(
            f"'link/a' leads out of the workspace {str(self.root)!r}: a link on its way leads "
            f"to {str(self.outside / 'a')!r}; give a relative name below it",
            str(caught.exception),
        )

    def test_the_root_replaced_by_a_link(self) -> None:
        """Every name is refused if the workspace itself has become a link."""
        self.root.symlink_to(self.outside)
        for follow_last in (False, True):
            with self.assertRaises(WorkspaceEscapeError):
                self.resolve("a", follow_last=follow_last)


if __name__ == "__main__":
    unittest.main()
