"""Workers that use every shared object at once are killed at random instants."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import random
import threading
import time
import unittest
from typing import Any

from itf.sync.barrier import SharedBarrier
from itf.sync.counter import SharedCounter
from itf.sync.event import SharedEvent
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from itf.sync.memory import SharedMemory
from itf.sync.queue import SharedQueue
from itf.sync.semaphore import SharedSemaphore
from tests.support import full_tests
from tests.sync.primitives_support import DEADLINE, PrimitivesTestCase

# A small sample, unless the tests run whole.
KILLS = 1000 if full_tests() else 60
WORKERS = 5  # of which the last one lives
TRIALS_A_ROSTER = 10

# What the workers write down, in shared memory of 8-byte numbers.
STOP, INSIDE, BROKEN, COUNTED, PUT = 0, 1, 2, 8, 16


class Everything:
    """One of each primitive, and workers that use them all."""

    def __init__(self, table: MemberTable) -> None:
        self.lock = SharedLock(table, "lock", default_timeout=DEADLINE)
        self.fanin = SharedQueue(table, "fanin", default_timeout=DEADLINE)
        self.shared = SharedQueue(table, "shared", 5, default_timeout=DEADLINE)
        self.event = SharedEvent(table, "event", default_timeout=DEADLINE)
        self.barrier = SharedBarrier(table, "barrier", 2, default_timeout=DEADLINE)
        self.semaphore = SharedSemaphore(table, "semaphore", 2, default_timeout=DEADLINE)
        self.counter = SharedCounter(table, "counter", default_timeout=DEADLINE)
        self.memory = SharedMemory(table, "notes", 8 * 64)
        self.notes = self.memory.buf.cast("Q")

    def work(self, me: int, seed: int) -> None:
        """Use one after the other, until told to stop."""
        dice = random.Random(seed)
        uses = [
            self.use_lock, self.use_lock, self.use_lock, self.use_fanin, self.use_fanin,
            self.use_shared, self.use_event, self.use_barrier, self.use_semaphore,
            self.use_counter,
        ]  # fmt: skip
        numbers = itertools.count()
        while not self.notes[STOP]:
            dice.choice(uses)(me, dice, numbers)

    def use_lock(self, me: int, dice: random.Random, _: Any) -> None:
        """Note if anybody else is inside as well."""
        with self.lock:
            self.notes[INSIDE] = me
            if dice.random() < 0.1:
                time.sleep(0)
            if self.notes[INSIDE] != me:
                self.notes[BROKEN] = 1

    def use_fanin(self, me: int, dice: random.Random, numbers: Any) -> None:
        """Put what only the test gets."""
        self.fanin.put((me, next(numbers), b"x" * dice.choice((1, 100, 300_000))))
        self.notes[PUT + me] += 1

    def use_shared(self, me: int, dice: random.Random, numbers: Any) -> None:
        """Put and get what others get and put."""
        with contextlib.suppress(queue.Empty, queue.Full):
            self.shared.put((me, next(self.own), "x" * dice.choice((1, 5000))), timeout=0.001)
            self.shared.get(timeout=0.001)

    own = itertools.count()

    def use_event(self, *_: Any) -> None:
        """Set, wait, clear."""
        self.event.wait(0.0005)
        self.event.set()
        self.event.clear()

    def use_barrier(self, *_: Any) -> None:
        """Come, and mend what is broken."""
        try:
            self.barrier.wait(0.002)
        except threading.BrokenBarrierError:
            self.barrier.reset()

    def use_semaphore(self, *_: Any) -> None:
        """Take one of two permits."""
        with self.semaphore:
            time.sleep(0)

    def use_counter(self, me: int, *_: Any) -> None:
        """Count, and count what was counted."""
        self.counter.increment()
        self.notes[COUNTED + me] += 1


class KillsTest(PrimitivesTestCase):
    def test_many_kills(self) -> None:
        """Survivors do not hang, nothing is lost, two never hold the lock, all is usable after."""
        seed = int(os.environ.get("ITF_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
        print(f"\ntest_kills: seed {seed} (ITF_TEST_SEED)", flush=True)
        dice = random.Random(seed)
        kills = 0
        table: MemberTable | None = None
        for trial in itertools.count():
            if kills >= KILLS:
                break
            if trial % TRIALS_A_ROSTER == 0:
                if table is not None:
                    table.close()
                table = MemberTable()
            assert table is not None
            with self.subTest(seed=seed, trial=trial):
                kills += self.one_trial(table, dice)
        if table is not None:
            table.close()

    def one_trial(self, table: MemberTable, dice: random.Random) -> int:
        """Let workers use everything, kill all but one, and look; returns the kills."""
        shared = Everything(table)
        pids = [self.fork(shared.work, n, dice.random()) for n in range(WORKERS)]
        victims = dice.sample(pids[:-1], WORKERS - 1)
        received: list[tuple[int, int]] = []
        for pid in victims:
            end = time.monotonic() + dice.random() * 0.006
            while time.monotonic() < end:
                with contextlib.suppress(queue.Empty):
                    received.append(shared.fanin.get(timeout=0.001)[:2])
            self.kill(pid)
        shared.notes[STOP] = 1
        self.assertEqual(0, self.join(pids[-1]), "the survivor")
        received += self.rest_of(shared.fanin)
        for worker in range(WORKERS):
            numbers = [number for who, number in received if who == worker]
            self.assertEqual(list(range(len(numbers))), numbers, "lost, doubled or out of order")
            # Who was killed may have put one more than it could note.
            extra = len(numbers) - shared.notes[PUT + worker]
            self.assertIn(extra, (0, 1) if worker < WORKERS - 1 else (0,), "lost")
        self.check_shared(shared)
        self.check_rest(shared)
        return len(victims)

    def rest_of(self, messages: SharedQueue) -> list[tuple[int, int]]:
        """Return what is in a queue."""
        messages.put("end", timeout=DEADLINE)
        return [message[:2] for message in iter(messages.get, "end")]

    def check_shared(self, shared: Everything) -> None:
        """Who was killed may have taken a message along; nothing comes twice."""
        left = [shared.shared.get()[:2] for _ in range(shared.shared.qsize())]
        self.assertEqual(len(set(left)), len(left))
        shared.shared.put("a")
        self.assertEqual("a", shared.shared.get())

    def check_rest(self, shared: Everything) -> None:
        """All of them do what they are for."""
        self.assertEqual(0, shared.notes[BROKEN], "two were in the lock")
        self.assertTrue(shared.lock.acquire(timeout=DEADLINE))
        self.assertFalse(shared.lock.acquire(False))
        shared.lock.release()
        self.assertTrue(shared.semaphore.acquire(timeout=DEADLINE))
        self.assertTrue(shared.semaphore.acquire(timeout=DEADLINE))
        self.assertFalse(shared.semaphore.acquire(False))
        counted = sum(shared.notes[COUNTED : COUNTED + WORKERS])
        self.assertIn(shared.counter.value - counted, range(WORKERS))
        self.assertEqual(shared.counter.value + 1, shared.counter.increment())
        shared.event.set()
        self.assertTrue(shared.event.wait(0))
        shared.barrier.reset()
        pid = self.fork(shared.barrier.wait)
        self.assertIn(shared.barrier.wait(), (0, 1))
        self.assertEqual(0, self.join(pid))


if __name__ == "__main__":
    unittest.main()
