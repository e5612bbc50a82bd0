from __future__ import annotations

import asyncio
import functools
import gc
import sys
import threading
import unittest
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType, FunctionType
from typing import Any
from unittest import mock

from itf import performance_monitor
from itf.exceptions import TimingError
from itf.performance.memory import MemoryTiming, _meter
from itf.performance.timing import Timing
from tests.performance.clock import ClockTestCase

# Seconds after which a thread is taken to hang.
_DEADLINE = 30.0

# A tool number that debuggers, coverage and `interleave` do not use.
_TOOL = 3

# Code in which the test switches to another thread.
_CODES = [
    function.__code__
    for kind in (Timing, MemoryTiming)
    for function in vars(kind).values()
    if isinstance(function, FunctionType)
]


def are_free(locks: Iterable[Any]) -> bool:
    """Return whether the calling thread could acquire all of these locks."""
    for lock in locks:
        if not lock.acquire(blocking=False):
            return False
        lock.release()
    return True


class ThreadClock(threading.local):
    """A clock with a separate time for each thread, which the thread sets."""

    now = 0

    def __call__(self) -> int:
        return self.now


class Switch:
    """Switches to another thread before one instruction of `itf.performance.timing`.

    Args:
        number: The index of the instruction, in the order in which instructions run.
        other: Called in place of the switch; runs code in the other thread.
        can_run: Returns whether the other thread would not block.
    """

    def __init__(
        self, number: int, other: Callable[[], object], can_run: Callable[[], bool]
    ) -> None:
        self._left = number
        self._other = other
        self._can_run = can_run
        self.was_reached = False

    def __enter__(self) -> Switch:
        self._thread = threading.get_ident()
        if sys.version_info >= (3, 12):
            monitoring = sys.monitoring
            monitoring.use_tool_id(_TOOL, "test")
            event = monitoring.events.INSTRUCTION
            monitoring.register_callback(_TOOL, event, lambda code, offset: self._on_instruction())
            for code in _CODES:
                monitoring.set_local_events(_TOOL, code, event)
        else:
            self._before = sys.gettrace()
            sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.version_info >= (3, 12):
            for code in _CODES:
                sys.monitoring.set_local_events(_TOOL, code, 0)
            sys.monitoring.register_callback(_TOOL, sys.monitoring.events.INSTRUCTION, None)
            sys.monitoring.free_tool_id(_TOOL)
        else:
            sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code not in _CODES:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._on_instruction()
        return self._trace

    def _on_instruction(self) -> None:
        if threading.get_ident() != self._thread or self.was_reached:
            return
        self._left -= 1
        if self._left < 0 and self._can_run():
            self.was_reached = True
            self._other()


