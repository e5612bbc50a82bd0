from __future__ import annotations

import hashlib
import os
import pathlib
import stat
import tempfile
import threading
import unittest
from typing import Any

from itf import Mutation, test_file_generator as file_generator
from itf.exceptions import WorkspaceEscapeError
from tests.support import in_threads

_SOURCE = b"def function(value):\n    return value + 1\n"
_KINDS = {"flip", "set", "insert", "delete", "double", "swap", "truncate"}
_LARGE = 64 * 1024 * 1024


# SHA-256 of the source after 60 mutations, with the seeds 0 to 59.
_DIGEST = "c47874fb03880135"


def undo(content: bytes, mutation: Mutation) -> bytes:
    """Return the content before a mutation."""
    end = mutation.offset + len(mutation.inserted)
    found = content[mutation.offset : end]
    if found != mutation.inserted:
        raise ValueError(f"{found!r} is at {mutation.offset}, not {mutation.inserted!r}")
    return content[: mutation.offset] + mutation.removed + content[end:]


class MutateTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = file_generator()
        self.files.setUp()
        self.addCleanup(self.files.tearDown)
        self.root = self.files.workspace

    def mutated(self, content: bytes, seed: int) -> tuple[bytes, Mutation]:
        path = self.files.create_file("a", content)
        mutation = self.files.mutate(path, seed)
        return path.read_bytes(), mutation

    def test_the_result_describes_the_change(self) -> None:
        """Each mutation changes at most 64 bytes, and its result is enough to undo it."""
        for content in (b"", b"a", b"aa", b"\x00" * 40, _SOURCE):
            kinds = set()
            for seed in range(80):
                new, mutation = self.mutated(content, seed)
                with self.subTest(content=content, seed=seed, mutation=mutation):
                    self.assertNotEqual(content, new)
                    self.assertEqual(content, undo(new, mutation))
                    self.assertLessEqual(max(len(mutation.removed), len(mutation.inserted)), 64)
                kinds.add(mutation.kind)
            self.assertEqual({"insert"} if not content else _KINDS & kinds, kinds)
        self.assertEqual(_KINDS, kinds)

    def test_the_same_seed_does_the_same(self) -> None:
        """A seed gives the same mutation in every version of Python; seeds differ."""
        results = [self.mutated(_SOURCE, seed) for seed in range(60)]
        self.assertEqual(results, [self.mutated(_SOURCE, seed) for seed in range(60)])
        self.assertGreater(len({new for new, _ in results}), 50)
        digest = hashlib.sha256(b"|".join(new for new, _ in results)).hexdigest()
        self.assertEqual(_DIGEST, digest[:16])

    def test_text_of_a_mutation(self) -> None:
        """str() of a mutation is one line."""
        self.assertEqual("swap at byte 3: b'ab' -> b'ba'", str(Mutation("swap", 3, b"ab", b"ba")))

    def test_names_and_paths(self) -> None:
        """mutate accepts a name, a returned path, and a path through a link to the root."""
        path = self.files.create_file("new/a", _SOURCE)
        with tempfile.TemporaryDirectory() as folder:
            link = pathlib.Path(folder, "link")
            link.symlink_to(self.root)
            for name in ("new/a", path, str(path), link / "new" / "a"):
                before = path.read_bytes()
                mutation = self.files.mutate(name, 1)
                self.assertEqual(before, undo(path.read_bytes(), mutation))
            for out in (pathlib.Path(folder, "a"), self.root / ".." / "a", self.root.parent, "/"):
                with self.subTest(out), self.assertRaises(WorkspaceEscapeError):
                    self.files.mutate(out, 1)
        with self.assertRaises(WorkspaceEscapeError) as caught:
            self.files.mutate("/etc/passwd", 1)
        self.assertEqual(
            f"'/etc/passwd' leads out of the workspace '{self.root}': it is not below it; "
            "give a relative name below it",
            str(caught.exception),
        )

    def test_the_mode_stays(self) -> None:
        """An executable file is executable afterwards."""
        path = self.files.create_file("a", _SOURCE)
        path.chmod(0o751)
        self.files.mutate(path, 1)
        self.assertEqual(0o751, stat.S_IMODE(path.stat().st_mode))

    def test_what_cannot_be_mutated(self) -> None:
        """Missing files, folders, fifos and wrong seeds raise an error; a fifo is not opened."""
        os.mkfifo(self.root / "fifo")
        (self.root / "link").symlink_to("src")
        missing = f"[Errno 2] No such file or directory: '{self.root}/none'"
        cases: list[tuple[Any, Any, type[Exception], str]] = [
            ("none", 1, FileNotFoundError, missing),
            ("none/a", 1, FileNotFoundError, missing.replace("none", "none/a")),
            ("src", 1, ValueError, f"'{self.root}/src' is not a regular file; name one"),
            ("link", 1, ValueError, f"'{self.root}/link' is not a regular file; name one"),
            ("fifo", 1, ValueError, f"'{self.root}/fifo' is not a regular file; name one"),
            ("a", -1, ValueError, "seed must be at least 0, got -1"),
            ("a", "1", TypeError, "seed must be an int, got '1'"),
            (3, 1, TypeError, "name must be a str, got 3"),
        ]  # fmt: skip
        for name, seed, kind, text in cases:
            with self.subTest(name, seed=seed), self.assertRaises(kind) as caught:
                self.files.mutate(name, seed)
            self.assertEqual(text, str(caught.exception))
        self.assertFalse((self.root / "none").exists())

    def test_a_large_file_is_changed_in_place(self) -> None:
        """One bit of a file of 64 MiB is flipped, and a sparse file stays sparse."""
        path = self.files.create_sparse("a", 1024)
        before = path.stat()
        for seed in range(20):
            mutation = self.files.mutate(path, seed)
            self.assertEqual("flip", mutation.kind)
            with path.open("rb") as file:
                file.seek(mutation.offset)
                self.assertEqual(mutation.inserted, file.read(1))
            self.assertEqual(1, (mutation.removed[0] ^ mutation.inserted[0]).bit_count())
        after = path.stat()
        self.assertEqual((before.st_size, before.st_ino), (after.st_size, after.st_ino))
        self.assertLess(after.st_blocks * 512, 1024 * 1024)

    def test_hard_links(self) -> None:
        """A small file with a hard link is replaced, a large one is refused."""
        with tempfile.TemporaryDirectory(dir=self.root.parent) as folder:
            for size in (100, _LARGE):
                other = pathlib.Path(folder, f"{size}")
                other.touch()
                os.truncate(other, size)
                os.link(other, self.root / f"{size}")
            small = self.files.mutate("100", 1)
            self.assertNotEqual(bytes(100), (self.root / "100").read_bytes())
            self.assertEqual(bytes(100), undo((self.root / "100").read_bytes(), small))
            self.assertEqual(bytes(100), pathlib.Path(folder, "100").read_bytes())
            with self.assertRaises(WorkspaceEscapeError) as caught:
                self.files.mutate(f"{_LARGE}", 1)
            self.assertEqual(
                f"'{self.root}/{_LARGE}' has another name (a hard link), perhaps outside the "
                "workspace, and would be changed there too; mutate a copy of it",
                str(caught.exception),
            )
            outside = pathlib.Path(folder, f"{_LARGE}").read_bytes()
            self.assertEqual(_LARGE, outside.count(b"\0"))

    def test_eight_threads_on_one_file(self) -> None:
        """Mutations of several threads follow one another: the removed bytes prove the order."""
        path = self.files.create_file("a", _SOURCE * 20)
        done: list[Mutation] = []
        ready = threading.Lock()

        def damage(number: int) -> None:
            for seed in range(10):
                with ready:
                    done.append(self.files.mutate(path, 100 * number + seed))

        in_threads(8, damage)
        content = path.read_bytes()
        for mutation in reversed(done):
            content = undo(content, mutation)
        self.assertEqual(_SOURCE * 20, content)

    def test_eight_threads_lose_no_mutation(self) -> None:
        """The file grows by the sum of all mutations of all threads."""
        path = self.files.create_file("a", b"")
        seeds = [seed for seed in range(200) if self.mutated(b"x", seed)[1].kind == "insert"][:8]
        path.write_bytes(b"")
        added = in_threads(8, lambda number: self.files.mutate(path, seeds[number]))
        damage = sum(len(mutation.inserted) - len(mutation.removed) for mutation in added)
        self.assertEqual(damage, path.stat().st_size)

    def test_it_is_on_the_timeline(self) -> None:
        """The event on the timeline has the seed, so that a failure can be reproduced."""
        mutation = self.files.mutate(self.files.create_file("a", _SOURCE), 42)
        (event,) = self.files.timeline.events("file")[1:]
        self.assertEqual(
            {"action": "mutated", "path": f"{self.root}/a", "seed": 42, "mutation": str(mutation)},
            event["data"],
        )


if __name__ == "__main__":
    unittest.main()
