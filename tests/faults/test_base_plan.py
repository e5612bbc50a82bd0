"""Counting while threads switch at any instruction, as they may without a GIL."""

from __future__ import annotations

import functools
import itertools
import operator
import string
import sys
import threading
import unittest
import warnings
import weakref
from collections.abc import Callable, Generator
from types import CodeType, FrameType
from typing import Any
from unittest import mock

from itf import FaultPlan, inject_faults
from itf.faults.applied_plan import NO_PLAN
from itf.faults.base_plan import BasePlan
from itf.faults.call_counter import CallCounter, TicketIterator
from itf.faults.known_plans import all_plans
from tests.support import in_threads

# Seconds to wait for the action. An action that waits for a lock of the traced thread
# ends later.
BLOCKED = 0.02
DEADLINE = 30.0


def call(times: int = 1) -> int:
    """Call the function under test, and return how many calls were hit."""
    return [string.capwords("x") for _ in range(times)].count("hit")


def without_gil() -> Any:
    """Return a patch that makes plans count as they do without a GIL."""
    return mock.patch.object(sys, "_is_gil_enabled", lambda: False, create=True)


class Switch:
    """Runs an action in another thread before one chosen instruction of this thread."""

    def __init__(self, codes: list[CodeType], at: int, action: Callable[[], Any]) -> None:
        self.codes = codes
        self.left = at
        self.results: list[Any] = []
        self.thread = threading.Thread(target=lambda: self.results.append(action()))

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        """Count instructions, and run the action before the chosen one."""
        if frame.f_code not in self.codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            if self.left == 0:
                self.thread.start()
                self.thread.join(BLOCKED)
            self.left -= 1
        return self.trace

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function, wait for the action, and return the function's result."""
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            result = function()
        finally:
            sys.settrace(before)
        if self.thread.ident is not None:
            self.thread.join(DEADLINE)
        return result


def at_each_instruction(
    codes: Callable[[], list[CodeType]],
    function: Callable[[], Any],
    action: Callable[[], Any],
    set_up: Callable[[], None],
    clean_up: Callable[[], object],
) -> Generator[tuple[int, Any, Any]]:
    """Run a function repeatedly, each time with the action before another instruction."""
    # From Python 3.12 on, instructions of a function are traced from its second call on.
    set_up()
    Switch(codes(), -1, action).run(function)
    clean_up()
    at = 0
    while True:
        set_up()
        switch = Switch(codes(), at, action)
        result = switch.run(function)
        if switch.thread.ident is None:
            clean_up()
            return
        yield at, result, switch.results[0]
        clean_up()
        at += 1


