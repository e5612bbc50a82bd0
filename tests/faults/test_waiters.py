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
    """Calls of a function that has a plan in it, in threads of their own."""

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
        """Wait for all of them, and return what they gave."""
        for thread in self.threads:
            thread.join(DEADLINE)
            if thread.is_alive():
                raise AssertionError("a call still hangs")
        return self.results


class WaitingTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.module = types.SimpleNamespace(function=lambda: "ok")

    def inject(self, plan: FaultPlan, name: str = "function") -> Injection:
        """Put a plan in, to the end of the test at the latest."""
        injection = inject_faults(self.module, name, plan)
        injection.start()
        self.addCleanup(injection.undo)
        return injection

    def hanging(self, plan: FaultPlan, count: int = 1) -> Calls:
        """Return calls that hang."""
        wait_for_waiters = watch(plan._waiters)
        calls = Calls(self.module.function, count)
        wait_for_waiters(count)
        return calls


class HangTest(WaitingTestCase):
    def test_release(self) -> None:
        """All who hang go on, to what the plan says or to the function; later calls do not hang."""
        for how, expected in (({}, "ok"), ({"returns": 3}, 3), ({"raises": OSError}, "OSError")):
            plan = FaultPlan.always(hang=True, **how)  # type: ignore[arg-type]
            injection = self.inject(plan)
            calls = self.hanging(plan, 8)
            plan.release()
            self.assertEqual([expected] * 8, calls.end())
            self.assertEqual([expected], Calls(self.module.function).end())
            injection.undo()

    def test_release_before_the_call(self) -> None:
        """It is not lost: nobody hangs at all."""
        plan = FaultPlan.always(hang=True)
        plan.release()
        self.inject(plan)
        self.assertEqual("ok", self.module.function())

    def test_undoing_lets_go(self) -> None:
        """Who hangs goes on when the plan is taken out; put in again, it hangs again."""
        plan = FaultPlan.always(hang=True)
        injection = self.inject(plan)
        for number in (1, 2):
            calls = Calls(self.module.function)
            plan.wait_until_hit(DEADLINE, hits=number)
            injection.undo()
            self.assertEqual(["ok"], calls.end())
            injection.start()

    def test_a_plan_at_two_places(self) -> None:
        """Who hangs is let go when it is taken out of the last of them."""
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
        """A release is for those who hang in it, too; so is its end."""
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

    def test_never_for_ever(self) -> None:
        """A call that nobody lets go fails after its time, and says what to do; 60 s by default."""
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
        """An hour is over when the plan is taken out, or released."""
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
        """They hang where they begin."""
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
    """What itf itself calls may have a plan in it: it does not run into that."""

    def test_time(self) -> None:
        """A clock that stands still, and sleeps that take none, do not stop a wait from ending."""
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
        """It hangs as any other coroutine function."""
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
        """Return the results of calls that hang until the loop, which goes on, lets them go."""

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
        """Twenty coroutines hang, and the one that lets them go runs."""
        plan = FaultPlan.always(hang=True)
        self.inject(plan)
        self.assertEqual(["ok"] * 20, self.run_beside(plan, plan.release, 20))

    def test_release_from_a_thread(self) -> None:
        """It wakes the loop."""
        plan = FaultPlan.always(hang=True, returns=0)
        self.inject(plan)
        self.assertEqual(
            [0], self.run_beside(plan, lambda: in_threads(1, lambda _: plan.release()))
        )

    def test_undoing_lets_go(self) -> None:
        """As with threads; a delay, too."""
        for plan in (FaultPlan.always(hang=True), FaultPlan.always(delay=3600)):
            self.assertEqual(["ok"], self.run_beside(plan, self.inject(plan).undo))

    def test_never_for_ever(self) -> None:
        """The time is that of the loop."""
        plan = FaultPlan.always(hang=True, timeout=0.01)
        self.inject(plan)
        with self.assertRaisesRegex(FaultTimeoutError, "function hung for 0.01 s"):
            asyncio.run(self.module.function())

    def test_cancelled(self) -> None:
        """A task that hangs can be cancelled, and nothing of it is left."""
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
        """A release does not stumble over a task that was left behind in it."""
        plan = FaultPlan.always(hang=True)
        self.inject(plan)
        loop = asyncio.new_event_loop()
        task = loop.create_task(self.module.function())
        loop.run_until_complete(asyncio.sleep(0.001))
        loop.close()
        self.assertEqual(1, plan.hits)
        plan.release()
        self.assertFalse(task.done())
        with self.assertLogs("asyncio", "ERROR"):  # it has something to say of such a task
            del task
            plan._waiters.clear()
            gc.collect()


class UntilHitTest(WaitingTestCase):
    def test_a_hit_that_was(self) -> None:
        """It returns at once."""
        plan = FaultPlan.nth_call(1, returns=0)
        self.inject(plan)
        self.module.function()
        plan.wait_until_hit(0)

    def test_hits_that_come(self) -> None:
        """It waits for as many as it is told, whichever thread makes them."""
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

    def test_in_vain(self) -> None:
        """The error says what there was; a wait without end is the caller's choice."""
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
        """A timeout is seconds; hits are a number from 1 on."""
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
