"""The short cut of a lock: given, withdrawn, and left by the dead at any step."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf.workers import favour, lock_handle
from itf.workers.atomic import can_change_semaphores
from itf.workers.deadlock import find_deadlock, holders
from itf.workers.lock import SharedLock
from itf.workers.roster import Roster
from itf.workers.semaphores import has_glibc
from itf.workers.shared_memory import SharedMemory

from .primitives_support import DEADLINE, DyingSemaphore, PrimitivesTestCase, die, stop_myself

# Enough for a lock to favour who uses it.
OFTEN = 64

# What the workers of the last test write down, in shared memory of 8-byte numbers.
STOP, INSIDE, BROKEN, COUNTED, FAVOURED = 0, 1, 2, 8, 16
KILLS = 150


def use(lock: SharedLock, times: int = OFTEN) -> None:
    """Use a lock over and over."""
    for _ in range(times):
        with lock:
            pass


@unittest.skipUnless(has_glibc() and can_change_semaphores(), "no lock favours anybody here")
class FavourTest(PrimitivesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.lock = SharedLock(self.roster, "data", default_timeout=DEADLINE)

    def favoured(self) -> int:
        """Return the seat that the lock favours, -1 for none."""
        return int(self.lock._favour.word[0]) - 1

    def favouring(self, function: Callable[[], object]) -> int:
        """Fork a child that the lock favours, and that then does something."""
        ready = self.lock._favour.word

        def child() -> None:
            use(self.lock)
            function()

        pid = self.fork(child)
        self.eventually(lambda: ready[0], "the lock favours nobody")
        return pid

    def check(self) -> None:
        """The lock is free, and one alone can have it."""
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))
        self.assertFalse(self.lock.acquire(False))
        self.assertEqual(0, self.join(self.fork(lambda: os._exit(self.lock.acquire(True, 0.02)))))
        self.lock.release()
        with self.assertRaises(ValueError):
            self.lock.release()
        self.assertEqual(1, self.join(self.fork(lambda: os._exit(self.lock.acquire(False)))))
        # By its death, that one has left it to be recovered.
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))
        self.lock.release()
        # The more often it was withdrawn, the longer it takes to be given.
        use(self.lock, 20 * OFTEN)
        self.assertEqual(self.roster.seat(), self.favoured())

    def test_it_is_given_to_who_uses_the_lock_alone(self) -> None:
        """And behaves as ever: a favoured thread cannot have it twice."""
        self.assertEqual(-1, self.favoured())
        use(self.lock)
        self.assertEqual(self.roster.seat(), self.favoured())
        with self.lock:
            self.assertEqual(["MainThread"], [holder.thread for holder in holders(self.roster)])
            self.assertFalse(self.lock.acquire(False))
            self.assertFalse(self.lock.acquire(timeout=0.01))
        self.assertEqual([], holders(self.roster))
        self.check()

    def test_it_is_withdrawn_for_who_comes(self) -> None:
        """Another process, and another thread; each waits for who holds it by favour."""
        use(self.lock)
        self.lock.acquire()
        self.assertEqual(0, self.join(self.fork(lambda: os._exit(self.lock.acquire(True, 0.05)))))
        self.lock.release()
        self.assertEqual(
            0, self.join(self.fork(lambda: (self.lock.acquire(), self.lock.release())))
        )
        self.assertEqual(-1, self.favoured())
        use(self.lock)
        thread = threading.Thread(target=use, args=(self.lock,), name="other")
        with self.lock:
            thread.start()
            self.await_waiting("lock 'data'")
        thread.join(DEADLINE)
        self.assertNotEqual(self.roster.seat(), self.favoured())
        self.check()

    def test_another_one_may_release_it(self) -> None:
        """Thread or process: what is held by favour is a gate, too."""

        def by_thread() -> None:
            thread = threading.Thread(target=self.lock.release)
            thread.start()
            thread.join(DEADLINE)

        def by_process() -> None:
            self.assertEqual(0, self.join(self.fork(self.lock.release)))

        for open_gate in (by_thread, by_process):
            use(self.lock)
            self.lock.acquire()
            open_gate()
            self.assertEqual([], holders(self.roster))
            self.assertTrue(self.lock.acquire(timeout=DEADLINE))
            self.assertFalse(self.lock.acquire(False))
            self.lock.release()
            use(self.lock)
            self.lock.acquire()
            open_gate()
            with self.assertRaises(ValueError):
                self.lock.release()
            self.check()

    def test_a_gate_that_is_opened_while_its_thread_waits(self) -> None:
        """The thread that has it by favour, and wants it again, gets it."""
        for by_process in (False, True):
            use(self.lock)
            self.lock.acquire()

            def open_it() -> None:
                self.await_waiting("lock 'data'")
                self.lock.release()

            if by_process:
                pid = self.fork(open_it)
                self.assertTrue(self.lock.acquire(timeout=DEADLINE))
                self.assertEqual(0, self.join(pid))
            else:
                thread = threading.Thread(target=open_it)
                thread.start()
                self.assertTrue(self.lock.acquire(timeout=DEADLINE))
                thread.join(DEADLINE)
            self.lock.release()
            self.check()

    def test_a_deadlock_with_itself_is_found(self) -> None:
        """A circle of one, as without favour."""
        use(self.lock)
        self.lock.acquire()
        thread = threading.Thread(
            target=lambda: (
                self.eventually(lambda: find_deadlock(self.roster), "none"),
                self.lock.release(),
            )
        )
        thread.start()
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))
        thread.join(DEADLINE)

    def test_a_favoured_one_that_dies(self) -> None:
        """At any step: whoever comes next gets the lock, and is told who died holding it."""
        for step in ("before acquire", "after acquire", "before release", "after release"):
            with self.subTest(step):
                self.lock = lock = SharedLock(self.roster, step, default_timeout=DEADLINE)
                at: list[str] = []

                def dying(seat: int, lock: SharedLock = lock, at: list[str] = at) -> Any:
                    return Armed(lock._favour.handle(seat), at)

                def child(lock: SharedLock = lock, at: list[str] = at, step: str = step) -> None:
                    lock.cell = dying  # type: ignore[method-assign]
                    use(lock)
                    at.append(step)
                    use(lock, 1)

                pid = self.fork(child)
                self.await_death(pid)
                held = step in ("after acquire", "before release")
                self.assertTrue(lock.acquire(timeout=DEADLINE))
                self.assertFalse(lock.acquire(False))
                lock.release()
                died = [lost.pid for lost in self.roster.casualties() if step in lost.held]
                self.assertEqual([pid] if held else [], died)
                self.join(pid)
                self.check()

    def test_one_that_dies_while_it_changes_the_favour(self) -> None:
        """Giving it, withdrawing it, releasing for another one: at any change of a number."""
        for what, name, place in itertools.product(
            ("give", "withdraw", "withdraw in vain", "disown"),
            ("put", "add", "flip"),
            ("before", "after"),
        ):
            with self.subTest(what, change=name, place=place):
                self.lock = SharedLock(self.roster, "data", default_timeout=DEADLINE)
                if what != "give":
                    use(self.lock)
                if what in ("withdraw in vain", "disown"):
                    self.lock.acquire()

                def child(what: str = what, name: str = name, place: str = place) -> None:
                    with dying_at(name, place):
                        if what == "give":
                            use(self.lock)
                        elif what == "disown":
                            self.lock.release()
                        elif what == "withdraw":
                            self.lock.acquire()
                        else:
                            # What is acquired in the middle of the change.
                            with meanwhile(self.lock):
                                self.lock.acquire(timeout=0.01)

                self.join(self.fork(child))
                if what == "withdraw in vain":
                    self.assertFalse(self.lock.acquire(False))
                    self.lock.release()
                elif what == "disown":
                    with contextlib.suppress(ValueError):
                        self.lock.release()
                self.check()

    def test_a_stopped_favoured_one(self) -> None:
        """It is waited for if it holds the lock, and not if it does not."""
        pid = self.favouring(stop_myself)
        self.await_stop(pid)
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))
        self.lock.release()
        self.kill(pid)
        self.lock = SharedLock(self.roster, "other", default_timeout=DEADLINE)
        pid = self.favouring(lambda: (self.lock.acquire(), stop_myself(), self.lock.release()))
        self.await_stop(pid)
        self.assertFalse(self.lock.acquire(timeout=0.05))
        os.kill(pid, signal.SIGCONT)
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))
        self.assertEqual(0, self.join(pid))

    def test_the_seat_of_a_dead_favoured_one_can_be_had_again(self) -> None:
        """If it did not hold the lock; else once somebody has recovered it."""
        self.join(self.favouring(lambda: None))
        seat = self.favoured()
        with self.roster.exclusive():
            self.assertTrue(self.roster._clean_seat(seat))
        self.assertEqual(-1, self.favoured())
        self.check()
        self.lock = SharedLock(self.roster, "other", default_timeout=DEADLINE)
        self.join(self.favouring(lambda: (self.lock.acquire(), die())))
        seat = self.favoured()
        with self.roster.exclusive():
            self.assertFalse(self.roster._clean_seat(seat))
        self.check()
        with self.roster.exclusive():
            self.assertTrue(self.roster._clean_seat(seat))

    def test_a_child_of_a_favoured_one_is_not(self) -> None:
        """Whether it is forked while the lock is held or not."""
        use(self.lock)
        acquire = self.lock.acquire
        with self.lock:
            self.assertEqual(0, self.join(self.fork(lambda: os._exit(acquire(False)))))
        self.assertEqual(
            0,
            self.join(self.fork(lambda: os._exit(not acquire(False) or self.lock.release() or 0))),
        )
        self.check()

    def test_a_signal_handler_that_raises(self) -> None:
        """Whoever is interrupted at a favoured lock has not acquired it."""
        at: list[str] = []
        made = self.lock.cell
        self.lock.cell = lambda seat: Armed(made(seat), at, interrupt_myself)  # type: ignore[method-assign]
        before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        use(self.lock)
        for step in ("before acquire", "after acquire"):
            at[:] = [step]
            self.assertRaises(KeyboardInterrupt, self.lock.acquire)
            at.clear()
            self.assertEqual([], holders(self.roster))
            use(self.lock)
        self.check()


class Armed(DyingSemaphore):
    """A cell whose user does something at a step that is named later."""

    def __init__(self, inner: Any, at: list[str], action: Callable[[], None] = die) -> None:
        super().__init__(inner, "", action)
        self._steps = at

    def _at(self, step: str) -> None:
        if step in self._steps:
            self._action()


def interrupt_myself() -> None:
    """Get a signal, whose handler raises."""
    os.kill(os.getpid(), signal.SIGUSR1)


@contextlib.contextmanager
def dying_at(name: str, place: str) -> Any:
    """Let this process die before or after it changes a number in this way."""
    change = getattr(favour, name)

    def dying(*args: Any) -> None:
        if place == "before":
            die()
        change(*args)
        die()

    with mock.patch.object(favour, name, dying):
        yield


@contextlib.contextmanager
def meanwhile(lock: SharedLock) -> Any:
    """Let a withdrawal find the cell free that is held."""
    settled = lock._favour._settled
    with mock.patch.object(favour.Favour, "_settled", lambda self, seat: settled(seat) + 1):
        yield


@unittest.skipUnless(has_glibc() and can_change_semaphores(), "no lock favours anybody here")
class FavourAndKillsTest(PrimitivesTestCase):
    """Favour that comes and goes all the time, while its users are killed."""

    def work(self, lock: SharedLock, notes: memoryview, me: int, seed: float) -> None:
        """Use the lock a few times in a row, over and over, with pauses."""
        dice = random.Random(seed)
        while not notes[STOP]:
            for _ in range(dice.randrange(1, 8)):
                with lock:
                    notes[INSIDE] = me
                    if dice.random() < 0.05:
                        time.sleep(0)
                    if notes[INSIDE] != me:
                        notes[BROKEN] = 1
                    notes[COUNTED + me] += 1
                notes[FAVOURED] |= lock._favour.word[0]
            if dice.random() < 0.3:
                threading.Event().wait(dice.random() * 0.0008)  # the others are alone

    def test_many_kills(self) -> None:
        """Never two in the lock, and it is usable at the end."""
        seed = int(os.environ.get("ITF_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
        print(f"\ntest_favour: seed {seed} (ITF_TEST_SEED)", flush=True)
        dice = random.Random(seed)
        roster = Roster()
        self.addCleanup(roster.close)
        lock = SharedLock(roster, "lock", default_timeout=DEADLINE)
        memory = SharedMemory(roster, "notes", 8 * 64)
        notes = memory.buf.cast("Q")
        # Each release is an occasion to favour whoever releases.
        with (
            mock.patch.object(lock_handle, "_FIRST_REST", 0),
            mock.patch.object(lock_handle, "_LAST_REST", 0),
        ):
            pids = [self.fork(self.work, lock, notes, me, dice.random()) for me in range(4)]
            for _ in range(KILLS):
                victim = dice.randrange(3)
                counted = notes[COUNTED + victim]
                use(lock, dice.randrange(20))
                self.eventually(
                    lambda n=victim, c=counted: notes[COUNTED + n] != c, f"{victim} does not go on"
                )
                self.kill(pids[victim])
                pids[victim] = self.fork(self.work, lock, notes, victim, dice.random())
            notes[STOP] = 1
            for pid in pids:
                self.assertEqual(0, self.join(pid))
        self.assertEqual(0, notes[BROKEN], "two were in the lock")
        self.assertTrue(notes[FAVOURED], "nobody was favoured")
        self.assertTrue(lock.acquire(timeout=DEADLINE))
        self.assertFalse(lock.acquire(False))


if __name__ == "__main__":
    unittest.main()
