"""A process is killed at each step of using a lock, and while many processes use one."""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import signal
import sys
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from itf.sync import lock as lock_module
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from itf.sync.memory import SharedMemory
from itf.sync.record import DoubleBufferedRecord
from tests.support import full_tests
from tests.sync.primitives_support import DEADLINE, PrimitivesTestCase, die, sample, stop_myself

OURS = str(Path(lock_module.__file__).parent)
LOCK_ALONE = str(Path(OURS, "lock"))


class Steps:
    """The instructions of itf that a function executes, each at its first execution.

    Args:
        step: The number of the step before which something is done; 0 for none.
        action: What to do then, for example `die`.
        files: How the paths of the files begin whose instructions count.

    Attributes:
        count: How many steps there have been.
    """

    def __init__(self, step: int, action: Callable[[], object], files: str = OURS) -> None:
        self.count = 0
        self._files = files
        self._step = step
        self._action = action
        self._seen: set[tuple[CodeType, int]] = set()

    def run(self, function: Callable[[], object]) -> None:
        """Call a function."""
        # Python 3.12 has no such events if no frame has asked for them before.
        frame = inspect.currentframe()
        assert frame is not None
        frame.f_trace_opcodes = True
        sys.settrace(self._trace)
        try:
            function()
        finally:
            sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._files):
            return None
        frame.f_trace_opcodes = True
        place = frame.f_code, frame.f_lasti
        if event == "opcode" and place not in self._seen:
            self._seen.add(place)
            self.count += 1
            if self.count == self._step:
                self._action()
        return self._trace


