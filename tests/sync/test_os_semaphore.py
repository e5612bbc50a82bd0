"""Semaphores of the operating system, in the segment and with a name."""

from __future__ import annotations

import unittest
from typing import Any
from unittest import mock

from itf.exceptions import WorkerError
from itf.sync import os_semaphore
from itf.sync.os_semaphore import SEMAPHORE_SIZE, SystemSemaphore, semaphore_value
from itf.sync.segment import SharedSegment

# Kind and label of the region that holds the semaphore; no cleaner knows this kind.
_KIND = 100


class SystemSemaphoreTest(unittest.TestCase):
    def setUp(self) -> None:
        self.segment = SharedSegment()
        self.addCleanup(self.segment.close)
        self.offset = self.segment.allocate(_KIND, SEMAPHORE_SIZE, "test").offset

    def make(self, value: int, maximum: int) -> SystemSemaphore:
        """Create a semaphore."""
        return SystemSemaphore(self.segment, self.offset, value, maximum)

    def check_two_handles(self, first: Any, second: Any) -> None:
        """Check that two handles share a semaphore with the value 1."""
        self.assertTrue(first.acquire(False))
        self.assertFalse(second.acquire(False))
        first.release()
        self.assertTrue(second.acquire(False))
        second.release()

    def test_handles_share_the_semaphore(self) -> None:
        """What one handle has acquired, another handle cannot acquire."""
        semaphore = self.make(1, 1)
        self.check_two_handles(semaphore.handle(), semaphore.handle())

    def test_handles_share_a_named_semaphore(self) -> None:
        """The same holds where a semaphore cannot lie in the segment."""
        for maximum in (1, 5):
            with (
                self.subTest(maximum),
                mock.patch.object(os_semaphore, "has_glibc", return_value=False),
            ):
                semaphore = self.make(1, maximum)
                self.check_two_handles(semaphore.handle(), semaphore.handle())
                self.assertEqual(0, semaphore_value(self.segment, self.offset))

    @unittest.skipUnless(os_semaphore.has_glibc(), "the value is in memory with glibc only")
    def test_the_value_in_the_segment(self) -> None:
        """`semaphore_value` returns how often the semaphore can be acquired."""
        handle = self.make(2, 5).handle()
        self.assertEqual(2, semaphore_value(self.segment, self.offset))
        self.assertTrue(handle.acquire(False))
        self.assertEqual(1, semaphore_value(self.segment, self.offset))

    def test_a_python_without_the_private_names(self) -> None:
        """No handle can be made, and the error says what to do."""
        semaphore = self.make(1, 1)
        with (
            mock.patch("_multiprocessing.SemLock", object()),
            self.assertRaisesRegex(WorkerError, "use a Python version that itf supports"),
        ):
            semaphore.handle()


if __name__ == "__main__":
    unittest.main()
