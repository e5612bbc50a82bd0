"""Tests of event, barrier, semaphore, counter, sequencer and shared memory, with deaths."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import unittest
from typing import Any
from unittest import mock

from itf.exceptions import WorkerDiedError, WorkerError, WorkerTimeoutError
from itf.sync.barrier import SharedBarrier
from itf.sync.counter import SharedCounter
from itf.sync.deadlock import waits
from itf.sync.event import SharedEvent
from itf.sync.memory import SharedMemory
from itf.sync.queue import SharedQueue
from itf.sync.record import DoubleBufferedRecord
from itf.sync.semaphore import SharedSemaphore
from itf.sync.sequencer import Sequencer
from tests.sync.primitives_support import (
    DEADLINE,
    STEPS,
    PrimitivesTestCase,
    act_at,
    die,
    stop_myself,
)


def use_all(event: Any, barrier: Any, semaphore: Any, counter: Any, memory: Any) -> None:
    """Use one of each primitive, in a process started by any method."""
    if not event.wait():
        os._exit(2)
    barrier.wait()
    with semaphore:
        memory.buf[0] += 1
    counter.increment()


# Whether a child has ended, without taking its status.
NO_HANG = os.WEXITED | os.WNOWAIT | os.WNOHANG


class Stopping:
    """A record whose reader is stopped after it has read."""

    def __init__(self, numbers: memoryview) -> None:
        self._numbers = numbers

    def __getitem__(self, index: int) -> int:
        number: int = self._numbers[index]
        stop_myself()
        return number

    def __setitem__(self, index: int, number: int) -> None:
        self._numbers[index] = number


class CellTest(PrimitivesTestCase):
    def test_all_at_once_or_not_at_all(self) -> None:
        """A writer that dies between the copy and the version has changed nothing."""
        cell = DoubleBufferedRecord(self.table, "pair", "qq", 1, 2)

        version = cell._version[0]

        class Dying:
            """A version whose store never happens."""

            def __getitem__(self, _: int) -> int:
                return version

            def __setitem__(self, *_: int) -> None:
                die()

        def write() -> None:
            cell._version = Dying()  # type: ignore[assignment]
            cell.write(3, 4)

        self.assertEqual(-9, self.join(self.fork(write)))
        self.assertEqual((1, 2), cell.read())
        cell.write(5, 6)
        self.assertEqual((5, 6), cell.read())

    def test_a_reader_sees_one_version(self) -> None:
        """A reader gets numbers of one version while another process writes."""
        cell = DoubleBufferedRecord(self.table, "pair", "qq", 0, 0)
        pid = self.fork(lambda: [cell.write(n, -n) for n in range(20_000)])
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            one, other = cell.read()
            self.assertEqual(one, -other)
        self.assertEqual(0, self.join(pid))


class TogetherTest(PrimitivesTestCase):
    def test_every_start_method(self) -> None:
        """All primitives work in a process started by any method."""
        for method in multiprocessing.get_all_start_methods():
            event = SharedEvent(self.table, "go")
            barrier = SharedBarrier(self.table, "all", 2)
            semaphore = SharedSemaphore(self.table, "slots", 1)
            counter = SharedCounter(self.table, "hits")
            memory = SharedMemory(self.table, "table", 10)
            worker: Any = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
                target=use_all, args=(event, barrier, semaphore, counter, memory)
            )
            worker.start()
            event.set()
            self.assertIn(barrier.wait(DEADLINE), (0, 1))
            worker.join(DEADLINE)
            self.assertEqual(0, worker.exitcode, method)
            self.assertEqual((1, 1, 1), (memory.buf[0], counter.value, semaphore.value))
            worker.close()

    def test_after_the_environment_they_say_so(self) -> None:
        """Using a primitive after the environment's end raises a WorkerError."""
        event = SharedEvent(self.table, "go")
        barrier = SharedBarrier(self.table, "all", 2)
        semaphore = SharedSemaphore(self.table, "slots", 1)
        counter = SharedCounter(self.table, "hits")
        memory = SharedMemory(self.table, "table", 10)
        sequence = Sequencer(self.table)
        self.table.close()
        for use in (
            event.set, event.wait, event.is_set, barrier.wait, barrier.abort, semaphore.acquire,
            semaphore.release, counter.increment, counter.reset, lambda: memory.buf,
            lambda: sequence.step(0).__enter__(),
        ):  # fmt: skip
            with self.assertRaisesRegex(WorkerError, "environment of this object has ended"):
                use()


