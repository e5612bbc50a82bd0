from __future__ import annotations

import functools
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
from itf.measures.memory import MemoryTiming, _meter
from itf.measures.timing import Timing

# Seconds after which a thread is taken to hang.
_DEADLINE = 30.0

# One that neither debuggers nor coverage nor `interleave` take.
_TOOL = 3

# The code in the middle of which another thread goes on.
_CODES = [
    function.__code__
    for kind in (Timing, MemoryTiming)
    for function in vars(kind).values()
    if isinstance(function, FunctionType)
]


def are_free(locks: Iterable[Any]) -> bool:
    """Say whether the calling thread could take each of some locks."""
    for lock in locks:
        if not lock.acquire(blocking=False):
            return False
        lock.release()
    return True


class ThreadClock(threading.local):
    """Tells each thread a time of its own, which it sets."""

    now = 0

    def __call__(self) -> int:
        return self.now


class Switch:
    """Hands over to another thread at one instruction of `itf.measures.timing`.

    Args:
        number: Before which instruction, counted from 0 in the order in which they run.
        other: What the other thread does there.
        can_run: Says whether the other thread could do it now, without waiting for this one.
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
            monitoring.register_callback(_TOOL, event, lambda code, offset: self._come_by())
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
            self._come_by()
        return self._trace

    def _come_by(self) -> None:
        if threading.get_ident() != self._thread or self.was_reached:
            return
        self._left -= 1
        if self._left < 0 and self._can_run():
            self.was_reached = True
            self._other()


class SwitchTest(unittest.TestCase):
    """One `measure` object in two threads, one of which goes on in the middle of the other."""

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
        """Call a function at a moment of the calling thread's clock."""
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
        """Switch to the other thread at each instruction in turn, and compare all samples."""
        number = 0
        while True:
            with performance_monitor() as monitor:
                measure = monitor.measure("op", memory=memory)
                locks = (monitor.recorder.lock, _meter._lock)
                # As it is for a cell at home: `append` of a list.
                samples: list[int] = []
                monitor.recorder.cell("op").add = samples.append

                before(measure)
                hand_over = functools.partial(self.in_other, other, measure)
                is_free = functools.partial(self.in_other, are_free, locks)
                with Switch(number, hand_over, is_free) as switch:
                    traced(measure)
                if not switch.was_reached:
                    break
                after(measure)
                with self.subTest(instruction=number):
                    self.assertEqual(expected, sorted(samples))
                    # Nobody is inside any more, and it can be used again.
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
        """Both durations are there, wherever the other thread comes and goes."""
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
        """It leaves after this one has."""
        self.check(
            self.nothing,
            lambda m: self.use(m, 1_000, 1_007),
            lambda m: self.enter(m, 50),
            lambda m: self.in_other(self.leave, m, 80),
            [7, 30],
        )

    def test_the_other_was_inside_and_leaves(self) -> None:
        """In the middle of this one's coming or going."""
        self.check(
            lambda m: self.in_other(self.enter, m, 50),
            lambda m: self.use(m, 1_000, 1_007),
            lambda m: self.leave(m, 80),
            self.nothing,
            [7, 30],
        )

    def test_the_other_leaves_and_comes_again(self) -> None:
        """And is inside once more when this one is done."""

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
        """Each thread ends its own innermost block, with the other one in between."""

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
        """A generator may go on elsewhere: what nobody else has entered is ended."""
        with performance_monitor() as monitor, ThreadPoolExecutor(1) as pool:
            measure = monitor.measure("op")
            measure.__enter__()
            pool.submit(measure.__enter__).result(_DEADLINE)
            for _ in range(2):
                measure.__exit__(None, None, None)
            self.assertEqual(2, monitor.get_stats("op")["count"])
            with self.assertRaises(TimingError):
                measure.__exit__(None, None, None)


if __name__ == "__main__":
    unittest.main()