class SwitchTest(unittest.TestCase):
    """No call is lost or counted twice, whatever instruction another thread interrupts."""

    plan: FaultPlan

    def set_up(self, **how: Any) -> None:
        """Make a plan that counts as without a GIL, and inject it."""
        with without_gil():
            self.plan = FaultPlan.nth_call(2, returns="hit", **how)
        injection = inject_faults(string, "capwords", self.plan)
        injection.start()
        self.addCleanup(injection.undo)

    def codes(self) -> list[CodeType]:
        """Return the code objects that count, starting with the wrapper."""
        take_ticket = BasePlan.take_ticket.__code__
        share = BasePlan.share.__code__
        return [string.capwords.__code__, take_ticket, share, CallCounter.take.__code__]

    def check(self, function: Callable[[], Any], action: Callable[[], Any], calls: int) -> None:
        """Check the counts for each interleaving of the function and the action."""
        interleavings = 0
        for at, hits, hits_there in at_each_instruction(
            self.codes, function, action, self.set_up, self.doCleanups
        ):
            interleavings += 1
            with self.subTest(at):
                self.assertEqual((calls, 1), (self.plan.calls, self.plan.hits))
                self.assertEqual(1, hits + hits_there)
        self.assertGreater(interleavings, 10)

    def test_two_calls(self) -> None:
        """Each call gets its own number."""
        self.check(call, call, 2)

    def test_a_call_while_the_plan_is_shared(self) -> None:
        """A call while the count moves to shared memory is counted exactly once."""
        self.check(lambda: call(2), lambda: self.plan.share() and 0, 2)

    def test_the_plan_is_shared_while_it_is_called(self) -> None:
        """Sharing the count while another thread calls loses no call."""
        self.check(lambda: self.plan.share() and 0, lambda: call(2), 2)

    def test_recorded_hits(self) -> None:
        """Hits that two threads record are not reported as hits of another process."""
        notify_hit = [BasePlan.notify_hit.__code__, CallCounter.take.__code__]

        def set_up() -> None:
            self.plan = FaultPlan.always(returns="hit")
            self.plan.share()
            injection = inject_faults(string, "capwords", self.plan)
            injection.start()
            self.addCleanup(injection.remove_plan)

        for at, *_ in at_each_instruction(lambda: notify_hit, call, call, set_up, self.doCleanups):
            with self.subTest(at):
                self.assertEqual((2, 0), (self.plan.hits, self.plan.unreported_hits()))

    def test_plans_that_are_made_while_the_process_forks(self) -> None:
        """A fork lists all plans, also while another thread makes one."""
        looks = [weakref.WeakSet.__iter__.__code__]
        ways = at_each_instruction(
            lambda: looks, all_plans.all, FaultPlan.always, self.set_up, self.doCleanups
        )
        for at, plans, made in itertools.islice(ways, 40):
            with self.subTest(at):
                self.assertIn(self.plan, plans)
                self.assertIn(made, all_plans.all())
        ways.close()


class ThreadsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)

    def test_exact_with_eight_threads(self) -> None:
        """Counts are exact with and without a GIL, before and after sharing, and with ``then``."""
        for gil in (True, False):
            for then in (None, FaultPlan.always(returns="hit")):
                with (
                    self.subTest((gil, then)),
                    mock.patch.object(sys, "_is_gil_enabled", lambda gil=gil: gil, create=True),
                    warnings.catch_warnings(),
                ):
                    # The warning that itf is untested without the GIL is expected.
                    warnings.simplefilter("ignore", RuntimeWarning)
                    plan = FaultPlan.nth_call(10, returns="hit", then=then)
                    with inject_faults(string, "capwords", plan):

                        def work(number: int, plan: FaultPlan = plan) -> int:
                            hits = call(100)
                            if number == 0:
                                plan.share()
                            return hits + call(100)

                        hits = sum(in_threads(8, work))
                    self.assertEqual((1600, 1), (plan.calls, plan.hits))
                    self.assertEqual(1 if then is None else 1591, hits)

    def test_numbers(self) -> None:
        """Eight threads get different numbers, and 0 after `close`."""
        numbers = CallCounter()
        taken = in_threads(8, lambda _: [numbers.take() for _ in range(500)])
        self.assertEqual(list(range(1, 4001)), sorted(functools.reduce(operator.iadd, taken, [])))
        self.assertEqual((4000, 4000), (numbers.taken, numbers.close()))
        self.assertEqual((0, 4000), (numbers.take(), numbers.taken))


class GilTest(unittest.TestCase):
    def test_tickets_need_a_gil(self) -> None:
        """Tickets are used only with a GIL, which makes taking one atomic."""
        with mock.patch.object(sys, "_is_gil_enabled", lambda: True, create=True):
            self.assertIsInstance(FaultPlan.always()._tickets, TicketIterator)
        with without_gil():
            self.assertIsInstance(FaultPlan.always()._tickets, CallCounter)

    def test_no_plan(self) -> None:
        """Without a plan each call passes, and threads share no state."""
        self.assertIs(True, NO_PLAN.take_ticket())
        self.assertIs(True, NO_PLAN.take_ticket())
