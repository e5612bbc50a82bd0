"""A lock whose user is interrupted wherever Python may run a signal handler that raises."""

from __future__ import annotations

import contextlib
import os
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from itf.sync import lock as lock_module
from itf.sync.deadlock import holders
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from tests.sync.primitives_support import DEADLINE, PrimitivesTestCase, die, linger, sample

OURS = str(Path(lock_module.__file__).parent)


class Places:
    """The places where Python can run a signal handler while a function of itf is called.

    These are the start of each function, and the return of each call of a
    function in C.

    Args:
        place: The number of the place where an exception is raised; 0 for none.
        error: The exception.

    Attributes:
        count: How many places there have been.
    """

    def __init__(self, place: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.count = 0
        self._process_slot = place
        self._error = error

    def run(self, function: Callable[[], object]) -> None:
        """Call a function; an exception of this kind is its end."""
        before = sys.getprofile()
        sys.setprofile(self._profile)
        try:
            with contextlib.suppress(self._error):
                function()
        finally:
            sys.setprofile(before)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if code.co_name in ("<genexpr>", "close"):
            return  # hundreds of the same place; and what the garbage collector calls
        if event in ("call", "c_return") and code.co_filename.startswith(OURS):
            self.count += 1
            if self.count == self._process_slot:
                raise self._error


class InterruptsTest(PrimitivesTestCase):
    lock: SharedLock

    def at_each_place(
        self, prepare: Callable[[], object], act: Callable[[], object], few: int = 6
    ) -> None:
        """Interrupt an action at one place after the other, and check the lock afterwards."""
        total = self.one(0, prepare, act)
        self.assertGreater(total, 1)
        for place in sample(total, few):
            for error in (KeyboardInterrupt, SystemExit) if place == 1 else (KeyboardInterrupt,):
                with self.subTest(place=place, of=total):
                    self.one(place, prepare, act, error)

    def one(
        self,
        place: int,
        prepare: Callable[[], object],
        act: Callable[[], object],
        error: type[BaseException] = KeyboardInterrupt,
    ) -> int:
        """Interrupt an action at one place, and check the lock; return the number of places."""
        self.table.close()
        self.table = MemberTable()  # because each check uses some seats
        self.addCleanup(self.table.close)
        self.lock = SharedLock(self.table, "data", default_timeout=DEADLINE)
        prepare()
        places = Places(place, error)
        places.run(act)
        self.check()
        return places.count

    def check(self) -> None:
        """Check that the lock is free, or held by this thread, and that one alone can have it."""
        if not self.others_can():
            self.lock.release()
            self.assertTrue(self.others_can(DEADLINE), "nobody holds it, nobody can have it")
        self.assertEqual([], holders(self.table))
        # If this thread were inside, it would keep others from recovering.
        self.join(self.fork(lambda: (self.lock.acquire(), die())))
        self.assertTrue(self.others_can(DEADLINE), "it is not recovered")
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))
        self.assertFalse(self.others_can(), "two have the lock")
        self.lock.release()
        with self.assertRaises(ValueError):
            self.lock.release()
        with self.lock:
            self.assertFalse(self.others_can(), "two have the lock")
        self.assertTrue(self.others_can(DEADLINE))

    def others_can(self, timeout: float = 0.02) -> bool:
        """Return whether another process can acquire the lock; it releases it."""

        def child() -> None:
            got = self.lock.acquire(True, timeout)
            if got:
                self.lock.release()
            os._exit(10 + got)

        return self.join(self.fork(child)) == 11

    def acquire(self) -> None:
        """Acquire the lock that there is by then."""
        self.lock.acquire()

    def release(self) -> None:
        """Release it."""
        self.lock.release()

    def use(self) -> None:
        """Acquire it and release it."""
        with self.lock:
            pass

    def held_by_another(self) -> None:
        """Have another process hold the lock, which lives until the test kills it."""
        pid = self.fork(lambda: (self.lock.acquire(), linger()))
        self.eventually(lambda: holders(self.table), "it is not held")
        self.holder = pid

    def test_a_free_lock(self) -> None:
        """A free lock is acquired, released, and used in a ``with`` block."""
        self.at_each_place(bool, self.acquire)
        self.at_each_place(self.acquire, self.release)
        self.at_each_place(bool, self.use)

    def test_the_first_use_in_a_thread(self) -> None:
        """The first use claims a thread slot; the second does not, and has other places."""
        self.at_each_place(self.use, self.acquire)
        self.at_each_place(self.use, self.use)

    def test_a_lock_that_this_thread_holds(self) -> None:
        """Its holder cannot acquire the lock again, and still holds it."""
        self.at_each_place(self.acquire, lambda: self.lock.acquire(False))

    def test_a_lock_that_another_process_has_released(self) -> None:
        """The thread that has acquired it may acquire it again, or fail to release it."""

        def released() -> None:
            self.lock.acquire()
            self.assertEqual(0, self.join(self.fork(self.lock.release)))

        def acquire() -> None:
            try:
                self.lock.acquire()
            finally:
                self.use_again()

        def release() -> None:
            try:
                with contextlib.suppress(ValueError):
                    self.lock.release()
            finally:
                self.use_again()

        self.at_each_place(released, acquire)
        self.at_each_place(released, release)

    def use_again(self) -> None:
        """Use the lock without an interrupt: until then, its former holder counts as one."""
        sys.setprofile(None)
        if self.lock.locked() and not self.others_can():
            self.lock.release()
        self.use()

    def test_a_lock_whose_holder_has_died(self) -> None:
        """The lock is recovered by this attempt or by the next one."""

        def dead() -> None:
            self.join(self.fork(lambda: (self.lock.acquire(), die())))

        self.at_each_place(dead, self.acquire)

    def test_a_lock_that_another_process_holds(self) -> None:
        """A thread that does not get the lock keeps nobody from recovering it."""

        def act() -> None:
            self.lock.acquire(timeout=0.001)

        def act_and_kill() -> None:
            try:
                act()
            finally:
                sys.setprofile(None)
                self.kill(self.holder)

        self.at_each_place(self.held_by_another, act_and_kill)


if __name__ == "__main__":
    unittest.main()
