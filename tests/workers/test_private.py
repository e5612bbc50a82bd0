"""The private names of the standard library, and what happens where a Python lacks them."""

from __future__ import annotations

import multiprocessing
import unittest
from unittest import mock

from itf.exceptions import WorkerError
from itf.workers import private
from itf.workers.private import semaphore_at, semaphore_named, value_of


class PrivateNamesTest(unittest.TestCase):
    """Each name does on this Python what the shared objects need."""

    def setUp(self) -> None:
        self.lock = multiprocessing.get_context("spawn").Lock()
        self.handle = semaphore_named(self.lock)

    def test_another_handle_is_of_the_same_semaphore(self) -> None:
        """What one handle has acquired, the other one cannot acquire."""
        self.assertTrue(self.lock.acquire(False))
        self.assertFalse(self.handle.acquire(False))
        self.lock.release()
        self.assertTrue(self.handle.acquire(False))
        self.handle.release()

    def test_the_value(self) -> None:
        """It is 0 while the semaphore is acquired, and where the system does not tell it."""
        self.assertEqual(1, value_of(self.handle))
        with self.lock:
            self.assertEqual(0, value_of(self.handle))
        self.assertEqual(0, value_of(object()))

    def test_what_is_gone_is_named(self) -> None:
        """The error names what this Python lacks."""
        with self.assertRaisesRegex(WorkerError, r"has no Lock\._semlock, which the shared"):
            semaphore_named(object())
        with (
            mock.patch.object(private._multiprocessing, "SemLock", object()),
            self.assertRaisesRegex(WorkerError, r"has no SemLock\._rebuild, which the shared"),
        ):
            semaphore_at(0, 1)


if __name__ == "__main__":
    unittest.main()
