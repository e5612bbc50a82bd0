"""The lock as multiprocessing.Lock, and with holders that die, stop or are interrupted."""

from __future__ import annotations

import concurrent.futures
import copy
import itertools
import multiprocessing
import os
import pickle
import signal
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf.exceptions import WorkerError, WorkerTimeoutError
from itf.sync import members as members_module
from itf.sync.deadlock import find_deadlock, holders, waits
from itf.sync.lock import SharedLock
from itf.sync.record import DoubleBufferedRecord
from tests.sync.primitives_support import (
    DEADLINE,
    STEPS,
    PrimitivesTestCase,
    act_at,
    die,
    stop_myself,
)


def count_up(lock: Any, cell: DoubleBufferedRecord, times: int) -> None:
    """Add to a number in a way that loses counts if the lock does not exclude others."""
    for _ in range(times):
        with lock:
            (value,) = cell.read()
            cell.write(value + 1)


class LockTest(PrimitivesTestCase):
    other: concurrent.futures.ThreadPoolExecutor

    def setUp(self) -> None:
        super().setUp()
        self.lock = SharedLock(self.table, "data", default_timeout=DEADLINE)

    def test_acquire_and_release_as_multiprocessing_lock(self) -> None:
        """While a lock is held, acquire() returns False without a wait, or when its time is up."""
        self.assertTrue(self.lock.acquire())
        self.assertFalse(self.lock.acquire(False))
        self.assertFalse(self.lock.acquire(block=False))
        self.assertFalse(self.lock.acquire(True, 0.01))
        self.assertFalse(self.lock.acquire(timeout=-1))
        self.lock.release()
        with self.lock as entered:
            self.assertTrue(entered)
        self.assertTrue(self.lock.acquire(timeout=0))
        self.lock.release()

    def test_releasing_a_free_lock_is_a_value_error(self) -> None:
        """As with multiprocessing.Lock; the lock works as before."""
        for _ in range(2):
            with self.assertRaises(ValueError):
                self.lock.release()
        with self.lock:
            self.assertFalse(self.lock.acquire(False))

    def test_another_thread_or_process_may_release_it(self) -> None:
        """Then the thread that had acquired it can acquire it again."""
        for open_gate in (self.by_thread, self.by_process):
            self.lock.acquire()
            open_gate()
            self.assertTrue(self.lock.acquire(timeout=DEADLINE))
            self.lock.release()
            self.assertTrue(self.lock.acquire(False))
            self.lock.release()

    def by_thread(self) -> None:
        """Release the lock in another thread."""
        thread = threading.Thread(target=self.lock.release)
        thread.start()
        thread.join(DEADLINE)

    def by_process(self) -> None:
        """Release the lock in another process."""
        self.assertEqual(0, self.join(self.fork(self.lock.release)))

    def test_no_two_are_in_it(self) -> None:
        """4 processes with 8 threads each count under the lock, and no count is lost."""
        cell = DoubleBufferedRecord(self.table, "count", "q", 0)

        def many() -> None:
            threads = [
                threading.Thread(target=count_up, args=(self.lock, cell, 60)) for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        pids = [self.fork(many) for _ in range(4)]
        self.assertEqual([0] * 4, [self.join(pid) for pid in pids])
        self.assertEqual((4 * 8 * 60,), cell.read())

    def test_every_start_method(self) -> None:
        """A lock is sent to a process that is being started; any other copy is a RuntimeError."""
        cell = DoubleBufferedRecord(self.table, "count", "q", 0)
        methods = multiprocessing.get_all_start_methods()
        for method in methods:
            worker: Any = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
                target=count_up, args=(self.lock, cell, 50)
            )
            worker.start()
            worker.join(DEADLINE)
            self.assertEqual(0, worker.exitcode, method)
            worker.close()
        self.assertEqual((50 * len(methods),), cell.read())
        for other_way in (pickle.dumps, copy.copy):
            with self.assertRaises(RuntimeError):
                other_way(self.lock)

    def test_a_holder_that_dies_at_any_step(self) -> None:
        """The next process gets the lock, alone; a holder that died is recorded once."""
        for step in STEPS:
            with self.subTest(step):
                lock = SharedLock(self.table, step, default_timeout=DEADLINE)

                def use(lock: SharedLock = lock, step: str = step) -> None:
                    act_at(step, die, lock)
                    lock.acquire()
                    lock.release()

                pid = self.fork(use)
                self.await_death(pid)  # and it stays a zombie for now
                self.assertTrue(lock.acquire(timeout=DEADLINE))
                self.assertFalse(lock.acquire(False))
                other = self.fork(lambda lock=lock: os._exit(lock.acquire(timeout=0.05)))
                self.assertEqual(0, self.join(other))
                lock.release()
                with self.assertRaises(ValueError):
                    lock.release()
                died = [lost for lost in self.table.dead_holders() if lost.held == f"lock {step!r}"]
                held = step in ("after acquire", "before release")
                self.assertEqual([pid] if held else [], [lost.pid for lost in died])
                self.join(pid)

    def test_a_holder_that_dies_at_any_step_while_others_wait(self) -> None:
        """The waiting processes get the lock one after the other."""
        for step in STEPS:
            with self.subTest(step):
                lock = SharedLock(self.table, step, default_timeout=DEADLINE)
                cell = DoubleBufferedRecord(self.table, "count", "q", 0)
                lock.acquire()

                def use(lock: SharedLock = lock, step: str = step) -> None:
                    act_at(step, die, lock)
                    lock.acquire()
                    lock.release()

                dying = self.fork(use)
                waiting = [self.fork(count_up, lock, cell, 20) for _ in range(3)]
                self.await_waiting(f"lock {step!r}", 3)
                lock.release()
                self.join(dying)
                self.assertEqual([0] * 3, [self.join(pid) for pid in waiting])
                self.assertEqual((60,), cell.read())
                self.assertTrue(lock.acquire(False))

    def test_who_dies_waiting_does_not_hold_it(self) -> None:
        """A dead waiter beside a living holder: the lock is not recovered, nobody is recorded."""
        with self.lock:
            pid = self.fork(self.lock.acquire)
            self.await_waiting("lock 'data'")
            self.kill(pid)
            self.assertEqual(
                0, self.join(self.fork(lambda: os._exit(self.lock.acquire(True, 0.2))))
            )
        self.assertTrue(self.lock.acquire(False))
        self.assertEqual([], self.table.dead_holders())

    def test_the_seat_of_a_dead_waiter_is_used_again(self) -> None:
        """A new thread gets the slot while the lock is free, but not while it is held."""
        with mock.patch.object(members_module, "THREAD_SLOTS", 2), self.lock:
            self.leave_dead_waiter(self.lock)
            self.assertEqual(3, self.join(self.fork(self.exit_with_seat)))
        with mock.patch.object(members_module, "THREAD_SLOTS", 2):
            self.assertEqual(11, self.join(self.fork(self.exit_with_seat)))

    def exit_with_seat(self) -> None:
        """Exit with 10 plus the slot of this thread, or with 3 if there is no slot."""
        try:
            os._exit(10 + self.table.thread_slot())
        except WorkerError:
            os._exit(3)

    def test_a_seat_is_not_given_away_while_another_thread_recovers_the_lock(self) -> None:
        """No new thread gets a dead thread's slot between its discovery and its mark."""
        codes: list[int] = []

        def between_discovery_and_mark() -> None:
            codes.append(self.join(self.fork(self.exit_with_seat)))

        with mock.patch.object(members_module, "THREAD_SLOTS", 3):
            self.recover_beside(
                lambda: self.leave_dead_waiter(self.lock), between_discovery_and_mark, bool
            )
            self.assertEqual([3], codes)
            self.assertNotEqual(3, self.join(self.fork(self.exit_with_seat)))

    def recover_beside(
        self,
        prepare: Callable[[], object],
        before: Callable[[], object],
        after: Callable[[], object],
    ) -> None:
        """Acquire and release the lock, which is free when this thread tries to recover it.

        Args:
            prepare: Called while another thread holds the lock.
            before: Called between the first look at the entry counters and the
                attempt to acquire the semaphore.
            after: Called after that attempt if it has failed.
        """
        me, attempt, calls = threading.get_ident(), self.lock._try_semaphore, itertools.count(1)

        def acquire(*args: Any) -> bool:
            if threading.get_ident() != me:
                return bool(attempt(*args))
            call = next(calls)
            if call == 2:
                before()
            acquired: bool = attempt(*args)
            if call == 1:
                self.assertFalse(acquired)
                self.other.submit(self.lock.release).result(DEADLINE)
            if call == 2 and not acquired:
                after()
            return acquired

        with concurrent.futures.ThreadPoolExecutor(1) as self.other:
            self.other.submit(self.lock.acquire).result(DEADLINE)
            prepare()
            self.lock._try_semaphore = acquire
            self.assertTrue(self.lock.acquire(timeout=DEADLINE))
            self.lock._try_semaphore = attempt
            self.assertEqual(10, self.join(self.fork(self.try_it)))
            self.lock.release()
        self.assertGreater(next(calls), 2, "it was not recovered")

    def test_a_lock_used_while_another_thread_tries_to_recover_it(self) -> None:
        """The lock is not taken over if it was acquired and released between the two looks."""
        steps: list[str] = []

        def acquire() -> None:
            self.assertTrue(self.other.submit(self.lock.acquire).result(DEADLINE))
            steps.append("acquired")

        def release() -> None:
            self.other.submit(self.lock.release).result(DEADLINE)
            steps.append("released")

        self.recover_beside(bool, acquire, release)
        self.assertEqual(["acquired", "released"], steps)

    def test_a_stopped_thread_that_may_hold_it_keeps_it(self) -> None:
        """A process stopped just after it has acquired the semaphore keeps the lock."""

        def stopped() -> None:
            act_at("after acquire", stop_myself, self.lock)
            self.lock.acquire()
            self.lock.release()

        holder = self.fork(stopped)
        self.await_stop(holder)

        def dying() -> None:
            act_at("before acquire", die, self.lock)
            self.lock.acquire()

        self.join(self.fork(dying))
        self.assertFalse(self.lock.acquire(timeout=0.3))
        os.kill(holder, signal.SIGCONT)
        # It holds the lock by now, or has released it already.
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))
        self.assertEqual(0, self.join(holder))

    def test_a_stopped_holder_is_waited_for(self) -> None:
        """A stopped process that holds the lock keeps it until it continues."""
        holder = self.fork(lambda: (self.lock.acquire(), stop_myself(), self.lock.release()))
        self.await_stop(holder)
        self.assertFalse(self.lock.acquire(timeout=0.1))
        os.kill(holder, signal.SIGCONT)
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))

    def test_a_process_forked_while_it_is_held_does_not_hold_it(self) -> None:
        """The child does not hold the lock, also if it uses a bound method made before the fork."""
        acquire = self.lock.acquire
        with self.lock:
            pid = self.fork(lambda: os._exit(10 * acquire(False) + self.lock.acquire(True, 0.02)))
            self.assertEqual(0, self.join(pid))
        self.assertEqual(
            11,
            self.join(
                self.fork(
                    lambda: os._exit(
                        10 * acquire(False) + (self.lock.release() or self.lock.acquire(False))
                    )
                )
            ),
        )
        self.assertTrue(self.lock.acquire(timeout=DEADLINE))

    def test_a_signal_handler_that_raises(self) -> None:
        """An interrupted acquire() has not acquired the lock, and others can acquire it."""
        for step in ("after acquire", "before acquire"):
            for contended in (False, True):
                with self.subTest(step, contended=contended):
                    self.interrupt(step, contended)

    def interrupt(self, step: str, contended: bool) -> None:
        """Interrupt a child at a step, and check that it can use the lock afterwards."""
        lock = SharedLock(self.table, "data", default_timeout=DEADLINE)
        armed = [True]

        def use() -> None:
            signal.signal(signal.SIGUSR1, interrupted)
            act_at(step, lambda: armed and os.kill(os.getpid(), signal.SIGUSR1), lock)
            try:
                lock.acquire()
            except KeyboardInterrupt:
                armed.clear()
                with lock:
                    os._exit(7)

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        if contended:
            lock.acquire()
        pid = self.fork(use)
        if contended and step == "after acquire":
            self.await_waiting("lock 'data'")
        if contended:
            lock.release()
        self.assertEqual(7, self.join(pid))
        self.assertTrue(lock.acquire(timeout=DEADLINE))
        lock.release()

    def test_a_signal_handler_that_uses_the_lock_its_thread_waits_for(self) -> None:
        """The handler gets the lock and releases it; the thread goes on waiting, and gets it."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)

        def wait() -> None:
            used: list[bool] = []

            def handle(*_: object) -> None:
                os.write(writer, b"x")
                used.append(self.lock.acquire(timeout=DEADLINE))
                self.lock.release()

            signal.signal(signal.SIGUSR1, handle)
            # Just after the thread itself has acquired the semaphore.
            act_at("after acquire", lambda: stop_myself() if used else None, self.lock)
            self.lock.acquire()
            self.assertEqual([True], used)
            self.lock.release()

        self.lock.acquire()
        pid = self.fork(wait)
        self.await_waiting("lock 'data'")
        os.kill(pid, signal.SIGUSR1)
        os.read(reader, 1)  # now the handler waits inside the wait of its thread
        self.lock.release()
        self.await_stop(pid)
        # If the thread were taken to be outside now, these would recover the lock.
        for _ in range(2):
            self.assertEqual(10, self.join(self.fork(self.try_it)))
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(0, self.join(pid))
        self.assertEqual(11, self.join(self.fork(self.try_it)))

    def test_a_signal_handler_that_interrupts_its_thread_as_it_acquires_the_lock(self) -> None:
        """The handler does not get the lock, with and without a wait before."""

        def acquire() -> None:
            got: list[bool] = []

            def handle(*_: object) -> None:
                got.append(self.lock.acquire(timeout=0.05))

            def interrupt() -> None:
                if not got:
                    os.kill(os.getpid(), signal.SIGUSR1)

            signal.signal(signal.SIGUSR1, handle)
            act_at("after acquire", interrupt, self.lock)
            self.lock.acquire()
            self.assertEqual([False], got)
            self.assertEqual(10, self.join(self.fork(self.try_it)))
            self.lock.release()
            self.assertEqual(11, self.join(self.fork(self.try_it)))

        self.assertEqual(0, self.join(self.fork(acquire)))
        self.lock.acquire(timeout=DEADLINE)  # the last of these children has died with it
        pid = self.fork(acquire)
        self.await_waiting("lock 'data'")
        self.lock.release()
        self.assertEqual(0, self.join(pid))

    def try_it(self) -> None:
        """End this process with 11 if it could acquire the lock, otherwise with 10."""
        os._exit(10 + self.lock.acquire(True, 0.05))

    def test_a_gate_that_is_opened_while_its_thread_waits(self) -> None:
        """A thread that holds the lock and wants it again gets it once another one releases it."""

        def open_it() -> None:
            self.await_waiting("lock 'data'")
            self.lock.release()

        for by_process in (False, True):
            self.lock.acquire()
            if by_process:
                pid = self.fork(open_it)
                self.assertTrue(self.lock.acquire(timeout=DEADLINE))
                self.assertEqual(0, self.join(pid))
            else:
                thread = threading.Thread(target=open_it)
                thread.start()
                self.assertTrue(self.lock.acquire(timeout=DEADLINE))
                thread.join(DEADLINE)
            self.assertEqual(10, self.join(self.fork(self.try_it)))
            self.lock.release()
            self.assertRaises(ValueError, self.lock.release)

    def test_a_thread_that_ends_with_the_lock_still_holds_it(self) -> None:
        """Its process lives, so the lock is not recovered; another thread may release it."""
        thread = threading.Thread(target=self.lock.acquire)
        thread.start()
        thread.join(DEADLINE)
        self.assertEqual(10, self.join(self.fork(self.try_it)))
        self.lock.release()
        self.assertEqual(11, self.join(self.fork(self.try_it)))

    def test_locked(self) -> None:
        """True while a living thread of any process holds it; a dead one does not."""
        self.assertFalse(self.lock.locked())
        with self.lock:
            self.assertTrue(self.lock.locked())
            self.assertEqual(11, self.join(self.fork(lambda: os._exit(10 + self.lock.locked()))))
        self.assertFalse(self.lock.locked())
        self.join(self.fork(lambda: (self.lock.acquire(), die())))
        self.assertFalse(self.lock.locked())
        with self.lock:
            self.assertTrue(self.lock.locked())
        thread = threading.Thread(target=self.lock.acquire)
        thread.start()
        thread.join(DEADLINE)
        self.assertTrue(self.lock.locked())
        self.lock.release()
        self.assertFalse(self.lock.locked())

    def test_ctrl_c_while_waiting(self) -> None:
        """The wait ends with KeyboardInterrupt; the lock is free once its holder releases it."""

        def wait() -> None:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                self.lock.acquire()
            except KeyboardInterrupt:
                os._exit(7)

        with self.lock:
            pid = self.fork(wait)
            self.await_waiting("lock 'data'")
            os.kill(pid, signal.SIGINT)
            self.assertEqual(7, self.join(pid))
        with self.lock:
            pass

    def test_the_default_timeout_is_an_error_that_says_who_holds_it(self) -> None:
        """The message has the holder's name, pid and thread, and the line that waits."""
        self.check_default_timeout("data", 0.05)

    def test_a_default_timeout_that_has_passed_at_once(self) -> None:
        """A timeout of a microsecond has the same message."""
        self.check_default_timeout("other", 1e-6)

    def check_default_timeout(self, name: str, seconds: float) -> None:
        """Wait for a lock that another process holds until the default timeout has passed."""
        lock = SharedLock(self.table, name, default_timeout=seconds)
        pid = self.fork(lambda: (self.table.join("w3"), lock.acquire(), stop_myself()))
        self.await_stop(pid)
        with self.assertRaises(WorkerTimeoutError) as caught:
            lock.acquire()
        text = str(caught.exception)
        self.assertIn(f"lock {name!r} was not acquired within {seconds:g} s\n", text)
        self.assertRegex(text, rf"held by 'w3' \(pid {pid}, thread 'MainThread'\)")
        self.assertRegex(text, r"'test' \(pid \d+\)\n    thread 'MainThread' has been waiting for")
        self.assertRegex(text, r"at .*test_lock.py:\d+ in ")
        self.assertIsInstance(caught.exception, TimeoutError)

    def test_the_environment_may_describe_a_timeout(self) -> None:
        """`Roster.describe` makes the message."""
        self.table.describe = lambda problem: f"<{problem}>"
        lock = SharedLock(self.table, "data", default_timeout=0.01)
        with lock, self.assertRaisesRegex(WorkerTimeoutError, "^<lock 'data' was not .*>$"):
            lock.acquire()

    def test_a_deadlock_is_found(self) -> None:
        """Two threads that wait for one another's locks are reported; a third one is not."""
        first = SharedLock(self.table, "first", default_timeout=DEADLINE)
        second = SharedLock(self.table, "second", default_timeout=DEADLINE)
        barrier = multiprocessing.get_context("fork").Barrier(2)

        def take(name: str, one: SharedLock, other: SharedLock) -> None:
            self.table.join(name)
            with one:
                barrier.wait(DEADLINE)
                other.acquire()

        self.fork(take, "a", first, second)
        self.assertIsNone(find_deadlock(self.table))
        self.fork(take, "b", second, first)
        self.eventually(lambda: find_deadlock(self.table), "no deadlock is found")
        circle = find_deadlock(self.table) or []
        self.assertEqual(
            {("a", "lock 'second'", "b"), ("b", "lock 'first'", "a")},
            {(wait.worker, wait.waits_for, wait.holders[0].worker) for wait in circle},
        )
        third = SharedLock(self.table, "third", default_timeout=0.05)
        with third, self.assertRaisesRegex(WorkerTimeoutError, "a deadlock: thread"):
            third.acquire()

    def test_a_lock_acquired_twice_by_one_thread_is_a_deadlock(self) -> None:
        """A thread that waits for its own lock is reported as a deadlock."""
        lock = SharedLock(self.table, "data", default_timeout=0.05)
        with (
            lock,
            self.assertRaisesRegex(WorkerTimeoutError, "a deadlock: .* waits for lock 'data'"),
        ):
            lock.acquire()
        self.assertTrue(lock.acquire(False))

    def test_holders_and_waits(self) -> None:
        """Holders and waits are reported by worker and thread."""
        self.assertEqual([], holders(self.table))
        with self.lock:
            (holder,) = holders(self.table)
            self.assertEqual(("lock 'data'", "test", os.getpid()), holder[:3])
            thread = threading.Thread(target=self.lock.acquire, name="pump")
            thread.start()
            self.await_waiting("lock 'data'")
            (wait,) = waits(self.table)
            self.assertEqual(("test", "pump", (holder,)), (wait.worker, wait.thread, wait.holders))
        thread.join(DEADLINE)
        self.assertEqual(["pump"], [holder.thread for holder in holders(self.table)])

    def test_after_the_environment_it_says_so(self) -> None:
        """Each method raises a WorkerError, also a bound method made before the end."""
        with self.lock:
            acquire = self.lock.acquire
        self.table.close()
        for use in (acquire, self.lock.acquire, self.lock.release, self.lock.locked):
            with self.assertRaisesRegex(WorkerError, "environment of this object has ended"):
                use()

    def test_bad_input(self) -> None:
        """A wrong name is a TypeError, a wrong timeout a TypeError or ValueError."""
        with self.assertRaisesRegex(TypeError, "the name of a lock is a str, got 3"):
            SharedLock(self.table, 3)  # type: ignore[arg-type]
        with self.assertRaisesRegex(
            TypeError, "default_timeout must be a number of seconds or None"
        ):
            SharedLock(self.table, "x", default_timeout="1")  # type: ignore[arg-type]
        with self.assertRaisesRegex(ValueError, "default_timeout must be at least 0 seconds"):
            SharedLock(self.table, "x", default_timeout=-1)

    def test_a_wait_costs_little(self) -> None:
        """Half a second of waiting takes less than 25 ms of processor time."""
        with self.lock:
            before = time.process_time()
            self.lock.acquire(timeout=0.5)
            self.assertLess(time.process_time() - before, 0.025)


if __name__ == "__main__":
    unittest.main()
