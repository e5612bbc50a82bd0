from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from typing import Any
from unittest import mock

from itf import test_file_generator as file_generator
from itf.generating.privileges import permissions_count
from tests.support import open_folder, run_script

_MIB = 1024 * 1024


class OdditiesTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.files = file_generator()
        self.files.setUp()
        self.addCleanup(self.files.tearDown)
        self.root = self.files.workspace


class SymlinkLoopTest(OdditiesTestCase):
    """`create_symlink_loop`."""

    def test_links(self) -> None:
        """One, two or many links that lead to one another, and nothing can open any."""
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
        """A walk that follows links meets the same files again and again."""
        self.files.create_file("new/a", "")
        path = self.files.create_symlink_loop("new/loop", "folder")
        self.assertTrue((path / "loop" / "loop" / "a").exists())
        met = [
            folder
            for folder, _, names in os.walk(self.root / "new", followlinks=True)
            if "a" in names
        ]
        self.assertGreater(len(met), 30)

    def test_what_is_refused(self) -> None:
        """Names that are taken, wrong kinds, wrong lengths."""
        taken = self.root / "b-2"
        taken.write_text("kept")
        is_taken = "[Errno 17] this name is taken; give another: '{}'"
        cases: list[tuple[Any, type[Exception], str]] = [
            ({"name": "src"}, FileExistsError, is_taken.format(self.root / "src")),
            ({"name": "b"}, FileExistsError, is_taken.format(taken)),
            (
                {"name": "a", "kind": "Folders"},
                ValueError,
                "unknown kind 'Folders' (did you mean 'folder'?); there are links, folder",
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


class UnreadableTest(OdditiesTestCase):
    """`create_unreadable` and `permissions_count`."""

    def test_a_file(self) -> None:
        """Without any permission, and nobody reads it or writes to it, root neither."""
        with self.files.permissions_count():
            path = self.files.create_unreadable("new/a", "secret")
            self.assertEqual(0, stat.S_IMODE(path.stat().st_mode))
            for mode in ("r", "w", "a"):
                with self.assertRaises(PermissionError):
                    path.open(mode)
        with permissions_count():
            path.chmod(0o600)
            self.assertEqual("secret", path.read_text())

    def test_a_folder(self) -> None:
        """It can neither be listed nor gone through, and is full of files all the same."""
        with self.files.permissions_count():
            path = self.files.create_unreadable("new/a", {"b.py": "1", "c": {"d": "2"}})
            for read in (os.listdir, os.scandir, lambda path: (path / "b.py").read_text()):
                with self.assertRaises(PermissionError):
                    read(path)
            with self.assertRaises(PermissionError):
                self.files.create_file("new/a/e", "")
        path.chmod(0o700)
        self.assertEqual(("1", "2"), ((path / "b.py").read_text(), (path / "c" / "d").read_text()))

    def test_all_of_it_is_removed(self) -> None:
        """From a directory of the user's, too, by a user for whom permissions count."""
        with tempfile.TemporaryDirectory() as folder, permissions_count():
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

    def test_root_is_told(self) -> None:
        """Who can read it all the same is warned, at the line that made it; the timeline knows."""
        with (
            mock.patch("itf.fixtures.file_generator.can_be_read", lambda _: True),
            self.assertWarns(RuntimeWarning) as caught,
        ):
            path = self.files.create_unreadable("a")
        self.assertEqual(__file__, caught.filename)
        self.assertEqual(
            f"'{path}' can be read all the same, for this process has the rights of root; "
            "use it inside `with files.permissions_count():`",
            str(caught.warning),
        )
        (event,) = self.files.timeline.events("file")
        self.assertIs(True, event["data"]["read_all_the_same"])

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0, "for root only")
    def test_root_can_read_it_outside_of_the_block(self) -> None:
        """Before and after it, and in other threads meanwhile; threads started inside cannot."""
        with self.assertWarns(RuntimeWarning):
            path = self.files.create_unreadable("a", "secret")
        results: dict[str, str] = {}

        def read(name: str) -> None:
            try:
                results[name] = path.read_text()
            except PermissionError:
                results[name] = "refused"

        go, done = threading.Event(), threading.Event()

        def outside() -> None:
            go.wait(60)
            read("outside")
            done.set()

        other = threading.Thread(target=outside)
        other.start()
        read("before")
        with self.files.permissions_count(), self.files.permissions_count():
            go.set()
            done.wait(60)
            inner = threading.Thread(target=read, args=("inside",))
            inner.start()
            inner.join(60)
            read("here")
            child = subprocess.run([sys.executable, "-c", f"open({str(path)!r})"], check=False)
        read("after")
        other.join(60)
        refused = dict.fromkeys(("here", "inside"), "refused")
        seen = dict.fromkeys(("before", "after", "outside"), "secret")
        self.assertEqual((refused | seen, 0), (results, child.returncode))

    def test_where_it_cannot_be_done(self) -> None:
        """On another system root is told so, and nothing else happens."""
        with (
            mock.patch("itf.generating.privileges._change", side_effect=AttributeError("capget")),
            mock.patch("os.geteuid", lambda: 0),
            self.assertWarns(RuntimeWarning) as caught,
            self.files.permissions_count(),
        ):
            self.assertTrue(self.root.exists())
        self.assertEqual(__file__, caught.filename)
        self.assertEqual(
            "permissions do not count for root on this system; run the test as another user",
            str(caught.warning),
        )
        with (
            mock.patch("itf.generating.privileges._change", side_effect=AttributeError("capget")),
            mock.patch("os.geteuid", lambda: 1000),
            warnings.catch_warnings(action="error"),
            self.files.permissions_count(),
        ):
            self.assertTrue(self.root.exists())

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0, "starts as root")
    def test_another_user(self) -> None:
        """Who is not root needs no block, is not warned, and leaves nothing behind."""
        with open_folder() as folder:
            done = run_script(
                """
import os, sys
from itf import test_file_generator
import itf.generating.privileges
os.setgid(65534); os.setuid(65534)
for place in (sys.argv[1], None):
    with test_file_generator(place) as files:
        path = files.create_unreadable("a", {"b": "c"})
        for name in (path, files.create_unreadable("d", "e")):
            try:
                open(name)
            except PermissionError as error:
                print(error.strerror)
        with files.permissions_count():
            root = files.workspace
    print(os.path.exists(root) and os.listdir(root))
""",
                folder,
                TMPDIR=folder,
            )
        self.assertEqual("", done.stderr)
        denied = ["Permission denied"] * 2
        self.assertEqual([*denied, "[]", *denied, "False"], done.stdout.splitlines())

    def test_names_that_are_taken(self) -> None:
        """A folder must be new, for its permissions are taken away; a file is replaced."""
        with self.files.permissions_count():
            with self.assertRaises(FileExistsError):
                self.files.create_unreadable("src", {})
            os.listdir(self.root / "src")
            self.files.create_file("a", "")
            self.files.create_unreadable("a")
            self.assertEqual("new", self.files.create_file("a", "new").read_text())


