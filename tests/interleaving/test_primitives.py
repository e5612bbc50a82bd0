from __future__ import annotations

import queue
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any

from itf import InterleavingDeadlockError, interleave
from tests.interleaving.programs import failing_run
from tests.support import in_threads

# Seconds.  A test that waited this long in real time would time out.
_HOUR = 3600.0


class WaitingTest(unittest.TestCase):
    """Replacements behave like the real objects, in every place where they are created."""

    def everywhere(self, make: Callable[[], Any], *uses: Callable[[Any], object]) -> None:
        """Interleave uses of an object.

        The object is created before the runs, then in setup, then in a function.
        """
        made: dict[str, Any] = {"it": make()}

        def bind(use: Callable[[Any], object]) -> Callable[[], object]:
            return lambda: use(made["it"])

        functions = [bind(use) for use in uses]
        with self.subTest("before"):
            interleave(*functions, runs=1, seed=1)
        with self.subTest("in setup"):
            interleave(*functions, setup=lambda: made.update(it=make()), runs=60, seed=1)

        def whole() -> None:
            it = make()
            threads = [threading.Thread(target=use, args=(it,)) for use in uses]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        with self.subTest("in a function"):
            interleave(whole, runs=20, seed=1)

    def test_locks_exclude(self) -> None:
        """At most one thread is inside a Lock or RLock."""
        inside: list[int] = []

        def enter(lock: Any) -> None:
            for _ in range(2):
                with lock:
                    inside.append(1)
                    if len(inside) != 1:
                        raise AssertionError("two are inside")
                    inside.pop()

        self.everywhere(threading.Lock, enter, enter)
        self.everywhere(threading.RLock, enter, enter)

    def test_an_rlock_is_reentrant_for_its_owner(self) -> None:
        """Only the owner can acquire an RLock again, and release it."""

        def nest(lock: Any) -> None:
            with lock, lock:
                lock.acquire()
                lock.release()

        self.everywhere(threading.RLock, nest, nest)

        def release(lock: Any) -> None:
            with self.assertRaises(RuntimeError):
                lock.release()

        self.everywhere(threading.RLock, release)
        self.everywhere(threading.Lock, release)

    def test_an_event_ends_all_waits(self) -> None:
        """Event.set ends waits that began before it and after it."""

        def wait(event: Any) -> None:
            if not event.wait(_HOUR):
                raise AssertionError("timed out")

        self.everywhere(threading.Event, wait, wait, lambda event: event.set())

    def test_a_semaphore_counts(self) -> None:
        """At most two of three threads are inside a semaphore of 2."""
        inside: list[int] = []

        def enter(semaphore: Any) -> None:
            with semaphore:
                inside.append(1)
                if len(inside) > 2:
                    raise AssertionError("three are inside")
                inside.pop()

        self.everywhere(lambda: threading.Semaphore(2), enter, enter, enter)
        self.everywhere(lambda: threading.BoundedSemaphore(2), enter, enter, enter)

    def test_a_barrier_waits_for_all(self) -> None:
        """No thread passes a barrier before the last one arrives; each gets its own number."""
        numbers: list[int] = []

        def meet(barrier: Any) -> None:
            numbers.append(barrier.wait(_HOUR))

        self.everywhere(lambda: threading.Barrier(3), meet, meet, meet)
        for start in range(0, len(numbers), 3):
            self.assertEqual([0, 1, 2], sorted(numbers[start : start + 3]))

    def test_a_condition_wakes_waiting_threads(self) -> None:
        """`wait_for` returns when its predicate is true, for both kinds of lock."""
        ready: list[int] = []

        def consume(condition: Any) -> None:
            with condition:
                if not condition.wait_for(lambda: ready, timeout=_HOUR):
                    raise AssertionError("timed out")
                ready.pop()

        def produce(condition: Any) -> None:
            for _ in range(2):
                with condition:
                    ready.append(1)
                    condition.notify()

        self.everywhere(threading.Condition, consume, consume, produce)
        self.everywhere(lambda: threading.Condition(threading.Lock()), consume, consume, produce)

    def test_queues_deliver_all_items(self) -> None:
        """All items arrive in order through bounded queues and SimpleQueue."""

        def put(it: Any) -> None:
            for number in range(3):
                it.put(number)

        def take(it: Any) -> None:
            taken = [it.get(timeout=_HOUR) for _ in range(3)]
            if taken != [0, 1, 2]:
                raise AssertionError(taken)

        self.everywhere(lambda: queue.Queue(1), put, take)
        self.everywhere(lambda: queue.PriorityQueue(2), put, take)
        self.everywhere(queue.SimpleQueue, put, take)

    def test_wrong_calls_raise_the_real_errors(self) -> None:
        """Wrong calls raise the same errors as the standard library."""
        lock, condition = threading.Lock(), threading.Condition()

        def misuse() -> None:
            with self.assertRaises(ValueError):
                lock.acquire(False, 1)
            with self.assertRaises(ValueError):
                lock.acquire(True, -2)
            with self.assertRaises(RuntimeError):
                condition.wait()
            with self.assertRaises(RuntimeError):
                condition.notify()
            with self.assertRaises(ValueError):
                time.sleep(-1)

        interleave(misuse, runs=1)


