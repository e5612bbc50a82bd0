from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
import unittest
from collections.abc import Iterator
from typing import Any

from itf import performance_monitor
from tests.support import run_script

# Size of a bytearray, and the bytes that other objects may add to a measurement.
LARGE = 1 << 20
SLACK = 20_000


class MemoryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.monitor = performance_monitor(memory=True)
        self.assertFalse(tracemalloc.is_tracing())
        self.addCleanup(lambda: self.assertFalse(tracemalloc.is_tracing()))

    def memory(self, operation: str) -> dict[str, Any]:
        return dict(self.monitor.get_stats(operation)["memory"])

    def assert_near(self, expected: int, found: float) -> None:
        self.assertLessEqual(abs(found - expected), SLACK, (expected, found))

    def test_peak_and_retained(self) -> None:
        """Memory that is freed in the block counts for the peak only."""
        kept = []
        with self.monitor.measure("load"):
            bytearray(3 * LARGE)
            kept.append(bytearray(LARGE))
        memory = self.memory("load")
        self.assertEqual(1, memory["count"])
        self.assert_near(3 * LARGE, memory["peak_max"])
        self.assert_near(LARGE, memory["retained_total"])

    def test_what_is_given_back(self) -> None:
        """If a block frees more than it allocates, the retained bytes are negative."""
        with self.monitor.measure("around"):
            kept = [bytearray(2 * LARGE)]
            with self.monitor.measure("free"):
                kept.clear()
        memory = self.memory("free")
        self.assert_near(-2 * LARGE, memory["retained_min"])
        self.assert_near(0, memory["peak_max"])

    def test_blocks_inside_one_another(self) -> None:
        """The start and the end of an inner block do not change the outer peak."""
        with self.monitor.measure("outer"):
            bytearray(4 * LARGE)
            with self.monitor.measure("inner"):
                bytearray(2 * LARGE)
            with self.monitor.measure("small"):
                bytearray(LARGE)
        self.assert_near(4 * LARGE, self.memory("outer")["peak_max"])
        self.assert_near(2 * LARGE, self.memory("inner")["peak_max"])
        self.assert_near(LARGE, self.memory("small")["peak_max"])

    def test_an_inner_peak_counts_outside(self) -> None:
        """The peak of an inner block counts for the outer block too."""
        with self.monitor.measure("outer"), self.monitor.measure("inner"):
            bytearray(2 * LARGE)
        self.assert_near(2 * LARGE, self.memory("outer")["peak_max"])

    def test_each_measure_for_itself(self) -> None:
        """The argument `memory` of measure overrides that of the monitor."""
        plain = performance_monitor()
        with plain.measure("op"):
            self.assertFalse(tracemalloc.is_tracing())
        with plain.measure("op", memory=True):
            self.assertTrue(tracemalloc.is_tracing())
        self.assertEqual(
            (2, 1), (plain.get_stats("op")["count"], plain.get_stats("op")["memory"]["count"])
        )
        with self.monitor.measure("op", memory=False):
            self.assertFalse(tracemalloc.is_tracing())
        self.assertNotIn("memory", self.monitor.get_stats("op"))

    def test_tracing_that_was_on_stays_on(self) -> None:
        """If tracemalloc was tracing before, it keeps tracing, with its traces."""
        tracemalloc.start(5)
        self.addCleanup(tracemalloc.stop)
        # Cleanups run last first: the check runs after tracing has stopped.
        mine = bytearray(LARGE)
        with self.monitor.measure("op"):
            pass
        self.assertEqual(5, tracemalloc.get_traceback_limit())
        self.assertIsNotNone(tracemalloc.get_object_traceback(mine))

    def test_tracing_that_somebody_switches_off_in_the_middle(self) -> None:
        """If the body stops tracemalloc, only the time is recorded."""
        with self.monitor.measure("op"):
            tracemalloc.stop()
        self.assertEqual(1, self.monitor.get_stats("op")["count"])
        self.assertNotIn("memory", self.monitor.get_stats("op"))

    def test_a_body_that_raises(self) -> None:
        """Tracing stops when the body raises an error."""
        with self.assertRaises(KeyError), self.monitor.measure("op"):
            bytearray(LARGE)
            raise KeyError
        self.assert_near(LARGE, self.memory("op")["peak_max"])

    def test_reuse_nested_and_decorated(self) -> None:
        """A timing with memory can be reused, nested and used as a decorator."""
        timing = self.monitor.measure("op")
        with timing, timing:
            bytearray(LARGE)

        @timing
        def work() -> None:
            bytearray(LARGE)

        work()
        memory = self.memory("op")
        self.assertEqual(3, memory["count"])
        self.assert_near(LARGE, memory["peak_average"])

    def test_a_generator_that_ends_in_another_thread(self) -> None:
        """A generator may end in another thread; its sample is recorded."""

        @self.monitor.measure("op")
        def work() -> Iterator[None]:
            yield
            bytearray(LARGE)

        generator = work()
        next(generator)
        thread = threading.Thread(target=list, args=(generator,))
        thread.start()
        thread.join()
        self.assertEqual(1, self.memory("op")["count"])

    def test_threads_and_tasks_that_overlap(self) -> None:
        """Tracing stops when the last of several overlapping blocks has ended."""
        inside, leave = threading.Event(), threading.Event()

        def other() -> None:
            with self.monitor.measure("other"):
                inside.set()
                leave.wait(30)
                bytearray(2 * LARGE)

        thread = threading.Thread(target=other)
        with self.monitor.measure("op"):
            thread.start()
            inside.wait(30)
        self.assertTrue(tracemalloc.is_tracing())
        leave.set()
        thread.join(30)
        self.assert_near(2 * LARGE, self.memory("other")["peak_max"])

        async def task() -> None:
            async with self.monitor.measure("task"):
                await asyncio.sleep(0)
                bytearray(LARGE)

        async def both() -> None:
            await asyncio.gather(task(), task())

        asyncio.run(both())
        self.assertEqual(2, self.memory("task")["count"])

    def test_json(self) -> None:
        """JSON keeps memory samples, negative ones too."""
        self.test_what_is_given_back()
        again = performance_monitor.from_json(self.monitor.to_json())
        self.assertEqual(self.memory("free"), again.get_stats("free")["memory"])
        self.assertRegex(
            again.report(), r"(?m)^free: peak .* B at most, -\d.* retained on average$"
        )

    def test_mistakes(self) -> None:
        """`memory` must be True or False."""
        anything: Any = "yes"
        with self.assertRaisesRegex(TypeError, "^memory must be True or False, got 'yes'$"):
            performance_monitor(memory=anything)
        with self.assertRaisesRegex(TypeError, "^memory must be True or False, got 'yes'$"):
            self.monitor.measure("op", memory=anything)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_fork_in_the_middle(self) -> None:
        """A forked child stops tracing and records no memory for the block."""
        done = run_script("""
import os, tracemalloc
from itf import performance_monitor
with performance_monitor(memory=True) as monitor:
    with monitor.measure("op"):
        pid = os.fork()
        if not pid:
            assert not tracemalloc.is_tracing()
    if not pid:
        os._exit(len(monitor.get_all_stats()))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(code, monitor.get_stats("op")["memory"]["count"])
""")
        self.assertEqual(("0 1\n", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