class EventTest(PrimitivesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.event = SharedEvent(self.table, "go", default_timeout=DEADLINE)

    def test_one_who_is_stopped_while_he_changes_it(self) -> None:
        """A stopped process that continues does not undo the changes made meanwhile."""
        self.event.set()

        def clear_slowly() -> None:
            self.event._changes = Stopping(self.event._changes)  # type: ignore[assignment]
            self.event.clear()

        slow = self.fork(clear_slowly)
        self.await_stop(slow)
        other = self.fork(lambda: (self.event.clear(), self.event.set()))
        self.eventually(
            lambda: waits(self.table) or os.waitid(os.P_PID, other, NO_HANG),
            "the other one does nothing",
        )
        os.kill(slow, signal.SIGCONT)
        self.assertEqual([0, 0], [self.join(pid) for pid in (slow, other)])
        self.assertTrue(self.event.is_set())

    def test_set_and_clear(self) -> None:
        """`set`, `clear` and `is_set` work as those of threading.Event."""
        self.assertFalse(self.event.is_set())
        self.assertFalse(self.event.wait(0))
        self.assertFalse(self.event.wait(0.01))
        for _ in range(2):
            self.event.set()
            self.assertTrue(self.event.is_set())
        self.assertTrue(self.event.wait())
        for _ in range(2):
            self.event.clear()
            self.assertFalse(self.event.is_set())

    def test_all_who_wait_are_woken(self) -> None:
        """`set` wakes processes and threads, also if the event is cleared immediately."""
        codes: list[bool] = []
        threads = [threading.Thread(target=lambda: codes.append(self.event.wait())) for _ in "12"]
        pids = [self.fork(lambda: os._exit(7 * self.event.wait())) for _ in range(3)]
        for thread in threads:
            thread.start()
        self.await_waiting("event 'go'", 5)
        self.event.set()
        self.event.clear()
        self.assertEqual([7] * 3, [self.join(pid) for pid in pids])
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual([True, True], codes)

    def test_a_waiter_that_dies(self) -> None:
        """A waiting process that dies does not delay the others."""
        pids = [self.fork(self.event.wait) for _ in range(3)]
        self.await_waiting("event 'go'", 3)
        for pid in pids[:2]:
            self.kill(pid)
        self.event.set()
        self.assertEqual(0, self.join(pids[2]))

    def test_one_who_dies_before_waking_the_others(self) -> None:
        """They see it themselves."""
        pid = self.fork(lambda: os._exit(7 * self.event.wait()))
        self.await_waiting("event 'go'")
        with mock.patch.object(self.event._wake_up, "notify", die):
            self.join(self.fork(self.event.set))
        self.assertEqual(7, self.join(pid))

    def test_the_default_timeout_is_an_error(self) -> None:
        """It names the event."""
        event = SharedEvent(self.table, "go", default_timeout=0.02)
        with self.assertRaisesRegex(WorkerTimeoutError, r"event 'go' was not set within 0.02 s"):
            event.wait()

    def test_ctrl_c_while_waiting(self) -> None:
        """KeyboardInterrupt ends the wait."""

        def wait() -> None:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                self.event.wait()
            except KeyboardInterrupt:
                os._exit(7)

        pid = self.fork(wait)
        self.await_waiting("event 'go'")
        os.kill(pid, signal.SIGINT)
        self.assertEqual(7, self.join(pid))


class BarrierTest(PrimitivesTestCase):
    def new(self, parties: int, timeout: float | None = DEADLINE) -> SharedBarrier:
        """Return a barrier."""
        return SharedBarrier(self.table, "all", parties, default_timeout=timeout)

    def test_all_come(self) -> None:
        """The parties pass many times, and each gets another number."""
        barrier, numbers = self.new(4), SharedQueue(self.table, "numbers")

        def come() -> None:
            for turn in range(50):
                numbers.put((turn, barrier.wait()))

        pids = [self.fork(come) for _ in range(3)]
        come()
        self.assertEqual([0] * 3, [self.join(pid) for pid in pids])
        found = sorted(numbers.get() for _ in range(200))
        self.assertEqual([(turn, number) for turn in range(50) for number in range(4)], found)
        self.assertEqual((0, False, 4), (barrier.n_waiting, barrier.broken, barrier.parties))

    def test_one_party(self) -> None:
        """A barrier with one party does not wait."""
        barrier = self.new(1)
        self.assertEqual([0, 0], [barrier.wait(), barrier.wait(0)])

    def test_one_that_dies_waiting_does_not_count(self) -> None:
        """A dead process does not count: the others wait for another party."""
        barrier = self.new(2)
        pid = self.fork(barrier.wait)
        self.eventually(lambda: barrier.n_waiting == 1, "nobody came")
        self.kill(pid)
        self.assertEqual(0, barrier.n_waiting)
        other = self.fork(lambda: os._exit(10 + barrier.wait()))
        self.eventually(lambda: barrier.n_waiting == 1, "nobody came")
        self.assertEqual(1, barrier.wait())
        self.assertEqual(10, self.join(other))

    def test_one_that_dies_at_any_step_of_coming(self) -> None:
        """The barrier stays usable if a process dies at any step of its arrival."""
        for step in STEPS:
            with self.subTest(step):
                barrier = self.new(2)

                def come(barrier: SharedBarrier = barrier, step: str = step) -> None:
                    act_at(step, die, barrier._lock)
                    barrier.wait()

                self.assertEqual(-9, self.join(self.fork(come)))
                pid = self.fork(barrier.wait)
                barrier.wait()
                self.assertEqual(0, self.join(pid))

    def test_one_who_dies_before_waking_the_others(self) -> None:
        """They have passed all the same."""
        barrier = self.new(2)
        pid = self.fork(lambda: os._exit(10 + barrier.wait()))
        self.eventually(lambda: barrier.n_waiting == 1, "nobody came")
        with mock.patch.object(barrier._wake_up, "notify", die):
            self.assertEqual(-9, self.join(self.fork(barrier.wait)))
        self.assertEqual(10, self.join(pid))

    def test_a_timeout_breaks_it(self) -> None:
        """As in threading, a timeout breaks the barrier for all until it is reset."""
        barrier = self.new(3)
        pid = self.fork(lambda: self.assertRaises(threading.BrokenBarrierError, barrier.wait))
        self.eventually(lambda: barrier.n_waiting == 1, "nobody came")
        self.assertRaises(threading.BrokenBarrierError, barrier.wait, 0.02)
        self.assertEqual(0, self.join(pid))
        self.assertTrue(barrier.broken)
        self.assertRaises(threading.BrokenBarrierError, barrier.wait)
        barrier.reset()
        self.assertFalse(barrier.broken)

    def test_the_default_timeout_is_an_error(self) -> None:
        """It says how many have come."""
        barrier = self.new(3, 0.02)
        with self.assertRaisesRegex(
            WorkerTimeoutError, r"barrier 'all': 1 of 3 parties have come within 0.02 s"
        ):
            barrier.wait()
        self.assertTrue(barrier.broken)

    def test_abort_and_reset(self) -> None:
        """Both raise BrokenBarrierError in waiting threads; after a reset the barrier is usable."""
        for method in ("abort", "reset"):
            barrier = self.new(2)
            pid = self.fork(
                lambda barrier=barrier: self.assertRaises(
                    threading.BrokenBarrierError, barrier.wait
                )
            )
            self.eventually(lambda barrier=barrier: barrier.n_waiting == 1, "nobody came")
            getattr(barrier, method)()
            self.assertEqual(0, self.join(pid))
            self.assertEqual(method == "abort", barrier.broken)
            barrier.reset()
            pid = self.fork(barrier.wait)
            barrier.wait()
            self.assertEqual(0, self.join(pid))

    def test_bad_input(self) -> None:
        """A number of parties that cannot be."""
        for parties in (0, -1, 1.5, 100_000):
            with self.subTest(parties), self.assertRaises((TypeError, ValueError)):
                self.new(parties)  # type: ignore[arg-type]


class SemaphoreTest(PrimitivesTestCase):
    def new(self, value: int, timeout: float | None = DEADLINE) -> SharedSemaphore:
        """Return a semaphore."""
        return SharedSemaphore(self.table, "slots", value, default_timeout=timeout)

    def test_acquire_and_release(self) -> None:
        """`acquire` and `release` work as those of multiprocessing.Semaphore."""
        slots = self.new(2)
        self.assertTrue(slots.acquire())
        with slots:
            self.assertEqual(0, slots.get_value())
            self.assertTrue(slots.locked())
            self.assertFalse(slots.acquire(False))
            self.assertFalse(slots.acquire(timeout=0.01))
        self.assertFalse(slots.locked())
        slots.release()
        slots.release()
        self.assertEqual(3, slots.value)

    def test_the_permits_of_the_dead_come_back(self) -> None:
        """A dead process's permits become free, and the process is recorded."""
        slots = self.new(2)
        pid = self.fork(lambda: (slots.acquire(), slots.acquire(), die()))
        self.await_death(pid)
        self.assertEqual(2, slots.value)
        self.assertTrue(slots.acquire())
        self.assertTrue(slots.acquire())
        self.assertFalse(slots.acquire(False))
        (lost,) = self.table.dead_holders()
        self.assertEqual((pid, "2 permits of semaphore 'slots'"), (lost.pid, lost.held))

    def test_they_come_back_to_who_waits(self) -> None:
        """A waiting thread gets the permit of a dead process without any other call."""
        slots = self.new(1)
        holder = self.fork(lambda: (slots.acquire(), stop_myself()))
        self.await_stop(holder)
        pid = self.fork(lambda: os._exit(7 * slots.acquire()))
        self.await_waiting("a permit of semaphore 'slots'")
        self.kill(holder)
        self.assertEqual(7, self.join(pid))

    def test_one_that_dies_at_any_step(self) -> None:
        """No permit is lost, none is made."""
        for step in STEPS:
            with self.subTest(step):
                slots = self.new(1)

                def use(slots: SharedSemaphore = slots, step: str = step) -> None:
                    act_at(step, die, slots._lock)
                    slots.acquire()

                self.assertEqual(-9, self.join(self.fork(use)))
                self.assertTrue(slots.acquire())
                self.assertFalse(slots.acquire(False))
                slots.release()
                self.assertEqual(1, slots.value)

    def test_never_too_many_inside(self) -> None:
        """Of 4 processes with 2 threads each, at most 3 have a permit at a time."""
        slots, inside = self.new(3), SharedCounter(self.table, "inside")

        def enter() -> None:
            for _ in range(40):
                with slots:
                    if inside.increment() > 3:
                        os._exit(2)
                    inside.decrement()

        def both() -> None:
            threads = [threading.Thread(target=enter) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        pids = [self.fork(both) for _ in range(4)]
        self.assertEqual([0] * 4, [self.join(pid) for pid in pids])
        self.assertEqual((3, 0), (slots.value, inside.value))

    def test_the_default_timeout_is_an_error(self) -> None:
        """It names the semaphore."""
        with self.assertRaisesRegex(WorkerTimeoutError, "semaphore 'slots' had no permit within"):
            self.new(0, 0.02).acquire()

    def test_bad_input(self) -> None:
        """A negative value."""
        with self.assertRaisesRegex(ValueError, "value must be at least 0, got -1"):
            self.new(-1)


class CounterTest(PrimitivesTestCase):
    def test_it_is_exact(self) -> None:
        """In 4 processes with 8 threads each, no value is returned twice, and none is lost."""
        hits, made = SharedCounter(self.table, "hits"), SharedQueue(self.table, "made")

        def count() -> None:
            made.put([hits.increment() for _ in range(50)])

        def many() -> None:
            threads = [threading.Thread(target=count) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        pids = [self.fork(many) for _ in range(4)]
        self.assertEqual([0] * 4, [self.join(pid) for pid in pids])
        values = [value for _ in range(32) for value in made.get()]
        self.assertEqual(list(range(1, 1601)), sorted(values))
        self.assertEqual(1600, hits.value)

    def test_amounts(self) -> None:
        """Increments, decrements and resets work; an overflow changes nothing."""
        hits = SharedCounter(self.table, "hits", 5)
        self.assertEqual([7, 4], [hits.increment(2), hits.decrement(3)])
        self.assertEqual(-6, hits.increment(-10))
        with self.assertRaises(OverflowError):
            hits.increment(2**64)
        with self.assertRaises(TypeError):
            hits.increment(1.5)  # type: ignore[arg-type]
        self.assertEqual(-6, hits.value)
        hits.reset()
        self.assertEqual(5, hits.value)

    def test_one_that_dies_at_any_step(self) -> None:
        """The value is that of before or after, and the others go on."""
        for step in STEPS:
            with self.subTest(step):
                hits = SharedCounter(self.table, "hits")

                def count(hits: SharedCounter = hits, step: str = step) -> None:
                    act_at(step, die, hits._lock)
                    hits.increment()

                self.assertEqual(-9, self.join(self.fork(count)))
                self.assertEqual(1 + ("release" in step), hits.increment())


class SequenceTest(PrimitivesTestCase):
    def test_steps_are_taken_in_order(self) -> None:
        """Steps run in order, in any process."""
        sequence, taken = Sequencer(self.table), SharedQueue(self.table, "taken")

        def take(numbers: list[int]) -> None:
            for number in numbers:
                with sequence.step(number):
                    taken.put(number)

        pids = [self.fork(take, numbers) for numbers in ([2, 4, 7], [1, 3, 6], [5, 8])]
        take([0])
        self.assertEqual([0] * 3, [self.join(pid) for pid in pids])
        self.assertEqual(list(range(9)), [taken.get() for _ in range(9)])

    def test_a_step_is_taken_once(self) -> None:
        """A step that is done or running is refused."""
        sequence = Sequencer(self.table, first=1)
        with sequence.step(1), self.assertRaisesRegex(WorkerError, "step 1 was taken before"):
            sequence.step(1).__enter__()
        with self.assertRaisesRegex(WorkerError, "step 1 was taken before; step 2 is next"):
            sequence.step(1).__enter__()

    def test_a_step_that_raises_is_done(self) -> None:
        """A step that raises is done, and its worker gets the exception."""
        sequence = Sequencer(self.table)
        with self.assertRaises(ZeroDivisionError), sequence.step(0):
            raise ZeroDivisionError
        with sequence.step(1):
            pass

    def test_a_worker_that_dies_in_its_step(self) -> None:
        """A death in a step is an error for threads that wait for a later step, now or later."""
        sequence = Sequencer(self.table, default_timeout=DEADLINE)

        def take() -> None:
            self.table.join("w1")
            with sequence.step(0):
                stop_myself()

        pid = self.fork(take)
        self.await_stop(pid)
        seen: list[BaseException] = []

        def wait() -> None:
            try:
                sequence.step(1).__enter__()
            except WorkerDiedError as error:
                seen.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        self.await_waiting("the step before")
        self.kill(pid)
        thread.join(DEADLINE)
        self.assertEqual(
            f"worker 'w1' (pid {pid}) died in step 0; step 1 comes after it", str(seen[0])
        )
        with self.assertRaises(WorkerDiedError):
            sequence.step(2).__enter__()

    def test_the_default_timeout_is_an_error(self) -> None:
        """It says which step is next, and whether anybody is in it."""
        sequence = Sequencer(self.table, default_timeout=0.02)
        with self.assertRaisesRegex(
            WorkerTimeoutError, "step 1 could not begin: no worker has begun step 0 within 0.02 s"
        ):
            sequence.step(1).__enter__()


class SharedMemoryTest(PrimitivesTestCase):
    def test_all_see_it(self) -> None:
        """One process reads what another one has written."""
        memory = SharedMemory(self.table, "table", 100)
        self.assertEqual((100, 100, bytes(100)), (memory.size, len(memory.buf), bytes(memory.buf)))

        def write() -> None:
            memory.buf[:3] = b"abc"

        self.join(self.fork(write))
        self.assertEqual(b"abc", bytes(memory.buf[:3]))
        memory.close()
        memory.unlink()
        self.assertEqual(b"abc", bytes(memory.buf[:3]))

    def test_a_view_may_outlive_the_environment(self) -> None:
        """A view keeps the memory mapped until the view is deleted."""
        memory = SharedMemory(self.table, "table", 100)
        view = memory.buf
        self.table.close()
        view[0] = 1
        self.assertEqual(1, view[0])

    def test_bad_input(self) -> None:
        """A size that cannot be."""
        for size in (0, -1, "1"):
            with self.subTest(size), self.assertRaises((TypeError, ValueError)):
                SharedMemory(self.table, "table", size)  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
