from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import time
import types
import unittest
from collections.abc import Callable
from typing import Any

from itf import FaultPlan, FaultTimeoutError, inject_faults
from itf.faults.injection import Injection
from tests.faults.waiters_support import DEADLINE, watch
from tests.support import in_threads


class Calls:
    """Calls of a function with a plan, each in its own thread."""

    def __init__(self, function: Callable[[], object], count: int = 1) -> None:
        self.results: list[object] = []
        self.threads = [threading.Thread(target=self._call, args=(function,)) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _call(self, function: Callable[[], object]) -> None:
        try:
            self.results.append(function())
        except Exception as error:  # noqa: BLE001 - what it is, is the result
            self.results.append(type(error).__name__)

    def end(self) -> list[object]:
        """Wait for all calls, and return their results."""
        for thread in self.threads:
            thread.join(DEADLINE)
            if thread.is_alive():
                raise AssertionError("a call still hangs")
        return self.results


class WaitingTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.module = types.SimpleNamespace(function=lambda: "ok")

    def inject(self, plan: FaultPlan, name: str = "function") -> Injection:
        """Inject a plan until the test ends, at the latest."""
        injection = inject_faults(self.module, name, plan)
        injection.start()
        self.addCleanup(injection.undo)
        return injection

    def hanging(self, plan: FaultPlan, count: int = 1) -> Calls:
        """Return calls that hang already."""
        wait_for_waiters = watch(plan._waiters)
        calls = Calls(self.module.function, count)
        wait_for_waiters(count)
        return calls


class HangTest(WaitingTestCase):
    def test_release(self) -> None:
        """`release` makes all hanging calls go on; later calls do not hang."""
        for how, expected in (({}, "ok"), ({"returns": 3}, 3), ({"raises": OSError}, "OSError")):
            plan = FaultPlan.always(hang=True, **how)  # type: ignore[arg-type]
            injection = self.inject(plan)
            calls = self.hanging(plan, 8)
            plan.release()
            self.assertEqual([expected] * 8, calls.end())
            self.assertEqual([expected], Calls(self.module.function).end())
            injection.undo()

    def test_release_before_the_call(self) -> None:
        """After `release`, no call hangs."""
        plan = FaultPlan.always(hang=True)
        plan.release()
        self.inject(plan)
        self.assertEqual("ok", self.module.function())

    def test_undoing_releases_calls(self) -> None:
        """`undo` makes hanging calls go on; injected again, the plan hangs again."""
        plan = FaultPlan.always(hang=True)
        injection = self.inject(plan)
        for number in (1, 2):
            calls = Calls(self.module.function)
            plan.wait_until_hit(DEADLINE, hits=number)
            injection.undo()
            self.assertEqual(["ok"], calls.end())
            injection.start()

    def test_a_plan_at_two_places(self) -> None:
        """Calls hang until the plan is removed from its last place."""
        self.module.other = lambda: "other"
        plan = FaultPlan.always(hang=True)
        first, second = self.inject(plan), self.inject(plan, "other")
        calls = self.hanging(plan)
        second.undo()
        self.assertTrue(calls.threads[0].is_alive())
        self.assertEqual([], calls.results)
        first.undo()
        self.assertEqual(["ok"], calls.end())

    def test_a_plan_that_comes_after(self) -> None:
        """`release` and `undo` also affect calls that hang in ``then``."""
        for let_go in (FaultPlan.release, None):
            later = FaultPlan.always(hang=True)
            plan = FaultPlan.first(1, returns=0, then=later)
            injection = self.inject(plan)
            self.module.function()
            calls = self.hanging(later)
            if let_go is None:
                injection.undo()
            else:
                let_go(plan)
            self.assertEqual(["ok"], calls.end())
            injection.undo()

    def test_a_hang_ends_at_its_timeout(self) -> None:
        """A hanging call raises FaultTimeoutError after its timeout; the default is 60 s."""
        plan = FaultPlan.always(hang=True, timeout=0.01)
        self.inject(plan)
        with self.assertRaises(FaultTimeoutError) as caught:
            self.module.function()
        self.assertEqual(
            "types.SimpleNamespace.function hung for 0.01 s and was not released "
            "(FaultPlan.always()); call plan.release(), or pass the plan another timeout=",
            str(caught.exception),
        )
        self.assertIsInstance(caught.exception, TimeoutError)
        self.assertEqual(60.0, FaultPlan.always(hang=True).outcomes[0].timeout)
        self.assertIsNone(FaultPlan.always(hang=True, timeout=None).outcomes[0].timeout)

    def test_a_delay_ends_early(self) -> None:
        """`undo` and `release` end a delay early."""
        for let_go in (FaultPlan.release, None):
            plan = FaultPlan.always(delay=3600, returns=1)
            injection = self.inject(plan)
            calls = self.hanging(plan)
            if let_go is None:
                injection.undo()
            else:
                let_go(plan)
            self.assertEqual([1], calls.end())
            injection.undo()

    def test_generators_and_context_managers(self) -> None:
        """Generators and context managers hang at their beginning."""
        plan = FaultPlan.always(hang=True)

        def generate() -> Any:
            yield 1

        self.module.function = generate
        self.inject(plan)
        self.module.function()  # not begun
        calls = Calls(lambda: list(self.module.function()))
        plan.wait_until_hit(DEADLINE)
        plan.release()
        self.assertEqual([[1]], calls.end())


class OwnNeedsTest(WaitingTestCase):
    """Faults in functions that itf itself uses do not affect itf."""

    def test_time(self) -> None:
        """Faults in time.monotonic and time.sleep do not keep a wait from ending."""
        plan = FaultPlan.always(hang=True, timeout=0.01)
        self.inject(plan)
        with (
            inject_faults(time, "monotonic", FaultPlan.always(returns=0.0, delay=0)) as clock,
            inject_faults(time, "sleep", FaultPlan.always(returns=None)),
            inject_faults(threading.Event, "wait", FaultPlan.always(hang=True)) as event,
        ):
            self.assertEqual(0.0, time.monotonic())
            with self.assertRaises(FaultTimeoutError):
                self.module.function()
            self.assertEqual((1, 0), (clock.calls, event.calls))

    def test_asyncio_wait(self) -> None:
        """asyncio.wait hangs as any other coroutine function."""
        plan = FaultPlan.always(hang=True, timeout=0.01)

        async def use() -> None:
            await asyncio.wait([asyncio.create_task(asyncio.sleep(0))])

        with (
            inject_faults(asyncio, "wait", plan),
            self.assertRaisesRegex(FaultTimeoutError, "asyncio.wait hung for 0.01 s"),
        ):
            asyncio.run(use())
        self.assertEqual(1, plan.calls)


class AsyncHangTest(WaitingTestCase):
    def setUp(self) -> None:
        super().setUp()

        async def function() -> str:
            return "ok"

        self.module.function = function

    def run_beside(
        self, plan: FaultPlan, let_go: Callable[[], object], count: int = 1
    ) -> list[Any]:
        """Return the results of hanging calls, released by a function that runs in the loop."""

        async def use() -> list[Any]:
            tasks = [asyncio.create_task(self.module.function()) for _ in range(count)]
            while plan.hits < count:
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            self.assertFalse(any(task.done() for task in tasks))
            let_go()
            return await asyncio.wait_for(asyncio.gather(*tasks), DEADLINE)

        return asyncio.run(use())

    def test_the_loop_goes_on(self) -> None:
        """While twenty coroutines hang, the loop runs the task that releases them."""
        plan = FaultPlan.always(hang=True)
        self.inject(plan)
        self.assertEqual(["ok"] * 20, self.run_beside(plan, plan.release, 20))

    def test_release_from_a_thread(self) -> None:
        """A release from another thread wakes the loop."""
        plan = FaultPlan.always(hang=True, returns=0)
        self.inject(plan)
        self.assertEqual(
            [0], self.run_beside(plan, lambda: in_threads(1, lambda _: plan.release()))
        )

    def test_undoing_releases_calls(self) -> None:
        """`undo` makes hanging and delayed coroutines go on."""
        for plan in (FaultPlan.always(hang=True), FaultPlan.always(delay=3600)):
            self.assertEqual(["ok"], self.run_beside(plan, self.inject(plan).undo))

    def test_a_hang_ends_at_its_timeout(self) -> None:
        """In a coroutine, the timeout is measured by the clock of the loop."""
        plan = FaultPlan.always(hang=True, timeout=0.01)
        self.inject(plan)
        with self.assertRaisesRegex(FaultTimeoutError, "function hung for 0.01 s"):
            asyncio.run(self.module.function())

    def test_cancelled(self) -> None:
        """A hanging task can be cancelled, and leaves nothing behind."""
        plan = FaultPlan.always(hang=True)
        self.inject(plan)

        async def use() -> set[Any]:
            task = asyncio.create_task(self.module.function())
            while not plan.hits:
                await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            return asyncio.all_tasks() - {asyncio.current_task()}

        self.assertEqual(set(), asyncio.run(use()))
        self.assertFalse(plan._waiters.wake_callbacks)
        plan.release()

    def test_a_loop_that_was_closed(self) -> None:
        """A release ignores a task that hangs in a closed loop."""
        plan = FaultPlan.always(hang=True)
        self.inject(plan)
        loop = asyncio.new_event_loop()
        task = loop.create_task(self.module.function())
        loop.run_until_complete(asyncio.sleep(0.001))
        loop.close()
        self.assertEqual(1, plan.hits)
        plan.release()
        self.assertFalse(task.done())
        with self.assertLogs("asyncio", "ERROR"):  # about the pending task
            del task
            plan._waiters.clear()
            gc.collect()


class UntilHitTest(WaitingTestCase):
    def test_a_hit_that_was(self) -> None:
        """`wait_until_hit` returns at once if the hit has happened."""
        plan = FaultPlan.nth_call(1, returns=0)
        self.inject(plan)
        self.module.function()
        plan.wait_until_hit(0)

    def test_hits_that_come(self) -> None:
        """`wait_until_hit` waits for the given number of hits, from any thread."""
        plan = FaultPlan.every(2, returns=0)
        wait_for_waiters = watch(plan.hit_waiters)
        self.inject(plan)
        waiting = Calls(lambda: plan.wait_until_hit(DEADLINE, hits=3))
        wait_for_waiters(1)
        for _ in range(5):
            self.module.function()
        self.assertTrue(waiting.threads[0].is_alive())
        self.module.function()
        self.assertEqual([None], waiting.end())

    def test_a_timeout_of_the_wait(self) -> None:
        """The timeout error contains the counts; ``timeout=None`` waits without end."""
        plan = FaultPlan.nth_call(3)
        self.inject(plan)
        self.module.function()
        for hits, times in ((1, ""), (2, " 2 times")):
            with self.assertRaises(FaultTimeoutError) as caught:
                plan.wait_until_hit(0.01, hits=hits)
            self.assertEqual(
                f"FaultPlan.nth_call(3) was not hit{times} within 0.01 s; it has had 1 call and "
                "0 hits; is it injected where the calls are made?",
                str(caught.exception),
            )
        signature = inspect.signature(plan.wait_until_hit)
        self.assertEqual(60.0, signature.parameters["timeout"].default)

    def test_mistakes(self) -> None:
        """The timeout must be seconds, and ``hits`` a number from 1 on."""
        plan = FaultPlan.always()
        for arguments, kind, text in (
            ({"timeout": "1"}, TypeError, "timeout must be a number of seconds, got '1'"),
            ({"timeout": -1}, ValueError, "timeout must be seconds from 0 on, got -1"),
            ({"hits": 0}, ValueError, "hits must be a whole number from 1 on, got 0"),
        ):
            with self.assertRaises(kind) as caught:
                plan.wait_until_hit(**arguments)  # type: ignore[arg-type]
            self.assertEqual(f"wait_until_hit(): {text}", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
