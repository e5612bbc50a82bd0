"""Tests of the queue: the interface of multiprocessing, and complete messages after deaths."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import resource
import signal
import sys
import threading
import unittest
from typing import Any
from unittest import mock

from itf.exceptions import WorkerError, WorkerTimeoutError
from itf.sync import queue as queue_module, serialization
from itf.sync.queue import SharedQueue
from tests.sync.primitives_support import (
    DEADLINE,
    STEPS,
    PrimitivesTestCase,
    act_at,
    die,
    linger,
    stop_myself,
)

MANY = 2000


class Unloadable:
    """An object that can be pickled, but not unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


class Talkative:
    """An object that uses the queue while it is being pickled."""

    def __init__(self, other: SharedQueue) -> None:
        self.other = other

    def __reduce__(self) -> Any:
        self.other.put(["from inside"])
        return str, ("told",)


def echo(questions: SharedQueue, answers: SharedQueue) -> None:
    """Answer each item until None is received."""
    while (item := questions.get()) is not None:
        answers.put(item)


def put_all(target: SharedQueue, items: Any) -> None:
    """Put all items."""
    for item in items:
        target.put(item)


class QueueTest(PrimitivesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.queue = self.new_queue()

    def new_queue(self, maxsize: int = 0, timeout: float | None = DEADLINE) -> SharedQueue:
        """Return a queue."""
        return SharedQueue(self.table, "results", maxsize, default_timeout=timeout)

    def test_what_goes_in_comes_out(self) -> None:
        """Objects of any type and size are received in order."""
        items: list[Any] = [
            None, 0, 10**30, 1.5, True, "ä", "", b"", b"x", bytearray(b"y"), [1, {2: (3,)}], {4},
            b"z" * 100_000, "ö" * 100_000, [b"w" * 3_000_000], os.urandom(5_000_000), b"end",
        ]  # fmt: skip
        put_all(self.queue, items)
        self.assertEqual(len(items), self.queue.qsize())
        back = [self.queue.get() for _ in items]
        self.assertEqual(items, back)
        self.assertEqual([type(item) for item in items], [type(item) for item in back])
        self.assertTrue(self.queue.empty())

    def test_empty_and_full(self) -> None:
        """A call without a wait, or with a timeout, raises queue.Empty or queue.Full."""
        bounded = self.new_queue(2)
        for get in (bounded.get_nowait, lambda: bounded.get(False), lambda: bounded.get(timeout=0)):
            self.assertRaises(queue.Empty, get)
        self.assertRaises(queue.Empty, bounded.get, True, 0.01)
        bounded.put(1)
        self.assertFalse(bounded.full())
        bounded.put(2, timeout=0)
        self.assertTrue(bounded.full())
        self.assertRaises(queue.Full, bounded.put_nowait, 3)
        self.assertRaises(queue.Full, bounded.put, 3, True, 0.01)
        self.assertRaises(queue.Full, bounded.put, 3, False)
        self.assertEqual([1, 2], [bounded.get(), bounded.get_nowait()])
        self.assertEqual((2, 0), (bounded.maxsize, bounded.qsize()))

    def test_the_default_timeout_is_an_error(self) -> None:
        """The error names the queue and the members."""
        impatient = self.new_queue(1, 0.05)
        with self.assertRaisesRegex(
            WorkerTimeoutError, r"queue 'results' had no item within 0.05 s\n"
        ):
            impatient.get()
        impatient.put(1)
        with self.assertRaisesRegex(
            WorkerTimeoutError, r"queue 'results' took no item within 0.05 s"
        ):
            impatient.put(1)

    def test_what_is_there_for_the_sake_of_the_interface(self) -> None:
        """Closing and joining do nothing, because a queue has no thread."""
        self.queue.put(1)
        for method in (self.queue.close, self.queue.join_thread, self.queue.cancel_join_thread):
            method()
        self.assertEqual(1, self.queue.get())
        self.assertEqual(1, threading.active_count())

    def test_a_getter_waits_for_a_putter_and_back(self) -> None:
        """A waiting thread is woken each time, also in a queue with a small maxsize."""
        questions, answers = self.new_queue(1), self.new_queue(1)
        pid = self.fork(echo, questions, answers)
        for number in range(MANY):
            questions.put(number)
            self.assertEqual(number, answers.get())
        questions.put(None)
        self.assertEqual(0, self.join(pid))

    def test_many_put_and_many_get(self) -> None:
        """With 3 processes of 2 threads each on both sides, every message is received once."""
        for maxsize in (0, 3):
            items, results = self.new_queue(maxsize), self.new_queue()

            def both(function: Any) -> None:
                threads = [threading.Thread(target=function, args=(n,)) for n in range(2)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

            def collect(_: int, items: SharedQueue = items, results: SharedQueue = results) -> None:
                echo(items, results)

            getters = [self.fork(both, collect) for _ in range(3)]
            putters = [
                self.fork(
                    both,
                    lambda thread, n=n, items=items: put_all(
                        items, [(n, thread, i, b"x" * (i % 7) ** 5) for i in range(100)]
                    ),
                )
                for n in range(3)
            ]
            self.assertEqual([0] * 3, [self.join(pid) for pid in putters])
            put_all(items, [None] * 6)
            self.assertEqual([0] * 3, [self.join(pid) for pid in getters])
            found = [results.get(timeout=DEADLINE)[:3] for _ in range(600)]
            self.assertEqual(600, len(set(found)))
            self.assertTrue(results.empty())

    def test_every_start_method(self) -> None:
        """A queue can be sent to a process that is being started, but not pickled otherwise."""
        for method in multiprocessing.get_all_start_methods():
            worker: Any = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
                target=put_all, args=(self.queue, [method, b"x" * 2_000_000])
            )
            worker.start()
            self.assertEqual(method, self.queue.get())
            self.assertEqual(2_000_000, len(self.queue.get()))
            worker.join(DEADLINE)
            self.assertEqual(0, worker.exitcode)
            worker.close()
        with self.assertRaises(RuntimeError):
            self.queue.put(self.queue)

    def test_a_putter_that_dies_at_any_step(self) -> None:
        """The message is complete or missing, and is counted as partial if it was begun."""
        big = [b"x" * 3_000_000]

        def dying(where: str, item: Any) -> None:
            with mock.patch.object(SharedQueue, where, lambda *_: die()):
                self.queue.put(item)

        def half(item: Any) -> None:
            real = os.pwrite
            parts: list[int] = []

            def write(fd: int, data: Any, offset: int) -> int:
                parts.append(1)
                if len(parts) > 1:
                    real(fd, data[: len(data) // 2], offset)
                    die()
                return real(fd, data, offset)

            with mock.patch("os.pwrite", write):
                self.queue.put(item)

        for number, lose in enumerate(
            [lambda: dying("_write", big), lambda: half(big), lambda: dying("_write", 1)]
        ):
            self.queue.put(("before", number))
            self.join(self.fork(lose))
            self.queue.put(("after", number))
            self.assertEqual(("before", number), self.queue.get())
            self.assertEqual(("after", number), self.queue.get())
            self.assertRaises(queue.Empty, self.queue.get_nowait)
            self.assertEqual(number + 1, self.queue.partial_messages)
            self.assertIn("queue 'results' (to put)", self.table.dead_holders()[-1].held)

    def test_one_that_dies_in_the_lock_of_the_queue(self) -> None:
        """Others can use the queue after a death at any step of `put` or `get`."""
        for lock in ("_putting", "_getting"):
            for step in STEPS:
                with self.subTest(lock, step=step):
                    items = self.new_queue()
                    items.put(0)
                    items.put(1)

                    def use(items: SharedQueue = items, lock: str = lock, step: str = step) -> None:
                        act_at(step, die, getattr(items, lock))
                        items.put(2)
                        items.get()

                    self.assertEqual(-9, self.join(self.fork(use)))
                    items.put(3)
                    found = [items.get() for _ in range(items.qsize())]
                    self.assertIn(found, ([0, 1, 3], [0, 1, 2, 3], [1, 2, 3]))
                    self.assertTrue(items.empty())
                    self.assertEqual(0, items.partial_messages)

    def test_a_consumer_that_dies_waiting(self) -> None:
        """A consumer that dies while it waits takes no message, and later wake-ups still work."""
        pids = [self.fork(self.queue.get) for _ in range(3)]
        self.await_waiting("an item in queue 'results'", 3)
        for pid in pids:
            self.kill(pid)
        answers = self.new_queue()
        echoing = self.fork(echo, self.queue, answers)
        for number in range(50):
            self.queue.put(number)
            self.assertEqual(number, answers.get())
        self.queue.put(None)
        self.assertEqual(0, self.join(echoing))

    def test_a_stopped_putter(self) -> None:
        """While a process is stopped in `put`, others time out; they work once it continues."""
        impatient = self.new_queue(0, 0.1)

        def stopped() -> None:
            act_at("before release", stop_myself, impatient._putting)
            impatient.put("late")

        pid = self.fork(stopped)
        self.await_stop(pid)
        with self.assertRaisesRegex(WorkerTimeoutError, r"took no item within 0.1 s"):
            impatient.put(1)
        self.assertRaises(queue.Full, impatient.put, 1, True, 0.01)
        self.assertEqual("late", impatient.get())
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(0, self.join(pid))
        impatient.put(2)
        self.assertEqual(2, impatient.get())

    def test_what_cannot_be_pickled_or_unpickled(self) -> None:
        """A pickling error is raised by `put`, an unpickling error by `get`, without the item."""
        with self.assertRaises(TypeError):
            self.queue.put([threading.Lock()])
        # What pickle raises for it, an AttributeError before Python 3.14.
        with self.assertRaises((pickle.PicklingError, AttributeError)):
            self.queue.put([lambda: None])
        self.queue.put(Unloadable())
        self.queue.put("next")
        with self.assertRaisesRegex(ValueError, "no number"):
            self.queue.get()
        self.assertEqual("next", self.queue.get())
        self.assertEqual(0, self.queue.partial_messages)

    def test_an_object_that_uses_the_queue_while_it_is_pickled(self) -> None:
        """There is no deadlock, and both messages are received."""
        self.queue.put([Talkative(self.queue)])
        self.assertEqual([["from inside"], ["told"]], [self.queue.get(), self.queue.get()])

    def test_no_object_is_kept(self) -> None:
        """The process that has pickled an object does not keep it alive."""
        marker = {1, 2, 3}
        count = sys.getrefcount(marker)
        self.queue.put(marker)
        self.assertEqual(count, sys.getrefcount(marker))
        self.assertLessEqual(len(serialization._idle), 2)

    def test_the_memory_of_what_was_read_is_given_back(self) -> None:
        """Memory of read messages is freed, also if the queue is never empty."""
        item = b"x" * (1 << 20)
        self.queue.put(item)
        for _ in range(100):
            self.queue.put(item)
            self.queue.get()
        used = os.fstat(self.queue._log).st_blocks * 512
        self.assertLess(used, 16 << 20)
        self.assertEqual(item, self.queue.get())
        self.queue.put(1)
        self.assertLessEqual(os.fstat(self.queue._log).st_size, 2 << 20)
        self.assertEqual(1, self.queue.get())

    def test_small_messages_stay_in_the_window(self) -> None:
        """The file of a queue that is emptied from time to time does not grow."""
        for _round in range(100):
            for _ in range(200):
                self.queue.put("x" * 100)
            for _ in range(200):
                self.queue.get()
        self.assertEqual(queue_module._WINDOW, os.fstat(self.queue._log).st_size)

    def test_a_file_that_may_not_grow(self) -> None:
        """A put that does not fit fails; all others work, and no message counts as partial."""

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY))
            self.queue.put("before")
            with self.assertRaises(OSError):
                self.queue.put(b"x" * (5 << 20))
            self.queue.put("after")
            with self.assertRaises(OSError):
                for _ in range(100):
                    self.queue.put([b"x" * 100_000])

        self.assertEqual(0, self.join(self.fork(limited)))
        self.assertEqual(["before", "after"], [self.queue.get(), self.queue.get()])
        while not self.queue.empty():
            self.assertEqual([b"x" * 100_000], self.queue.get())
        self.queue.put("last")
        self.assertEqual(("last", 0), (self.queue.get(), self.queue.partial_messages))

    def test_ctrl_c_while_waiting(self) -> None:
        """KeyboardInterrupt ends the wait, and the queue is unchanged."""

        def wait() -> None:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                self.queue.get()
            except KeyboardInterrupt:
                os._exit(self.queue.get(timeout=DEADLINE))

        pid = self.fork(wait)
        self.await_waiting("an item in queue 'results'")
        os.kill(pid, signal.SIGINT)
        self.queue.put(7)
        self.assertEqual(7, self.join(pid))

    def test_fork_while_a_thread_is_putting(self) -> None:
        """A child forked at any moment can use the queue."""
        stop = threading.Event()

        def pump() -> None:
            while not stop.is_set():
                self.queue.put(1)
                self.queue.get()

        thread = threading.Thread(target=pump)
        thread.start()
        try:
            for _ in range(30):
                self.assertEqual(0, self.join(self.fork(self.queue.put, 1)))
        finally:
            stop.set()
            thread.join(DEADLINE)
        self.assertEqual(30, self.queue.qsize())

    def test_after_the_environment_it_says_so(self) -> None:
        """Using the queue after the environment's end raises a WorkerError."""
        self.table.close()
        for use in (lambda: self.queue.put(1), self.queue.get, self.queue.qsize):
            with self.assertRaisesRegex(WorkerError, "environment of this object has ended"):
                use()

    def test_bad_input(self) -> None:
        """A wrong size or name is an error of the constructor."""
        for size in (-1, 1.5, True, "1"):
            with (
                self.subTest(size),
                self.assertRaisesRegex(
                    (TypeError, ValueError), "maxsize must be (an int|at least 0), got"
                ),
            ):
                SharedQueue(self.table, "x", size)  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "the name of a queue is a str, got 3"):
            SharedQueue(self.table, 3)  # type: ignore[arg-type]

    def test_a_getter_that_is_killed_takes_one_message_at_most(self) -> None:
        """A killed consumer takes at most one message, and no message is received twice."""
        pid = self.fork(lambda: (self.queue.get(), linger()))
        put_all(self.queue, range(10))
        self.eventually(lambda: self.queue.qsize() == 9, "nothing was taken")
        self.kill(pid)
        self.assertEqual(list(range(1, 10)), [self.queue.get() for _ in range(9)])


if __name__ == "__main__":
    unittest.main()