class SparseTest(OdditiesTestCase):
    """`create_sparse`."""

    def test_it_is_large_and_takes_no_room(self) -> None:
        """100 GiB of zeros, but for what is in it."""
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

    def test_small_ones(self) -> None:
        """Also of no bytes, and of a part of a MiB."""
        self.assertEqual(b"", self.files.create_sparse("a", 0).read_bytes())
        self.assertEqual(bytes(1024), self.files.create_sparse("a", 1 / 1024).read_bytes())

    def test_what_is_refused(self) -> None:
        """Wrong sizes, data outside of them; nothing is left of a file that is too large."""
        cases: list[tuple[tuple[Any, ...], type[Exception], str]] = [
            ((-1,), ValueError, "size_mb must be a number from 0 on, got -1"),
            (("1",), TypeError, "size_mb must be a number from 0 on, got '1'"),
            (
                (1, {_MIB: b"x"}),
                ValueError,
                "data ends at byte 1048577, beyond the size of 1048576",
            ),
            ((1, {-1: b"x"}), ValueError, "an offset in data must be at least 0, got -1"),
            ((1, {"0": b"x"}), TypeError, "an offset in data must be an int, got '0'"),
            ((1, {0: 1}), TypeError, "data must be str or bytes, got 1"),
            ((1, [b"x"]), TypeError, "data must be a mapping of offsets, got [b'x']"),
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
