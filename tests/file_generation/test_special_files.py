from __future__ import annotations

import errno
import os
import stat
import tempfile
import unittest
from typing import Any
from unittest import mock

from itf import test_file_generator as file_generator
from itf.file_generation.capabilities import enforce_permissions
from tests.support import open_folder, run_script

_MIB = 1024 * 1024


class SpecialFilesTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.files = file_generator()
        self.files.setUp()
        self.addCleanup(self.files.tearDown)
        self.root = self.files.workspace


class SymlinkLoopTest(SpecialFilesTestCase):
    """`create_symlink_loop`."""

    def test_links(self) -> None:
        """One, two or five links point to one another, and opening any fails with ELOOP."""
        for length in (1, 2, 5):
            path = self.files.create_symlink_loop(f"new/{length}", length=length)
            names = [f"{length}", *(f"{length}-{number}" for number in range(2, length + 1))]
            links = [path.with_name(name) for name in names]
            self.assertEqual([*names[1:], names[0]], [os.readlink(link) for link in links])
            for link in links:
                with self.assertRaises(OSError) as caught:
                    link.read_bytes()
                self.assertEqual(errno.ELOOP, caught.exception.errno)

    def test_a_folder(self) -> None:
        """A directory walk that follows links finds the same file again and again."""
        self.files.create_file("new/a", "")
        path = self.files.create_symlink_loop("new/loop", "folder")
        self.assertTrue((path / "loop" / "loop" / "a").exists())
        met = [
            folder
            for folder, _, names in os.walk(self.root / "new", followlinks=True)
            if "a" in names
        ]
        self.assertGreater(len(met), 30)

    def test_wrong_arguments_are_refused(self) -> None:
        """Names in use, unknown kinds and wrong lengths raise an error, and create nothing."""
        taken = self.root / "b-2"
        taken.write_text("kept")
        in_use = "[Errno 17] this name is in use; choose another: '{}'"
        cases: list[tuple[Any, type[Exception], str]] = [
            ({"name": "src"}, FileExistsError, in_use.format(self.root / "src")),
            ({"name": "b"}, FileExistsError, in_use.format(taken)),
            (
                {"name": "a", "kind": "Folders"},
                ValueError,
                "unknown kind 'Folders' (did you mean 'folder'?); choose one of links, folder",
            ),
            ({"name": "a", "length": 0}, ValueError, "length must be at least 1, got 0"),
            ({"name": "a", "length": "2"}, TypeError, "length must be an int, got '2'"),
        ]
        for arguments, kind, text in cases:
            with self.subTest(text), self.assertRaises(kind) as caught:
                self.files.create_symlink_loop(**arguments)
            self.assertEqual(text, str(caught.exception))
        self.assertEqual("kept", taken.read_text())
        self.assertFalse(os.path.lexists(self.root / "a"))


