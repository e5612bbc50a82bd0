from __future__ import annotations

import os
import pathlib
import tempfile
import unittest

from tests.file_generation.given_directory import GivenDirectoryTestCase
from tests.support import run_script


class PermissionsTest(GivenDirectoryTestCase):
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


if __name__ == "__main__":
    unittest.main()
