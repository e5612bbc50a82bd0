"""A lock whose user is interrupted wherever Python may run a signal handler."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from itf.workers.atomic import can_change_semaphores

from itf.workers import lock as lock_module, lock_handle
from itf.workers.lock import SharedLock
from itf.workers.roster import Roster
from itf.workers.semaphores import has_glibc

from .primitives_support import DEADLINE, PrimitivesTestCase, die

OURS = str(Path(lock_module.__file__).parent)

# More than any call of a lock has places where it can be interrupted.
PLACES = 200


@contextlib.contextmanager
def interrupted(place: int) -> Iterator[list[int]]:
    """Raise a KeyboardInterrupt at the place of this number, which tells how many there were.

    The places are where Python looks whether there is a signal: the start of
    each function, and the return of each call of what is written in C.
    """
    seen = [0]

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if code.co_name in ("<genexpr>", "close"):
            return  # hundreds that are all the same; what the collector closes
        if event in ("call", "c_return") and code.co_filename.startswith(OURS):
            seen[0] += 1
            if seen[0] == place:
                raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield seen
    finally:
        sys.setprofile(before)


@unittest.skipUnless(has_glibc() and can_change_semaphores(), "no lock favours anybody here")
class InterruptsTest(PrimitivesTestCase):
    lock: SharedLock

    def setUp(self) -> None:
        super().setUp()
        # Each release is an occasion to favour whoever releases.
        for name in ("_FIRST_REST", "_LAST_REST"):
            patch = mock.patch.object(lock_handle, name, 0)
            patch.start()
            self.addCleanup(patch.stop)

    def at_each_place(
        self, prepare: Callable[[], object], act: Callable[[], object], *, briefly: bool = False
    ) -> None:
        """Interrupt an act at one place after the other, and look at the lock afterwards."""
        for place in range(1, PLACES):
            self.roster = Roster()  # for each look takes some seats
            self.lock = SharedLock(self.roster, "data", default_timeout=DEADLINE)
            prepare()
            with self.subTest(place=place), contextlib.closing(self.roster):
                with interrupted(place) as seen:
                    act()
                self.look(briefly)
            if seen[0] < place:
                self.assertGreater(place, 1)
                return
        self.fail("there are more places")

    def look(self, briefly: bool) -> None:
        """It is free, or else held by this thread; one alone can have it, and nobody is inside."""
        if not self.others_can():
            self.lock.release()
            self.assertTrue(self.others_can(DEADLINE), "nobody holds it, nobody can have it")
        self.assertEqual([], self.living_inside())
        if briefly:
            return
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))
        self.assertFalse(self.others_can(), "two are in the lock")
        self.lock.release()
        with self.assertRaises(ValueError):
            self.lock.release()
        self.use()
        with self.lock:
            self.assertFalse(self.others_can(), "two are in the lock")
        self.assertTrue(self.others_can(DEADLINE))

    def living_inside(self) -> list[int]:
        """Return the seats that keep a lock of a dead one from being recovered."""
        inside = [seat for seat, visit in enumerate(self.lock._notes.visits) if visit & 1]
        owners = {seat: self.roster.owner(seat) for seat in inside}
        return [
            seat
            for seat, owner in owners.items()
            if owner is not None and self.roster.is_alive(owner)
        ]

    def others_can(self, timeout: float = 0.02) -> bool:
        """Say whether another process can acquire the lock; it releases it."""

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
        """Use the lock until it favours this thread."""
        for _ in range(4):
            self.lock.acquire()
            self.lock.release()
        self.assertEqual(self.roster.seat() + 1, self.lock._favour.word[0])

    def held(self) -> None:
        """Hold the lock by favour."""
        self.use()
        self.lock.acquire()

    def released_by_another(self) -> None:
        """Have held the lock by favour, and not know that another process has released it."""
        self.held()
        self.assertEqual(0, self.join(self.fork(self.lock.release)))

    def test_a_lock_that_is_favoured(self) -> None:
        """Acquired, released, and acquired by who has it already."""
        self.at_each_place(self.use, self.acquire)
        self.at_each_place(self.held, self.release)
        self.at_each_place(self.held, lambda: self.lock.acquire(False))

    def test_one_that_cannot_give_up_its_favour(self) -> None:
        """For others look after the lock all the time."""

        def act() -> None:
            with mock.patch.object(SharedLock, "give_up_favour", lambda *_: None):
                self.lock.acquire(False)

        self.at_each_place(self.held, act)

    def test_the_first_lock_of_a_program(self) -> None:
        """It finds out what this system can do; an interrupt there leaves nothing behind."""

        def act() -> None:
            can_change_semaphores.cache_clear()
            can_change_semaphores()

        for place in range(1, PLACES):
            with interrupted(place) as seen:
                act()
            if seen[0] < place:
                self.assertGreater(place, 1)
                break
        self.assertTrue(can_change_semaphores())

    def test_favour_that_is_given(self) -> None:
        """At the second release."""

        def prepare() -> None:
            self.lock.acquire()
            self.lock.release()
            self.lock.acquire()

        self.at_each_place(prepare, self.release)

    def test_what_another_process_has_released(self) -> None:
        """The holder by favour does not know of it."""
        self.at_each_place(self.released_by_another, self.acquire)

        def release() -> None:
            with contextlib.suppress(ValueError):
                self.lock.release()

        self.at_each_place(self.released_by_another, release)

    def test_what_a_dead_one_has(self) -> None:
        """By favour, holding it or not, and as any other."""

        def dead(times: int) -> None:
            def child() -> None:
                for _ in range(times):
                    self.lock.acquire()
                    self.lock.release()
                if times != 4:
                    self.lock.acquire()
                die()

            self.join(self.fork(child))

        for times in (4, 5, 0):
            self.at_each_place(lambda times=times: dead(times), self.acquire, briefly=True)  # type: ignore[misc]

    def test_one_interrupted_on_the_way_to_a_wait_keeps_nobody_from_recovering(self) -> None:
        """Whoever has not got the lock is no possible holder."""

        def act() -> None:
            self.lock.acquire(False)

        for place in range(1, PLACES):
            self.lock = SharedLock(self.roster, "data", default_timeout=DEADLINE)
            ready = self.lock._notes.visits

            def hold() -> None:
                self.lock.acquire()
                time.sleep(DEADLINE)

            pid = self.fork(hold)
            self.eventually(lambda ready=ready: any(n & 1 for n in ready), "it is not held")
            with interrupted(place) as seen:
                act()
            mine = ready[self.roster.seat()]
            self.kill(pid)
            self.assertFalse(mine & 1, f"inside, when interrupted at place {place}")
            if seen[0] < place:
                break


if __name__ == "__main__":
    unittest.main()
