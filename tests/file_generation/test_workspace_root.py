from __future__ import annotations

import functools
import os
import threading
import unittest
import warnings
from collections.abc import Callable

from itf import TestFileGenerator, test_file_generator as file_generator
from tests.file_generation.given_directory import WRITE_FILE, GivenDirectoryTestCase
from tests.file_generation.system_calls import run_at_call
from tests.support import in_threads


class InterruptionTest(GivenDirectoryTestCase):
    """KeyboardInterrupt before or after each system call."""

    def test_a_file_is_complete_or_unchanged(self) -> None:
        """After an interrupt the file has the old or the new content, and no other file is left."""
        (self.root / "a").write_text("old")
        for name, create in WRITE_FILE.items():
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


class ThreadsTest(GivenDirectoryTestCase):
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


if __name__ == "__main__":
    unittest.main()