class SwitchTest(unittest.TestCase):
    """Two threads use one `measure` object, with a switch at each instruction."""

    def setUp(self) -> None:
        self.clock = ThreadClock()
        patch = mock.patch("time.perf_counter_ns", self.clock)
        patch.start()
        self.addCleanup(patch.stop)
        self.pool = ThreadPoolExecutor(1)
        self.addCleanup(self.pool.shutdown)

    def in_other(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.pool.submit(function, *args).result(_DEADLINE)

    def at(self, now: int, function: Callable[..., Any], *args: Any) -> Any:
        """Set the clock of the calling thread, and call a function."""
        self.clock.now = now
        return function(*args)

    def enter(self, measure: Any, now: int) -> None:
        self.at(now, measure.__enter__)

    def leave(self, measure: Any, now: int) -> None:
        self.at(now, measure.__exit__, None, None, None)

    def check(
        self,
        before: Callable[[Any], None],
        traced: Callable[[Any], None],
        other: Callable[[Any], None],
        after: Callable[[Any], None],
        expected: list[int],
        *,
        memory: bool = False,
    ) -> None:
        """Run with a switch at each instruction in turn; check all samples."""
        number = 0
        while True:
            with performance_monitor() as monitor:
                measure = monitor.measure("op", memory=memory)
                locks = (monitor.recorder.lock, _meter._lock)
                # A plain list.append, as in the test's process.
                samples: list[int] = []
                monitor.recorder.time_buffer("op").add = samples.append

                before(measure)
                switch_to_other = functools.partial(self.in_other, other, measure)
                is_free = functools.partial(self.in_other, are_free, locks)
                with Switch(number, switch_to_other, is_free) as switch:
                    traced(measure)
                if not switch.was_reached:
                    break
                after(measure)
                with self.subTest(instruction=number):
                    self.assertEqual(expected, sorted(samples))
                    # No block is running any more, and the object can be used again.
                    with self.assertRaises(TimingError):
                        self.leave(measure, 0)
                    self.use(measure, 0, 5)
                    self.assertEqual([*expected, 5], [*sorted(samples[:-1]), samples[-1]])
            number += 1
        self.assertGreater(number, 10)

    def use(self, measure: Any, start: int, end: int) -> None:
        self.enter(measure, start)
        self.leave(measure, end)

    def nothing(self, measure: Any) -> None:
        pass

    def test_a_whole_block_in_between(self) -> None:
        """Both samples are correct if the other thread enters and leaves."""
        for memory_too in (False, True):
            with self.subTest(memory=memory_too):
                self.check(
                    self.nothing,
                    lambda m: self.use(m, 1_000, 1_007),
                    lambda m: self.use(m, 50, 80),
                    self.nothing,
                    [7, 30],
                    memory=memory_too,
                )

    def test_the_other_enters_and_stays(self) -> None:
        """Both samples are correct if the other thread enters, and leaves later."""
        self.check(
            self.nothing,
            lambda m: self.use(m, 1_000, 1_007),
            lambda m: self.enter(m, 50),
            lambda m: self.in_other(self.leave, m, 80),
            [7, 30],
        )

    def test_the_other_was_inside_and_leaves(self) -> None:
        """Both samples are correct if the other thread entered before, and leaves."""
        self.check(
            lambda m: self.in_other(self.enter, m, 50),
            lambda m: self.use(m, 1_000, 1_007),
            lambda m: self.leave(m, 80),
            self.nothing,
            [7, 30],
        )

    def test_the_other_leaves_and_comes_again(self) -> None:
        """All samples are correct if the other thread leaves and enters again."""

        def again(measure: Any) -> None:
            self.leave(measure, 80)
            self.enter(measure, 100)

        self.check(
            lambda m: self.in_other(self.enter, m, 50),
            lambda m: self.use(m, 1_000, 1_007),
            again,
            lambda m: self.in_other(self.leave, m, 105),
            [5, 7, 30],
        )

    def test_blocks_inside_themselves(self) -> None:
        """Nested blocks of two threads each get their own sample."""

        def nested(measure: Any) -> None:
            self.enter(measure, 1_000)
            self.use(measure, 1_001, 1_003)
            self.leave(measure, 1_007)

        def other(measure: Any) -> None:
            self.leave(measure, 80)
            self.enter(measure, 100)
            self.use(measure, 101, 112)
            self.leave(measure, 125)

        self.check(
            lambda m: self.in_other(self.enter, m, 50),
            nested,
            other,
            self.nothing,
            [2, 7, 11, 25, 30],
        )


class MovedTest(unittest.TestCase):
    def test_a_block_that_is_left_in_another_thread(self) -> None:
        """A block that was entered in another thread can be left in this one."""
        with performance_monitor() as monitor, ThreadPoolExecutor(1) as pool:
            measure = monitor.measure("op")
            measure.__enter__()
            pool.submit(measure.__enter__).result(_DEADLINE)
            for _ in range(2):
                measure.__exit__(None, None, None)
            self.assertEqual(2, monitor.get_stats("op")["count"])
            with self.assertRaises(TimingError):
                measure.__exit__(None, None, None)


class AsyncBlockTest(ClockTestCase):
    """An `async with` block is timed as a whole, suspended time included."""

    def setUp(self) -> None:
        super().setUp()
        self.monitor = performance_monitor()

    def count_and_total(self) -> tuple[int, float]:
        stats = self.monitor.get_stats("op")
        return stats["count"], stats["total"]

    def test_suspended_time_is_included(self) -> None:
        """The sample includes what other tasks do while the task of the block waits."""

        async def other() -> None:
            self.clock.take(100)

        async def work() -> None:
            async with self.monitor.measure("op"):
                self.clock.take(1)
                await asyncio.create_task(other())
                self.clock.take(2)

        asyncio.run(work())
        self.assertEqual((1, 103.0), self.count_and_total())

    def test_a_decorated_coroutine_function(self) -> None:
        """The sample of a decorated coroutine function includes suspended time as well."""

        async def other() -> None:
            self.clock.take(100)

        @self.monitor.measure("op")
        async def work() -> int:
            await asyncio.create_task(other())
            return 7

        self.assertEqual(7, asyncio.run(work()))
        self.assertEqual((1, 100.0), self.count_and_total())

    def test_asyncio_is_not_changed(self) -> None:
        """While a block is open, asyncio.Handle is as asyncio has made it."""
        before = dict(vars(asyncio.Handle))

        async def work() -> None:
            async with self.monitor.measure("op"):
                self.assertEqual(before, dict(vars(asyncio.Handle)))

        asyncio.run(work())
        self.assertEqual(1, self.count_and_total()[0])

    def test_tasks_that_use_one_timing_at_once(self) -> None:
        """Each of several tasks in one block gets its own sample."""
        timing = self.monitor.measure("op")

        async def work() -> None:
            async with timing:
                for _ in range(3):
                    self.clock.take(1)
                    await asyncio.sleep(0)

        async def main() -> None:
            await asyncio.gather(*(work() for _ in range(10)))

        asyncio.run(main())
        count, total = self.count_and_total()
        self.assertEqual(10, count)
        self.assertGreaterEqual(total, 10 * 20.0)

    def test_a_body_that_raises(self) -> None:
        """A body that raises is timed, and its error leaves the block."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                self.clock.take(1)
                await asyncio.sleep(0)
                raise KeyError("key")

        with self.assertRaises(KeyError):
            asyncio.run(work())
        self.assertEqual((1, 1.0), self.count_and_total())

    def test_a_task_that_is_cancelled(self) -> None:
        """A cancelled body is timed until the cancellation."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                await asyncio.get_running_loop().create_future()

        async def main() -> None:
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            self.clock.take(2)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        self.assertEqual((1, 2.0), self.count_and_total())

    def test_a_task_that_is_collected(self) -> None:
        """A task that the garbage collector destroys inside the block is timed until then."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                await asyncio.get_running_loop().create_future()

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            asyncio.create_task(work())  # noqa: RUF006 - no reference, on purpose
            await asyncio.sleep(0)
            self.clock.take(2)
            gc.collect()

        asyncio.run(main())
        self.assertEqual((1, 2.0), self.count_and_total())

    def test_a_block_that_another_task_leaves(self) -> None:
        """A block may be left in another task than it was entered in."""
        timing: Any = self.monitor.measure("op")

        async def leave() -> None:
            await timing.__aexit__(None, None, None)

        async def main() -> None:
            await timing.__aenter__()
            self.clock.take(1)
            await asyncio.create_task(leave())

        asyncio.run(main())
        self.assertEqual((1, 1.0), self.count_and_total())

    def test_without_an_event_loop(self) -> None:
        """A block works in a coroutine that no event loop runs."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                self.clock.take(2)

        with self.assertRaises(StopIteration):
            work().send(None)
        self.assertEqual((1, 2.0), self.count_and_total())


if __name__ == "__main__":
    unittest.main()
