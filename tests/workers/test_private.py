"""The private names of the standard library, and what there is where they are gone."""

from __future__ import annotations

import multiprocessing
import threading
import unittest
from typing import Any
from unittest import mock

from itf.exceptions import WorkerError
from itf.workers import atomic, private
from itf.workers.lock import SharedLock
from itf.workers.private import (
    count_of,
    forget_count,
    is_this_thread,
    is_zero,
    semaphore_at,
    semaphore_named,
    value_of,
)
from itf.workers.roster import Roster


def in_another_thread(function: Any) -> Any:
    """Return what a function returns in another thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class PrivateNamesTest(unittest.TestCase):
    """Each does, on this Python, what it is needed for."""

    def setUp(self) -> None:
        self.lock = multiprocessing.get_context("spawn").Lock()
        self.handle = semaphore_named(self.lock)

    def test_another_handle_is_of_the_same_semaphore(self) -> None:
        """What one has acquired, the other one cannot."""
        self.assertTrue(self.lock.acquire(False))
        self.assertFalse(self.handle.acquire(False))
        self.lock.release()
        self.assertTrue(self.handle.acquire(False))
        self.handle.release()

    def test_a_handle_counts_what_it_has_acquired(self) -> None:
        """By itself, until it is made to forget."""
        count, forget = count_of(self.handle), forget_count(self.handle)
        self.handle.acquire()
        self.assertEqual(1, count())
        self.assertEqual(0, count_of(self.lock._semlock)())  # type: ignore[attr-defined]
        forget()
        self.assertEqual(0, count())
        self.assertFalse(self.lock.acquire(False))

    def test_the_value(self) -> None:
        """It is 0 while the semaphore is acquired, and where nobody can tell."""
        self.assertEqual(1, value_of(self.handle))
        with self.lock:
            self.assertEqual(0, value_of(self.handle))
        self.assertEqual(0, value_of(object()))

    def test_whether_it_is_at_zero(self) -> None:
        """It is while it is acquired."""
        self.assertFalse(is_zero(self.handle))
        with self.lock:
            self.assertTrue(is_zero(self.handle))

    def test_is_this_thread(self) -> None:
        """True in the thread that has asked, false in any other one."""
        is_mine = is_this_thread()
        self.assertTrue(is_mine())
        self.assertFalse(in_another_thread(is_mine))

    def test_is_this_thread_without_its_private_name(self) -> None:
        """The same, slower."""

        class Plain:
            def acquire(self) -> None:
                """Be what RLock would be without it."""

        with mock.patch.object(threading, "RLock", Plain):
            is_mine = is_this_thread()
        self.assertTrue(is_mine())
        self.assertFalse(in_another_thread(is_mine))

    def test_what_is_gone_is_named(self) -> None:
        """By an error that says what this Python has not got."""
        for name, use in (
            ("SemLock._count", lambda: count_of(object())),
            ("SemLock._after_fork", lambda: forget_count(object())),
            ("SemLock._is_zero", lambda: is_zero(object())),
            ("Lock._semlock", lambda: semaphore_named(object())),
        ):
            with self.subTest(name), self.assertRaisesRegex(WorkerError, f"has no {name}, on "):
                use()
        with (
            mock.patch.object(private._multiprocessing, "SemLock", object()),
            self.assertRaisesRegex(WorkerError, r"has no SemLock\._rebuild, on which the shared"),
        ):
            semaphore_at(0, 1)


class AtomicTest(unittest.TestCase):
    """Changing a semaphore's value at once."""

    def test_where_it_does_not_work_locks_do_without(self) -> None:
        """No lock favours anybody then, and each works as ever."""
        for machine, call in (("riscv64", None), ("", -1)):
            with self.subTest(machine):
                atomic.can_change_semaphores.cache_clear()
                self.addCleanup(atomic.can_change_semaphores.cache_clear)
                answer = mock.Mock(return_value=call), 0
                with (
                    mock.patch.object(atomic, "_FUTEX", {}) if machine else
                    mock.patch.object(atomic, "_system_call", lambda found=answer: found)
                ):  # fmt: skip
                    self.assertFalse(atomic.can_change_semaphores())
                    roster = Roster()
                    self.addCleanup(roster.close)
                    lock = SharedLock(roster, "data")
                    for _ in range(100):
                        with lock:
                            self.assertFalse(lock.acquire(False))
                    self.assertTrue(lock.acquire())
                    self.assertEqual(0, lock._favour.word[0])


if __name__ == "__main__":
    unittest.main()
