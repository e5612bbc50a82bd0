from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import tracemalloc
import unittest
from collections.abc import Generator, Iterator
from typing import Any

from itf import performance_monitor
from itf.exceptions import TimingError
from tests.performance.clock import ClockTestCase
from tests.support import in_threads, run_script


class SamplesTestCase(ClockTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.monitor = performance_monitor()

    def count(self, operation: str = "op") -> int:
        return self.monitor.get_stats(operation)["count"]

    def total(self, operation: str = "op") -> float:
        return self.monitor.get_stats(operation)["total"]


class ReuseTest(SamplesTestCase):
    def test_one_after_the_other(self) -> None:
        """A timing can be entered again and again, also after a reset."""
        timing = self.monitor.measure("op")
        for _ in range(3):
            with timing:
                self.clock.take(1)
        self.monitor.reset()
        with timing:
            self.clock.take(2)
        self.assertEqual((1, 2.0), (self.count(), self.total()))

    def test_inside_itself(self) -> None:
        """A timing can be entered inside itself; the inner block ends first."""
        timing = self.monitor.measure("op")
        with timing:
            self.clock.take(1)
            with timing:
                self.clock.take(2)
                with timing:
                    self.clock.take(4)
        stats = self.monitor.get_stats("op")
        self.assertEqual(
            (3, 4.0, 7.0, 17.0), tuple(stats[key] for key in ("count", "min", "max", "total"))
        )  # type: ignore[literal-required]
        with timing:
            self.clock.take(1)
        self.assertEqual(18.0, self.total())

    def test_by_two_threads_at_once(self) -> None:
        """Each of two threads gets its own sample, whichever leaves first."""
        timing = self.monitor.measure("op")
        for first_leaves_first in (True, False):
            self.monitor.reset()
            entered, leave, left = threading.Event(), threading.Event(), threading.Event()

            def other(entered=entered, leave=leave, left=left) -> None:  # type: ignore[no-untyped-def]
                with timing:
                    entered.set()
                    leave.wait(30)
                left.set()

            thread = threading.Thread(target=other)
            with timing:
                self.clock.take(1)
                thread.start()
                self.assertTrue(entered.wait(30))
                self.clock.take(2)
                if not first_leaves_first:
                    leave.set()
                    self.assertTrue(left.wait(30))
                self.clock.take(4)
            self.clock.take(8)
            leave.set()
            thread.join(30)
            stats = self.monitor.get_stats("op")
            expected = (7.0, 14.0) if first_leaves_first else (2.0, 7.0)
            self.assertEqual(expected, (stats["min"], stats["max"]))

    def test_by_eight_threads_under_load(self) -> None:
        """No sample is lost, and none has the start of another thread."""
        timing = self.monitor.measure("op")

        def work(_: int) -> None:
            for _ in range(2000):
                with timing, timing:
                    pass

        in_threads(8, work)
        self.assertEqual(32_000, self.count())
        with timing:
            self.clock.take(1)
        self.assertEqual(1.0, self.total())

    def test_by_two_tasks_at_once(self) -> None:
        """Each of two tasks in one thread gets its own sample."""
        timing = self.monitor.measure("op")

        async def work(inside: asyncio.Event, wait: asyncio.Event) -> None:
            with timing:
                inside.set()
                await wait.wait()

        async def both() -> None:
            events = [asyncio.Event() for _ in range(4)]
            first = asyncio.create_task(work(events[0], events[1]))
            await events[0].wait()
            self.clock.take(1)
            second = asyncio.create_task(work(events[2], events[3]))
            await events[2].wait()
            self.clock.take(2)
            events[1].set()  # the task that entered first leaves first
            await first
            self.clock.take(4)
            events[3].set()
            await second

        asyncio.run(both())
        stats = self.monitor.get_stats("op")
        self.assertEqual((3.0, 6.0), (stats["min"], stats["max"]))

    def test_leaving_without_entering(self) -> None:
        """Leaving a timing that was not entered is an error without a sample."""
        timing = self.monitor.measure("op")
        with self.assertRaises(TimingError) as caught:
            timing.__exit__(None, None, None)
        self.assertEqual(
            "measure('op') was left without having been entered; use it in a `with`",
            str(caught.exception),
        )
        self.assertEqual({}, self.monitor.get_all_stats())


class DecoratorTest(SamplesTestCase):
    def test_recursion(self) -> None:
        """Each call of a recursive function is timed, with its inner calls."""

        @self.monitor.measure("op")
        def down(depth: int) -> int:
            """Call itself, this many levels deep."""
            self.clock.take(1)
            return depth and down(depth - 1)

        self.assertEqual(0, down(3))
        self.assertEqual((4, 10.0), (self.count(), self.total()))
        self.assertEqual("down", down.__name__)
        self.assertEqual("Call itself, this many levels deep.", down.__doc__)

    def test_a_generator_function(self) -> None:
        """A generator is timed from its first to its last step; send works."""

        @self.monitor.measure("op")
        def echo() -> Generator[str, str, str]:
            self.clock.take(1)
            got = yield "first"
            self.clock.take(2)
            return got

        generator = echo()
        self.clock.take(100)
        self.assertEqual("first", next(generator))
        with self.assertRaises(StopIteration) as caught:
            generator.send("sent")
        self.assertEqual("sent", caught.exception.value)
        self.assertEqual(3.0, self.total())

    def test_a_coroutine_function(self) -> None:
        """A coroutine function is timed as a whole, with what it awaits."""

        @self.monitor.measure("op")
        async def fetch() -> str:
            self.clock.take(1)
            await asyncio.sleep(0)
            return "page"

        self.assertEqual("page", asyncio.run(fetch()))
        self.assertEqual(1.0, self.monitor.get_stats("op")["total"])

    def test_what_cannot_be_decorated(self) -> None:
        """The error about an object that cannot be decorated has the remedy."""
        measure: Any = self.monitor.measure("op")

        async def pages() -> Any:
            yield 1

        with self.assertRaisesRegex(TypeError, "^measure cannot decorate .*pages, an asynchronous"):
            measure(pages)
        with self.assertRaisesRegex(TypeError, "^measure can only decorate a function, got 3$"):
            measure(3)

    def test_methods(self) -> None:
        """A decorated method is a method."""
        monitor = self.monitor

        class Parser:
            @monitor.measure("op")
            def parse(self, text: str) -> tuple[Any, str]:
                return self, text

        parser = Parser()
        self.assertEqual((parser, "text"), parser.parse("text"))


class OddEndsTest(SamplesTestCase):
    def test_a_generator_that_is_dropped_in_the_middle(self) -> None:
        """The sample of a dropped generator ends when it is closed."""

        def numbers() -> Iterator[int]:
            with self.monitor.measure("op"):
                yield from range(10)

        generator = numbers()
        next(generator)
        self.clock.take(3)
        del generator
        gc.collect()
        self.assertEqual(3.0, self.total())

    def test_not_the_last_that_was_entered_ends_first(self) -> None:
        """Blocks of one operation may overlap in any order."""
        first, second = self.monitor.measure("op"), self.monitor.measure("op")
        first.__enter__()
        self.clock.take(1)
        second.__enter__()
        self.clock.take(2)
        first.__exit__(None, None, None)
        self.clock.take(4)
        second.__exit__(None, None, None)
        stats = self.monitor.get_stats("op")
        self.assertEqual((3.0, 6.0), (stats["min"], stats["max"]))

    def test_every_kind_of_exception(self) -> None:
        """A body that raises any exception is timed, and the exception is raised."""
        for error in (ValueError("v"), KeyboardInterrupt(), GeneratorExit(), SystemExit(3)):
            with self.assertRaises(type(error)) as caught, self.monitor.measure("op"):
                raise error
            self.assertIs(error, caught.exception)
        self.assertEqual(4, self.count())

    def test_a_name_without_a_hash(self) -> None:
        """An operation name that is not hashable is the same TypeError."""
        measure: Any = self.monitor.measure
        for name in ([], None, 3, b"op"):
            with self.assertRaisesRegex(TypeError, "^the name of an operation must be a str, got "):
                measure(name)

    def test_the_timeline_has_the_first_and_a_summary(self) -> None:
        """The timeline has the first timing and a summary only."""
        with self.monitor as monitor:
            for _ in range(3000):
                with monitor.measure("op"):
                    self.clock.take(1)
            with monitor.measure("once"):
                pass
        self.assertEqual(
            [
                {"operation": "op", "seconds": 1.0},
                {"operation": "once", "seconds": 0.0},
                {"operation": "op", "count": 3000, "total": 3000.0, "p50": 1.0, "max": 1.0},
            ],
            [event["data"] for event in monitor.timeline.events("timing")],
        )

    def test_throughput(self) -> None:
        """The throughput is the number of samples per second of the whole period."""
        for _ in range(4):
            with self.monitor.measure("op"):
                self.clock.take(1)
            self.clock.take(1)
        self.assertEqual(4 / 7, self.monitor.get_stats("op")["throughput"])

    def test_zero_durations(self) -> None:
        """If the clock does not advance, all times and the throughput are 0."""
        with self.monitor.measure("op"):
            pass
        self.assertEqual({0}, {*self.monitor.get_stats("op").values()} - {1})

    def test_an_operation_that_has_not_ended(self) -> None:
        """An operation that runs is not in the statistics yet."""
        with self.monitor.measure("op"):
            self.assertEqual({}, self.monitor.get_all_stats())

    def test_memory_stays_flat(self) -> None:
        """A hundred thousand samples need no more memory than a short list."""

        def take(count: int) -> None:
            for number in range(count):
                with self.monitor.measure("op"):
                    self.clock.now += number * 7919 % 5000

        def least() -> int:
            # A histogram holds up to 1024 exact numbers until it moves them to buckets.
            # The minimum of several measurements is the memory without them.
            looks = []
            for _ in range(10):
                take(400)
                self.monitor.get_stats("op")
                looks.append(tracemalloc.get_traced_memory()[0])
            return min(looks)

        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        take(50_000)
        before = least()
        take(100_000)
        # Counts above 256 of some hundred buckets are separate int objects.
        self.assertLess(least() - before, 10_000)
        self.assertEqual(158_000, self.count())


class ThreadsTest(SamplesTestCase):
    def test_samples_of_threads_that_have_ended(self) -> None:
        """The samples of ended threads are kept."""
        for _ in range(40):
            in_threads(2, lambda _: self.monitor.measure("op")(self.clock.take)(1))
        self.assertEqual(80, self.count())

    def test_reading_while_eight_threads_measure(self) -> None:
        """Reading during measurements is consistent, and counts never decrease."""
        done = threading.Event()
        seen: list[int] = []

        def work(number: int) -> None:
            if number:
                for _ in range(4000):
                    with self.monitor.measure("op"):
                        pass
                return
            while not done.wait(0):
                with contextlib.suppress(TimingError):
                    stats = self.monitor.get_stats("op")
                    seen.append(stats["count"])
                    if stats["count"] == 7 * 4000:
                        return

        in_threads(8, work)
        self.assertEqual(sorted(seen), seen)
        self.assertEqual(7 * 4000, self.count())

    def test_from_a_del_and_from_a_signal(self) -> None:
        """A finalizer or signal handler may take samples and read them."""

        class Measuring:
            def __init__(self, test: SamplesTestCase) -> None:
                self.test, self.me = test, self

            def __del__(self) -> None:
                with self.test.monitor.measure("op"):
                    pass
                self.test.monitor.get_stats("op")

        def handler(*_: Any) -> None:
            with self.monitor.measure("op"):
                self.monitor.get_all_stats()
            hits.append(1)

        hits: list[int] = []
        previous = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        for _ in range(20_000):
            with self.monitor.measure("op"):
                pass
            if len(hits) % 10 == 0:
                Measuring(self)
        dropped = self.count()
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.collect()
        self.assertGreater(len(hits), 1)
        self.assertGreaterEqual(self.count(), dropped)
        self.assertGreaterEqual(self.count(), 20_000 + len(hits))


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class ForkTest(unittest.TestCase):
    def test_a_fork_in_the_middle_of_a_measure(self) -> None:
        """The parent's block counts once; new blocks of the child reach the parent."""
        done = run_script("""
import os, warnings
from itf import TimingError, performance_monitor
with performance_monitor() as monitor:
    for _ in range(10):
        with monitor.measure("op"): pass
    monitor.start_timing("by hand")
    with monitor.measure("op"):
        pid = os.fork()
        if not pid:
            with monitor.measure("op"): pass
            with monitor.measure("child"): pass
    if not pid:
        try:
            monitor.end_timing("by hand")
        except TimingError as error:
            print(error, flush=True)
        print(list(monitor.get_all_stats()), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    print({name: stats["count"] for name, stats in monitor.get_all_stats().items()})
print(monitor.get_stats("child")["count"])
""")
        self.assertEqual(
            "cannot end 'by hand': it was not started (started and not ended: none); "
            "call start_timing first, or use `with measure(...)`\n"
            "['op', 'child']\n{'op': 12, 'child': 1}\n1\n",
            done.stdout,
        )
        self.assertEqual("", done.stderr)

    def test_forks_while_eight_threads_measure(self) -> None:
        """No child hangs, and each sample counts once."""
        done = run_script("""
import os, threading, warnings
from itf import performance_monitor
warnings.simplefilter("ignore", DeprecationWarning)
stop, counts = threading.Event(), []
def work():
    count = 0
    while not stop.is_set():
        with monitor.measure("op"): pass
        count += 1
    counts.append(count)
with performance_monitor() as monitor:
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads: thread.start()
    codes = []
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            for _ in range(2500):
                with monitor.measure("op"): pass
            monitor.get_stats("op")
            os._exit(3)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop.set()
    for thread in threads: thread.join()
print(codes == [3] * 10, monitor.get_stats("op")["count"] == sum(counts) + 25000)
""")
        self.assertEqual(("True True\n", ""), (done.stdout, done.stderr))

    def test_a_fork_from_a_monitor_that_is_not_set_up(self) -> None:
        """The child has an independent copy of the monitor."""
        done = run_script("""
import os
from itf import performance_monitor
monitor = performance_monitor()
with monitor.measure("op"): pass
pid = os.fork()
with monitor.measure("op"): pass
if not pid:
    os._exit(monitor.get_stats("op")["count"])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), monitor.get_stats("op")["count"])
""")
        self.assertEqual(("2 2\n", ""), (done.stdout, done.stderr))

    def test_a_fork_while_another_thread_puts_samples_away(self) -> None:
        """A fork during a fold does not block folding in the child."""
        done = run_script("""
import os, threading, warnings
from unittest import mock
from itf import performance_monitor
from itf.performance.histogram import Histogram
warnings.simplefilter("ignore", DeprecationWarning)
monitor = performance_monitor()
with monitor.measure("op"): pass
inside, go = threading.Event(), threading.Event()
def add(histogram, numbers):
    inside.set()
    go.wait(30)
with mock.patch.object(Histogram, "add", add):
    thread = threading.Thread(target=monitor.get_all_stats)
    thread.start()
    inside.wait(30)
pid = os.fork()
if not pid:
    before = monitor.get_stats("op")["count"]
    with monitor.measure("op"): pass
    os._exit(monitor.get_stats("op")["count"] - before)
go.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""")
        self.assertEqual(("1\n", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
