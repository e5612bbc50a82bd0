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
from tests.measures.clock import ClockTestCase
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
        """What measure gives can be entered again and again, also after a reset."""
        timing = self.monitor.measure("op")
        for _ in range(3):
            with timing:
                self.clock.take(1)
        self.monitor.reset()
        with timing:
            self.clock.take(2)
        self.assertEqual((1, 2.0), (self.count(), self.total()))

    def test_inside_itself(self) -> None:
        """The inner one ends first."""
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
        """Each ends what it has begun, in whatever order they leave."""
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
        """No sample is lost, and none belongs to another thread's start."""
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
        """Two tasks of one thread end their own."""
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
            events[1].set()  # the first one leaves first
            await first
            self.clock.take(4)
            events[3].set()
            await second

        asyncio.run(both())
        stats = self.monitor.get_stats("op")
        self.assertEqual((3.0, 6.0), (stats["min"], stats["max"]))

    def test_leaving_without_entering(self) -> None:
        """It is an error, and no sample."""
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
        """Each call counts, with those inside it."""

        @self.monitor.measure("op")
        def down(depth: int) -> int:
            """Go down."""
            self.clock.take(1)
            return depth and down(depth - 1)

        self.assertEqual(0, down(3))
        self.assertEqual((4, 10.0), (self.count(), self.total()))
        self.assertEqual(("down", "Go down."), (down.__name__, down.__doc__))

    def test_a_generator_function(self) -> None:
        """It is timed from its first step to its last, and values go in and out."""

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
        """What it awaits counts, and is told apart."""

        @self.monitor.measure("op")
        async def fetch() -> str:
            self.clock.take(1)
            await asyncio.sleep(0)
            return "page"

        self.assertEqual("page", asyncio.run(fetch()))
        self.assertEqual(1.0, self.monitor.get_stats("op")["running"])

    def test_what_cannot_be_decorated(self) -> None:
        """The error says what to do instead."""
        measure: Any = self.monitor.measure("op")

        async def pages() -> Any:
            yield 1

        with self.assertRaisesRegex(TypeError, "^measure cannot decorate .*pages, an asynchronous"):
            measure(pages)
        with self.assertRaisesRegex(TypeError, "^measure decorates functions, got 3$"):
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
        """Its `with` ends where the generator is closed."""

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
        """Blocks of one operation may overlap in any way."""
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
        """The time counts, and the very exception goes on."""
        for error in (ValueError("v"), KeyboardInterrupt(), GeneratorExit(), SystemExit(3)):
            with self.assertRaises(type(error)) as caught, self.monitor.measure("op"):
                raise error
            self.assertIs(error, caught.exception)
        self.assertEqual(4, self.count())

    def test_a_name_without_a_hash(self) -> None:
        """It is refused as any other that is no str, where it is said."""
        measure: Any = self.monitor.measure
        for name in ([], None, 3, b"op"):
            with self.assertRaisesRegex(TypeError, "^the name of an operation is a str, got "):
                measure(name)

    def test_the_timeline_has_the_first_and_a_summary(self) -> None:
        """A million timings do not wash everything else out of it."""
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
        """It is how many ended in a second, from the first start to the last end."""
        for _ in range(4):
            with self.monitor.measure("op"):
                self.clock.take(1)
            self.clock.take(1)
        self.assertEqual(4 / 7, self.monitor.get_stats("op")["throughput"])

    def test_zero_durations(self) -> None:
        """A clock that has not moved gives zeros, and a throughput of 0, not an error."""
        with self.monitor.measure("op"):
            pass
        self.assertEqual({0}, {*self.monitor.get_stats("op").values()} - {1})

    def test_an_operation_that_has_not_ended(self) -> None:
        """It is not among the statistics yet."""
        with self.monitor.measure("op"):
            self.assertEqual({}, self.monitor.get_all_stats())

    def test_memory_stays_flat(self) -> None:
        """A hundred thousand samples more take no more than a list of some hundred would."""

        def take(count: int) -> None:
            for number in range(count):
                with self.monitor.measure("op"):
                    self.clock.now += number * 7919 % 5000

        def least() -> int:
            # Up to a thousand different numbers are kept as they are, before they
            # go into buckets: the least of several looks is what stays.
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
        # The counts of some hundred buckets become ints that are not shared.
        self.assertLess(least() - before, 10_000)
        self.assertEqual(158_000, self.count())


class ThreadsTest(SamplesTestCase):
    def test_samples_of_threads_that_have_ended(self) -> None:
        """They stay, however few each thread took."""
        for _ in range(40):
            in_threads(2, lambda _: self.monitor.measure("op")(self.clock.take)(1))
        self.assertEqual(80, self.count())

    def test_reading_while_eight_threads_measure(self) -> None:
        """What is read is always whole, and never goes back."""
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
        """Who interrupts a sample may take one, and read them all."""

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
        """The parent's timing counts once, whoever leaves the `with`; the child's own come home."""
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
        """No child hangs, and no sample is lost or counted twice."""
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
        """The child has a copy of its own, as of any object."""
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
        """The child, which has no such thread, reads all of its own."""
        done = run_script("""
import os, threading, warnings
from unittest import mock
from itf import performance_monitor
from itf.measures.histogram import Histogram
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