class UnreadableTest(SpecialFilesTestCase):
    """`create_unreadable` and `enforce_permissions`."""

    def test_a_file(self) -> None:
        """Inside the block nobody can read or write a file without permissions, not even root."""
        with self.files.enforce_permissions():
            path = self.files.create_unreadable("new/a", "secret")
            self.assertEqual(0, stat.S_IMODE(path.stat().st_mode))
            for mode in ("r", "w", "a"):
                with self.assertRaises(PermissionError):
                    path.open(mode)
        with enforce_permissions():
            path.chmod(0o600)
            self.assertEqual("secret", path.read_text())

    def test_a_folder(self) -> None:
        """A folder without permissions cannot be listed or entered, and contains its files."""
        with self.files.enforce_permissions():
            path = self.files.create_unreadable("new/a", {"b.py": "1", "c": {"d": "2"}})
            for read in (os.listdir, os.scandir, lambda path: (path / "b.py").read_text()):
                with self.assertRaises(PermissionError):
                    read(path)
            with self.assertRaises(PermissionError):
                self.files.create_file("new/a/e", "")
        path.chmod(0o700)
        self.assertEqual(("1", "2"), ((path / "b.py").read_text(), (path / "c" / "d").read_text()))

    def test_unreadable_files_are_removed(self) -> None:
        """Tear-down removes files and folders without permissions, for a user who is not root."""
        with tempfile.TemporaryDirectory() as folder, enforce_permissions():
            for files in (file_generator(folder), file_generator()):
                with files:
                    root = files.workspace
                    files.create_unreadable("a", {"b": {"c": "", "d": {}}})
                    files.create_unreadable("e/f", {"g": ""})
                    files.create_unreadable("e/h")
                    files.create_symlink_loop("e/i")
                    files.create_symlink_loop("e/j", "folder")
                    files.create_sparse("e/k", 1000)
                    files.create_file("closed/by/test", "")
                    (root / "closed").chmod(0)
                self.assertFalse(root.exists() and os.listdir(root))

    def test_root_is_warned(self) -> None:
        """A warning at the caller's line, and the event, say that the file is still readable."""
        with (
            mock.patch("itf.fixtures.special_file_generator.is_readable", lambda _: True),
            self.assertWarns(RuntimeWarning) as caught,
        ):
            path = self.files.create_unreadable("a")
        self.assertEqual(__file__, caught.filename)
        self.assertEqual(
            f"'{path}' is still readable, because this process has the rights of root; "
            "use it inside `with files.enforce_permissions():`",
            str(caught.warning),
        )
        (event,) = self.files.timeline.events("file")
        self.assertIs(True, event["data"]["still_readable"])

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0, "starts as root")
    def test_another_user(self) -> None:
        """A user who is not root gets no warning, needs no block, and nothing is left behind."""
        with open_folder() as folder:
            done = run_script(
                """
import os, sys
from itf import test_file_generator
import itf.file_generation.capabilities
os.setgid(65534); os.setuid(65534)
for place in (sys.argv[1], None):
    with test_file_generator(place) as files:
        path = files.create_unreadable("a", {"b": "c"})
        for name in (path, files.create_unreadable("d", "e")):
            try:
                open(name)
            except PermissionError as error:
                print(error.strerror)
        with files.enforce_permissions():
            root = files.workspace
    print(os.path.exists(root) and os.listdir(root))
""",
                folder,
                TMPDIR=folder,
            )
        self.assertEqual("", done.stderr)
        denied = ["Permission denied"] * 2
        self.assertEqual([*denied, "[]", *denied, "False"], done.stdout.splitlines())

    def test_names_in_use(self) -> None:
        """A folder must be new, so that none loses its permissions; a file is replaced."""
        with self.files.enforce_permissions():
            with self.assertRaises(FileExistsError):
                self.files.create_unreadable("src", {})
            os.listdir(self.root / "src")
            self.files.create_file("a", "")
            self.files.create_unreadable("a")
            self.assertEqual("new", self.files.create_file("a", "new").read_text())


class SparseTest(SpecialFilesTestCase):
    """`create_sparse`."""

    def test_a_large_file_uses_little_disk_space(self) -> None:
        """A file of 100 GiB reads as zeros, except for its data, and uses less than 1 MiB."""
        size = 100 * 1024 * _MIB
        data = {0: b"\x7fELF", size // 2: b"middle", size - 3: b"end"}
        path = self.files.create_sparse("new/a", 100 * 1024, data)
        self.assertEqual(size, path.stat().st_size)
        self.assertLess(path.stat().st_blocks * 512, _MIB)
        with path.open("rb") as file:
            for offset, piece in data.items():
                file.seek(max(0, offset - 5))
                self.assertEqual(
                    min(5, offset) * b"\0" + piece, file.read(min(5, offset) + len(piece))
                )

    def test_small_sizes(self) -> None:
        """The size may be zero or a fraction of a MiB."""
        self.assertEqual(b"", self.files.create_sparse("a", 0).read_bytes())
        self.assertEqual(bytes(1024), self.files.create_sparse("a", 1 / 1024).read_bytes())

    def test_wrong_arguments_are_refused(self) -> None:
        """Wrong sizes and data raise an error, and leave no file behind."""
        cases: list[tuple[tuple[Any, ...], type[Exception], str]] = [
            ((-1,), ValueError, "size_mb must be at least 0, got -1"),
            (("1",), TypeError, "size_mb must be a number, got '1'"),
            (
                (1, {_MIB: b"x"}),
                ValueError,
                "data ends at byte 1048577, beyond the size of 1048576",
            ),
            ((1, {-1: b"x"}), ValueError, "an offset in data must be at least 0, got -1"),
            ((1, {"0": b"x"}), TypeError, "an offset in data must be an int, got '0'"),
            ((1, {0: 1}), TypeError, "data must be str or bytes, got 1"),
            ((1, [b"x"]), TypeError, "data must be a mapping from offset to bytes, got [b'x']"),
        ]
        for arguments, kind, text in cases:
            with self.subTest(text), self.assertRaises(kind) as caught:
                self.files.create_sparse("a", *arguments)
            self.assertEqual(text, str(caught.exception))
        with self.assertRaises(OSError) as error:
            self.files.create_sparse("a", 2**43)
        self.assertIn(str(self.root / "a"), str(error.exception))
        self.assertEqual(
            [], [name for name in os.listdir(self.root) if name == "a" or ".itf" in name]
        )


if __name__ == "__main__":
    unittest.main()