class StepsTest(PrimitivesTestCase):
    """Whatever the step, one process after the other gets the lock, and never two."""

    def setUp(self) -> None:
        super().setUp()
        self.new_lock()

    def new_lock(self) -> None:
        """Make a lock in a table of its own, because each check uses some thread slots."""
        self.table.close()
        self.table = MemberTable()
        self.addCleanup(self.table.close)
        self.lock = SharedLock(self.table, "data", default_timeout=DEADLINE)

    def at_each_step(
        self,
        act: Callable[[], object],
        prepare: Callable[[], object] = bool,
        meanwhile: Callable[[int], object] = bool,
    ) -> None:
        """Kill a child at the steps of an action.

        Args:
            act: The action of the child.
            prepare: Called before the child is forked.
            meanwhile: Called, with the child's pid, while it runs.
        """
        total = self.one(0, act, prepare, meanwhile)
        self.assertGreater(total, 20)
        for step in sample(total, 6):
            with self.subTest(step=step, of=total):
                self.one(step, act, prepare, meanwhile)

    def one(
        self,
        step: int,
        act: Callable[[], object],
        prepare: Callable[[], object],
        meanwhile: Callable[[int], object],
    ) -> int:
        """Kill a child at one step, and check the lock; return how many steps there are."""
        self.new_lock()
        count = DoubleBufferedRecord(self.table, "count", "q", 0)

        def child() -> None:
            self.table.thread_slot()  # taking it is not what is tested
            steps = Steps(step, die)
            steps.run(act)
            count.write(steps.count)

        prepare()
        pid = self.fork(child)
        meanwhile(pid)
        self.await_death(pid)  # and it stays a zombie while the lock is checked
        self.check()
        # How many steps there are depends on what happens meanwhile.
        self.assertIn(self.join(pid), (-9, 0) if step else (0,))
        return int(count.read()[0])

    def check(self) -> None:
        """Check that one process can have the lock, and only one."""
        self.assertTrue(self.lock.acquire(timeout=DEADLINE), "nobody can have the lock")
        self.assertEqual(10, self.join(self.fork(self.try_it)), "two have the lock")
        self.lock.release()
        self.assertRaises(ValueError, self.lock.release)
        self.assertEqual(11, self.join(self.fork(self.try_it)))
        # That child has died with the lock.
        self.assertTrue(self.lock.acquire(False))
        self.assertFalse(self.lock.acquire(False))

    def try_it(self) -> None:
        """End this process with 11 if it could acquire the lock, otherwise with 10."""
        os._exit(10 + self.lock.acquire(True, 0.02))

    def acquire(self) -> None:
        """Acquire the lock that there is by then."""
        self.lock.acquire()

    def release(self) -> None:
        """Release it."""
        self.lock.release()

    def use(self) -> None:
        """Acquire the lock and release it."""
        self.lock.acquire()
        self.lock.release()

    def test_a_free_lock(self) -> None:
        """Acquired and released, by the methods."""
        self.at_each_step(self.use)

    def test_a_free_lock_in_a_with_block(self) -> None:
        """Acquired and released, by ``with``."""

        def use() -> None:
            with self.lock:
                pass

        self.at_each_step(use)

    def test_a_lock_that_another_process_holds(self) -> None:
        """It is waited for, acquired and released."""

        def meanwhile(pid: int) -> None:
            self.await_waiting_or_death("lock 'data'", pid)
            self.lock.release()

        self.at_each_step(self.use, self.acquire, meanwhile)

    def test_a_lock_that_stays_locked(self) -> None:
        """The wait ends when its time is up; the holder holds the lock all the time."""

        def meanwhile(pid: int) -> None:
            self.await_death(pid)
            self.assertEqual(10, self.join(self.fork(self.try_it)), "two have the lock")
            self.lock.release()

        self.at_each_step(lambda: self.lock.acquire(timeout=0.001), self.acquire, meanwhile)

    def test_a_lock_whose_holder_has_died(self) -> None:
        """It is recovered and released; whoever has died holding it is recorded once or more."""

        def prepare() -> None:
            holder.append(self.fork(lambda: (self.lock.acquire(), die())))
            self.join(holder[-1])

        def meanwhile(pid: int) -> None:
            self.await_death(pid)
            self.assertTrue(self.lock.acquire(timeout=DEADLINE))
            self.lock.release()
            died = {lost.pid for lost in self.table.dead_holders()}
            self.assertLessEqual({holder[-1]}, died)
            self.assertLessEqual(died, {holder[-1], pid})

        holder: list[int] = []
        self.at_each_step(self.use, prepare, meanwhile)

    def test_a_lock_released_for_its_holder(self) -> None:
        """The child releases what the test has acquired, or is killed before."""

        def meanwhile(pid: int) -> None:
            self.await_death(pid)
            with contextlib.suppress(ValueError):
                self.lock.release()

        self.at_each_step(self.release, self.acquire, meanwhile)

    def test_others_that_wait(self) -> None:
        """They get the lock one after the other, at whichever step the child is killed."""
        counted: list[DoubleBufferedRecord] = []
        waiting: list[int] = []

        def count_up() -> None:
            for _ in range(20):
                with self.lock:
                    (value,) = counted[-1].read()
                    counted[-1].write(value + 1)

        def prepare() -> None:
            counted.append(DoubleBufferedRecord(self.table, "count", "q", 0))
            self.lock.acquire()
            waiting[:] = [self.fork(count_up) for _ in range(2)]
            self.await_waiting("lock 'data'", 2)

        def meanwhile(pid: int) -> None:
            self.await_waiting_or_death("lock 'data'", pid, 3)
            self.lock.release()
            self.assertEqual([0, 0], [self.join(other) for other in waiting])
            self.assertEqual((40,), counted[-1].read())

        self.at_each_step(self.use, prepare, meanwhile)


