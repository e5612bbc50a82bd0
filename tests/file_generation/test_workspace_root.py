from __future__ import annotations

import errno
import functools
import os
import pathlib
import tempfile
import threading
import unittest
import warnings
from collections.abc import Callable
from typing import Any

from itf import TestFileGenerator, test_file_generator as file_generator
from itf.exceptions import WorkspaceEscapeError
from itf.file_generation.path_checks import TEMPORARY_NAME_BYTES
from tests.file_generation.system_calls import run_at_call
from tests.support import in_threads, run_script

_FILES: dict[str, Callable[[TestFileGenerator, str], object]] = {
    "create_file": lambda files, name: files.create_file(name, "new" * 1000),
    "create_large_file": lambda files, name: files.create_large_file(name, units=100),
    "create_error_file": lambda files, name: files.create_error_file(name, "binary"),
    "create_sparse": lambda files, name: files.create_sparse(name, 1, {0: b"a", 9: b"b"}),
}


class WorkspaceRootTestCase(unittest.TestCase):
    def setUp(self) -> None:
        given = tempfile.TemporaryDirectory()
        self.addCleanup(given.cleanup)
        self.root = pathlib.Path(given.name).resolve()
        self.files = file_generator(self.root)
        self.files.setUp()
        self.addCleanup(self.files.tearDown)


class InterruptionTest(WorkspaceRootTestCase):
    """KeyboardInterrupt before or after each system call."""

    def test_a_file_is_complete_or_unchanged(self) -> None:
        """After an interrupt the file has the old or the new content, and no other file is left."""
        (self.root / "a").write_text("old")
        for name, create in _FILES.items():
            create(self.files, "a")
            new = (self.root / "a").read_bytes()
            for after in (False, True):
                for number in range(100):
                    (self.root / "a").write_text("old")
                    with self.subTest(name, call=number, after=after):
                        done = self.interrupted(
                            functools.partial(create, self.files, "a"), number, after
                        )
                        self.assertEqual(["a"], os.listdir(self.root))
                        self.assertIn((self.root / "a").read_bytes(), (b"old", new))
                    if done:
                        self.assertGreater(number, 4, "the action made too few system calls")
                        break
                else:
                    self.fail("the action had more system calls than expected")

    def interrupted(self, action: Callable[[], object], number: int, after: bool) -> bool:
        """Interrupt an action at a system call.

        Returns:
            Whether the action had ended before that call.
        """

        def interrupt() -> None:
            raise KeyboardInterrupt

        with run_at_call(number, interrupt, after=after) as calls:
            try:
                action()
            except KeyboardInterrupt:
                return False
        return calls.count <= number

    def test_tear_down_after_an_interrupt(self) -> None:
        """Files and folders created before an interrupt are removed from the user's directory."""
        actions: dict[str, Callable[[TestFileGenerator], object]] = {
            "create_file": lambda files: files.create_file("new/er/a", "x"),
            "create_tree": lambda files: files.create_tree({"new": {"a": "x", "b": {"c": "y"}}}),
            "create_project": lambda files: files.create_project(files=3),
            "create_symlink_loop": lambda files: files.create_symlink_loop("new/a", length=3),
            "create_unreadable": lambda files: files.create_unreadable("new/a", {"b": "c"}),
        }
        (self.root / "mine").write_text("kept")
        for name, action in actions.items():
            for after in (False, True):
                for number in range(300):
                    files = file_generator(self.root)
                    files.setUp()
                    with self.subTest(name, call=number, after=after), warnings.catch_warnings():
                        warnings.simplefilter("ignore", RuntimeWarning)
                        done = self.interrupted(functools.partial(action, files), number, after)
                        files.tearDown()
                        self.assertEqual(["mine"], os.listdir(self.root))
                    if done:
                        break
                else:
                    self.fail("the action had more system calls than expected")


class ThreadsTest(WorkspaceRootTestCase):
    def test_eight_threads_that_write_the_same_name(self) -> None:
        """A reader always finds one complete version of the file; the last version stays."""
        contents = {bytes((65 + number,)) * (10_000 * (number + 1)) for number in range(8)}
        self.files.create_file("new/a", min(contents))
        path = self.root / "new" / "a"
        ended = threading.Event()
        halves: list[int] = []
        reads = 0

        def read() -> None:
            nonlocal reads
            while not ended.is_set() or not reads:
                content = path.read_bytes()
                reads += 1
                if content not in contents:
                    halves.append(len(content))

        reader = threading.Thread(target=read)
        reader.start()
        ordered = sorted(contents)
        try:
            in_threads(
                8, lambda n: [self.files.create_file("new/a", ordered[n]) for _ in range(30)]
            )
        finally:
            ended.set()
            reader.join(60)
        self.assertEqual([], halves)
        self.assertIn(path.read_bytes(), contents)
        self.assertEqual(["a"], os.listdir(path.parent))
        self.files.tearDown()
        self.assertEqual([], os.listdir(self.root))

    def test_eight_threads_create_the_same_name(self) -> None:
        """One thread creates a name that must be free; the others get FileExistsError."""

        def make(number: int) -> bool:
            try:
                self.files.create_symlink_loop("new/er/loop", "folder")
            except FileExistsError:
                return False
            return True

        self.assertEqual(1, sum(in_threads(8, make)))
        self.files.tearDown()
        self.assertEqual([], os.listdir(self.root))


