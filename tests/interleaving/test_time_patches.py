from __future__ import annotations

import queue
import threading
import time
import unittest

from itf import (
    interleave,
)

# Seconds.  A test that waited this long in real time would time out.
_HOUR = 3600.0


class VirtualTimeTest(unittest.TestCase):
    def test_hours_pass_at_once(self) -> None:
        """Sleeps and timeouts of hours take no real time and end in order.

        The clocks agree with them.
        """
        order: list[str] = []
        event, lock, channel = threading.Event(), threading.Lock(), queue.Queue[int]()
        lock.acquire()

        def sleep() -> None:
            start, start_ns = time.monotonic(), time.perf_counter_ns()
            time.sleep(_HOUR)
            self.assertAlmostEqual(_HOUR, time.monotonic() - start, places=3)
            self.assertAlmostEqual(3600 * 10**9, time.perf_counter_ns() - start_ns, delta=10_000)
            order.append("sleep")

        def wait() -> None:
            self.assertFalse(event.wait(2 * _HOUR))
            order.append("event")

        def acquire() -> None:
            self.assertFalse(lock.acquire(timeout=3 * _HOUR))
            order.append("lock")

        def get() -> None:
            with self.assertRaises(queue.Empty):
                channel.get(timeout=4 * _HOUR)
            order.append("queue")

        functions = (get, acquire, wait, sleep)
        before = time.monotonic()
        interleave(
            *functions,
            setup=order.clear,
            check=lambda: self.assertEqual(["sleep", "event", "lock", "queue"], order),
            runs=20,
            seed=1,
        )
        self.assertLess(time.monotonic() - before, 60)

    def test_clocks_show_the_whole_sleep(self) -> None:
        """A clock that is read after a sleep shows at least its duration."""

        def sleep() -> None:
            for clock in (time.monotonic, time.time, time.perf_counter):
                for _ in range(20):
                    start = clock()
                    time.sleep(0.1)
                    self.assertGreaterEqual(clock() - start, 0.1)

        interleave(sleep, runs=3, seed=1)

    def test_time_is_monotonic_across_runs(self) -> None:
        """Time never decreases from setup to functions, check and the next run."""
        moments: list[float] = []

        def note() -> None:
            moments.append(time.monotonic())

        def work() -> None:
            note()
            time.sleep(_HOUR)
            note()

        def spend() -> None:
            note()
            began = time.process_time()
            while time.process_time() - began < 0.01:
                pass
            note()

        before = time.monotonic()
        interleave(work, setup=spend, check=spend, runs=5, seed=1)
        self.assertEqual(sorted(moments), moments)
        runs = [moments[n : n + 6] for n in range(0, 30, 6)]
        for _, ready, start, end, _, over in runs:
            self.assertAlmostEqual(ready, start, delta=1)
            self.assertAlmostEqual(end, over, delta=1)
        self.assertLess(time.monotonic() - before, 60)

    def test_a_timer_fires(self) -> None:
        """A threading.Timer fires after an hour of virtual time."""
        fired: list[bool] = []

        def start() -> None:
            timer = threading.Timer(_HOUR, lambda: fired.append(True))
            timer.start()
            timer.join(_HOUR / 2)
            self.assertEqual((True, []), (timer.is_alive(), fired))
            timer.join()
            self.assertEqual([True], fired)

        interleave(start, setup=fired.clear, runs=5, seed=1)

    def test_time_stops_while_a_thread_is_ready(self) -> None:
        """A short timeout does not expire while another thread can run."""
        lock = threading.Lock()

        def hold() -> None:
            with lock:
                for _ in range(20):
                    threading.get_ident()

        def take() -> None:
            self.assertTrue(lock.acquire(timeout=0.000001))
            lock.release()

        interleave(hold, take, runs=50, seed=1)


if __name__ == "__main__":
    unittest.main()