class StoppedTest(PrimitivesTestCase):
    """A process is stopped at each step of using a lock, beside one that has died in it."""

    def test_a_stopped_process_and_a_dead_one(self) -> None:
        """The lock is recovered, or stays with the stopped process; both never have it."""
        for how_it_dies in ("holding", "waiting"):
            total = self.one(0, how_it_dies)
            self.assertGreater(total, 20)
            for step in sample(total, 6):
                with self.subTest(dead=how_it_dies, step=step, of=total):
                    self.one(step, how_it_dies)

    def one(self, step: int, how_it_dies: str) -> int:
        """Stop a child at one step, try to get the lock meanwhile, then let the child continue."""
        table = MemberTable()
        self.addCleanup(table.close)
        self.table.close()
        self.table = table
        lock = SharedLock(table, "data", default_timeout=DEADLINE)
        count = DoubleBufferedRecord(table, "count", "q", 0)
        taken = DoubleBufferedRecord(table, "taken", "q", 0)
        self.leave_dead(lock, how_it_dies)

        def child() -> None:
            table.thread_slot()  # taking it is not what is tested
            # Not those of the roster: a process that is stopped in the middle of an
            # allocation keeps all others from allocating, and that is an error.
            steps = Steps(step, stop_myself, LOCK_ALONE)

            def use() -> None:
                lock.acquire()
                self.assertEqual((0,), taken.read(), "two have the lock")
                lock.release()

            steps.run(use)
            count.write(steps.count)

        pid = self.fork(child)
        if not step:
            self.assertEqual(0, self.join(pid))
            return int(count.read()[0])
        self.await_stop(pid)
        if lock.acquire(timeout=0.03):
            taken.write(1)
            os.kill(pid, signal.SIGCONT)
            self.await_waiting_or_death("lock 'data'", pid)
            taken.write(0)
            lock.release()
        else:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(0, self.join(pid))
        self.assertTrue(lock.acquire(timeout=DEADLINE))
        self.assertFalse(lock.acquire(False))
        return 0

    def leave_dead(self, lock: SharedLock, how_it_dies: str) -> None:
        """Let a process die that holds the lock, or that waits for it while it is held here."""
        if how_it_dies == "holding":
            self.join(self.fork(lambda: (lock.acquire(), die())))
            return
        with lock:
            self.leave_dead_waiter(lock)


# What the workers of the next test write down, in shared memory of 8-byte numbers.
STOP, INSIDE, BROKEN, COUNTED = 0, 1, 2, 8

# Processes killed at random instants; a small sample, unless the tests run whole.
KILLS = 300 if full_tests() else 40


class RandomKillsTest(PrimitivesTestCase):
    """Processes that use one lock in every way, and are killed at random instants."""

    def work(self, lock: SharedLock, notes: memoryview, me: int, seed: float) -> None:
        """Use the lock a few times in a row, over and over, with pauses."""
        dice = random.Random(seed)
        while not notes[STOP]:
            for _ in range(dice.randrange(1, 8)):
                # Some are impatient: these must not keep others from recovering.
                if not lock.acquire(dice.random() < 0.8, dice.choice((None, 0.001, DEADLINE))):
                    continue
                notes[INSIDE] = me
                if dice.random() < 0.05:
                    time.sleep(0)
                if notes[INSIDE] != me:
                    notes[BROKEN] = 1
                notes[COUNTED + me] += 1
                lock.release()
            if dice.random() < 0.3:
                threading.Event().wait(dice.random() * 0.0008)

    def test_many_kills(self) -> None:
        """Never two processes hold the lock, and it is free at the end."""
        seed = int(os.environ.get("ITF_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
        print(f"\ntest_lock_steps: seed {seed} (ITF_TEST_SEED)", flush=True)
        dice = random.Random(seed)
        lock = SharedLock(self.table, "lock", default_timeout=DEADLINE)
        memory = SharedMemory(self.table, "notes", 8 * 64)
        notes = memory.buf.cast("Q")
        pids = [self.fork(self.work, lock, notes, me, dice.random()) for me in range(4)]
        for _ in range(KILLS):
            victim = dice.randrange(3)
            counted = notes[COUNTED + victim]
            for _ in range(dice.randrange(20)):
                with lock:
                    pass
            self.eventually(
                lambda n=victim, c=counted: notes[COUNTED + n] != c, f"{victim} does not go on"
            )
            self.kill(pids[victim])
            pids[victim] = self.fork(self.work, lock, notes, victim, dice.random())
        notes[STOP] = 1
        for pid in pids:
            self.assertEqual(0, self.join(pid))
        self.assertEqual(0, notes[BROKEN], "two were in the lock")
        self.assertTrue(lock.acquire(timeout=DEADLINE))
        self.assertFalse(lock.acquire(False))


if __name__ == "__main__":
    unittest.main()