class UnmanagedThreadsTest(unittest.TestCase):
    def test_objects_created_in_a_run_work_after_it(self) -> None:
        """Objects that are created in a run work between ordinary threads after it."""
        kept: list[Any] = []

        def make() -> None:
            kept.append((threading.Lock(), threading.Condition(), queue.SimpleQueue()))

        interleave(make, runs=1)
        lock, condition, channel = kept[0]
        total = [0]

        def use(number: int) -> None:
            for _ in range(100):
                with lock:
                    total[0] += 1
            channel.put(number)
            with condition:
                condition.notify_all()
                condition.wait_for(lambda: channel.qsize() == 4, timeout=60)

        in_threads(4, use)
        self.assertEqual(400, total[0])
        self.assertEqual([0, 1, 2, 3], sorted(channel.get() for _ in range(4)))

    def test_an_unmanaged_thread_may_release_a_lock(self) -> None:
        """A lock that an unmanaged thread releases later is no deadlock."""
        lock, wanted = threading.Lock(), threading.Event()
        held = threading.Event()

        def outside() -> None:
            with lock:
                held.set()
                wanted.wait(60)

        thread = threading.Thread(target=outside)
        thread.start()
        held.wait(60)

        def inside() -> None:
            wanted.set()
            with lock:
                pass

        try:
            interleave(inside, runs=1, timeout=60)
        finally:
            wanted.set()
            thread.join(60)

    def test_an_unmanaged_thread_may_end_a_timed_wait(self) -> None:
        """A timed wait does not expire while an unmanaged thread works on the answer."""
        questions, answers = queue.Queue[int | None](), queue.Queue[int]()

        def answer() -> None:
            while (question := questions.get(timeout=60)) is not None:
                answers.put(2 * question)

        thread = threading.Thread(target=answer)
        thread.start()

        def ask() -> None:
            questions.put(2)
            self.assertEqual(4, answers.get(timeout=5))
            time.sleep(_HOUR)

        try:
            interleave(ask, ask, runs=30, seed=1)
        finally:
            questions.put(None)
            thread.join(60)

    def test_a_lock_that_the_caller_holds_is_a_deadlock(self) -> None:
        """A lock that the caller of interleave holds is reported as a deadlock.

        The caller waits for the run, and so cannot release the lock.
        """
        lock = threading.Lock()

        def want() -> None:
            with lock:
                pass

        with lock:
            error = failing_run(interleave, want)
        self.assertIsInstance(error, InterleavingDeadlockError)
        self.assertIn("held by no thread of the run: it was locked before", str(error))


if __name__ == "__main__":
    unittest.main()