class LimitsTest(WorkspaceRootTestCase):
    """Names and paths of the greatest length, odd names, and text that cannot be encoded."""

    def test_a_name_of_the_greatest_length(self) -> None:
        """A name may have the greatest length in bytes; the error for a longer one shows it."""
        most = os.pathconf(self.root, "PC_NAME_MAX")
        for name in ("x" * most, "é" * (most // 2)):
            for create in _FILES.values():
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
    assert os.path.exists(root + "/\\xf6/\\xe4/\\u2603.py".encode()), os.listdir(root)
    assert os.path.exists(root + "/\\xfc/\\xdf".encode()), os.listdir(root)
    assert path.exists() and all(made.exists() for made in tree.values())
    assert os.path.lexists(loop)
    assert list(tree) == ["\\xfc/\\xdf"]
    assert path.parent.parent.name.encode("utf-8", "surrogateescape") == "\\xf6".encode()
    files.timeline.describe().encode("ascii", "backslashreplace")
assert not os.path.exists(root)
print(sys.getfilesystemencoding())
""",
                    PYTHONCOERCECLOCALE="0",
                    **options,
                )
                self.assertEqual("", done.stderr)
                if options.get("PYTHONUTF8") == "0":
                    self.assertNotEqual("utf-8\n", done.stdout)

    def test_a_surrogate_in_a_content(self) -> None:
        """A surrogate in a text raises ValueError with its index, and writes nothing."""
        for create in (
            lambda: self.files.create_file("a", "ab\ud800"),
            lambda: self.files.create_tree({"a": "ab\ud800"}),
        ):
            with self.assertRaisesRegex(
                ValueError,
                r"content.* has a surrogate, '\\ud800', at index 2, which UTF-8 cannot encode; "
                "give bytes",
            ):
                create()
        self.assertEqual([], os.listdir(self.root))


class PermissionsTest(WorkspaceRootTestCase):
    def test_permissions_follow_the_umask(self) -> None:
        """Files and folders have 0666 and 0777 without the bits of the umask."""
        for mask, file, folder in (
            ("077", "600", "700"),
            ("022", "644", "755"),
            ("0", "666", "777"),
        ):
            done = run_script(f"""
import os
os.umask(0o{mask})
from itf import test_file_generator
with test_file_generator() as files:
    paths = [files.create_file("new/a", ""), *files.create_tree({{"b/c": ""}}).values()]
    paths += [files.create_large_file("l", units=3), files.create_error_file("e", "bom")]
    print({{oct(path.stat().st_mode & 0o7777)[2:] for path in paths}},
          oct(paths[0].parent.stat().st_mode & 0o7777)[2:])
""")
            self.assertEqual((f"{{'{file}'}} {folder}\n", ""), (done.stdout, done.stderr))

    def test_a_fifo_is_replaced(self) -> None:
        """A fifo with the file's name is replaced, without waiting for its other end."""
        os.mkfifo(self.root / "a")
        self.assertEqual("b", self.files.create_file("a", "b").read_text())

    def test_a_hard_link_is_replaced(self) -> None:
        """Another name of the replaced file keeps the old content."""
        with tempfile.TemporaryDirectory(dir=self.root.parent) as outside:
            other = pathlib.Path(outside, "a")
            other.write_text("kept")
            os.link(other, self.root / "a")
            self.files.create_file("a", "new")
            self.assertEqual("kept", other.read_text())


class FullDiskTest(unittest.TestCase):
    def test_a_full_disk(self) -> None:
        """The error has the path and the number of written bytes; the old file is unchanged."""
        done = run_script("""
import os, resource, signal
from itf import test_file_generator
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with test_file_generator() as files:
    root = files.workspace
    files.create_file("src/a", "old")
    files.create_file("mutated", bytes(200_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    for call in (
        lambda: files.create_file("src/a", "x" * 200_000),
        lambda: files.create_large_file("src/a", 1),
        lambda: files.create_error_file("src/a", "long_line"),
        lambda: files.create_tree({"src/a": "x" * 200_000}),
        lambda: files.create_unreadable("src/a", "x" * 200_000),
        lambda: files.create_sparse("src/a", 1),
        lambda: files.mutate("mutated", 1),
    ):
        try:
            call()
        except OSError as error:
            print(str(error).replace(str(root), "ROOT"), *error.__notes__)
    print((root / "src" / "a").read_text(), os.listdir(root / "src"))
    print((root / "mutated").stat().st_size)
print(root.exists())
""")
        self.assertEqual("", done.stderr)
        note = "bytes; the partial file is removed"
        self.assertEqual(
            [
                *[f"[Errno 27] File too large: 'ROOT/src/a' writing failed after 100000 {note}"]
                * 5,
                f"[Errno 27] File too large: 'ROOT/src/a' writing failed after 0 {note}",
                f"[Errno 27] File too large: 'ROOT/mutated' writing failed after 100000 {note}",
                "old ['a']",
                "200000",
                "False",
            ],
            done.stdout.splitlines(),
        )


class NamesTest(WorkspaceRootTestCase):
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
