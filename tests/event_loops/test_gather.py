from __future__ import annotations

import asyncio
import contextvars
import re
import threading
import unittest
from typing import Any
from unittest import mock

from itf import AsyncDeadlockError, TaskTimeoutError, async_test_runner
from itf.event_loops import task_deadlines


async def give(value: Any, seconds: float = 0) -> Any:
    await asyncio.sleep(seconds)
    return value


async def fail(error: BaseException, seconds: float = 0) -> Any:
    await asyncio.sleep(seconds)
    raise error


async def give_up(seconds: float = 0) -> None:
    await asyncio.sleep(seconds)
    raise asyncio.CancelledError("enough")


async def stuck() -> None:
    await asyncio.Event().wait()


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.runner = self.enterContext(async_test_runner(virtual_time=True))

    def together(self, *coroutines: Any, **options: Any) -> Any:
        """Call run_parallel in a runner with virtual time."""
        return self.runner.run(self.runner.run_parallel(*coroutines, **options))


class LimitTest(Case):
    """limit=n: at most n coroutines run at the same time."""

    def test_no_more_than_the_limit_run_at_once(self) -> None:
        """A coroutine starts when another one has ended, in the order of the arguments."""
        running, most, begun = 0, 0, list[int]()

        async def work(number: int) -> int:
            nonlocal running, most
            begun.append(number)
            running += 1
            most = max(most, running)
            await asyncio.sleep(10 - number)
            running -= 1
            return number

        results = self.together(*map(work, range(10)), limit=3)
        self.assertEqual((3, list(range(10)), list(range(10))), (most, begun, results))

    def test_a_limit_above_the_number_has_no_effect(self) -> None:
        """A limit larger than the number of coroutines has no effect."""
        self.assertEqual([1, 2], self.together(give(1, 5), give(2, 5), limit=100))

    def test_ten_thousand_coroutines(self) -> None:
        """Ten thousand coroutines return their results, with a limit and without."""
        for limit in (None, 100):
            results = self.together(*map(give, range(10_000)), limit=limit)
            self.assertEqual(list(range(10_000)), results)

    def test_after_a_failure_no_more_start(self) -> None:
        """After a failure, waiting coroutines are closed without a warning."""
        begun: list[int] = []

        async def note(number: int) -> None:
            begun.append(number)

        waiting = [note(number) for number in range(5)]
        with self.assertRaisesRegex(ValueError, "^no$"):
            self.together(fail(ValueError("no")), *waiting, limit=1)
        self.assertEqual([], begun)
        self.assertEqual([None] * 5, [coroutine.cr_frame for coroutine in waiting])

    def test_each_has_its_own_context(self) -> None:
        """Each coroutine sees a copy of the caller's context variables."""
        variable = contextvars.ContextVar("variable", default=0)

        async def change() -> int:
            seen = variable.get()
            variable.set(seen + 1)
            await asyncio.sleep(1)
            return seen

        async def main() -> Any:
            variable.set(7)
            return await self.runner.run_parallel(*[change() for _ in range(4)], limit=1)

        self.assertEqual([7, 7, 7, 7], self.runner.run(main()))

    def test_wrong_limits_raise_and_close_the_coroutines(self) -> None:
        """A limit of 0, a str or True is an error, and the coroutines are closed."""
        for limit, kind, message in (
            (0, ValueError, "^limit must be at least 1, got 0$"),
            (-3, ValueError, "^limit must be at least 1, got -3$"),
            ("3", TypeError, "^limit must be an int, got '3'$"),
            (True, TypeError, "^limit must be an int, got True$"),
        ):
            coroutine = give(1)
            with self.subTest(limit), self.assertRaisesRegex(kind, message):
                self.together(coroutine, limit=limit)
            self.assertIsNone(coroutine.cr_frame)

    def test_the_timeout_error_counts_coroutines_not_started(self) -> None:
        """The timeout error has the number of coroutines that were not started."""
        with self.assertRaisesRegex(
            TaskTimeoutError, r"\(stuck\)(.|\n)*\n  3 more had not started\n"
        ):
            self.together(*[stuck() for _ in range(5)], limit=2, timeout=1e-9)


class FailuresTest(Case):
    """The error of every coroutine that fails is reported."""

    def test_errors_of_the_same_round_are_a_group(self) -> None:
        """Errors of the same round are a group, in the order of the arguments."""
        with self.assertRaises(ExceptionGroup) as caught:
            self.together(fail(KeyError(1), 5), give(2), fail(ValueError(3), 5))
        self.assertEqual("2 of 3 coroutines failed (2 sub-exceptions)", str(caught.exception))
        self.assertEqual([KeyError, ValueError], [type(e) for e in caught.exception.exceptions])

    def test_an_error_during_cancellation_is_raised_too(self) -> None:
        """An error that a cancelled coroutine raises in its clean-up is in the group."""

        async def stumble() -> None:
            try:
                await stuck()
            finally:
                await asyncio.sleep(5)
                raise KeyError("stumbled")

        with self.assertRaises(ExceptionGroup) as caught:
            self.together(stumble(), fail(ValueError("first")))
        self.assertEqual([KeyError, ValueError], [type(e) for e in caught.exception.exceptions])

    def test_exceptions_as_results(self) -> None:
        """return_exceptions=True cancels nothing and returns errors in place of results."""
        results = self.together(
            give(1, 9), fail(ValueError("no"), 1), give(3, 5), return_exceptions=True
        )
        self.assertEqual([1, "ValueError('no')", 3], [results[0], repr(results[1]), results[2]])

    def test_exceptions_as_results_with_a_limit(self) -> None:
        """With return_exceptions=True, a failure does not keep others from starting."""
        results = self.together(
            *[fail(ValueError(number)) for number in range(20)], limit=3, return_exceptions=True
        )
        self.assertEqual([(n,) for n in range(20)], [error.args for error in results])

    def test_a_coroutine_that_raises_cancelled_error_fails(self) -> None:
        """A coroutine that raises CancelledError fails; the others are cancelled."""
        tidied: list[bool] = []

        async def tidy() -> None:
            try:
                await stuck()
            finally:
                tidied.append(True)

        with self.assertRaisesRegex(asyncio.CancelledError, "^enough$"):
            self.together(give_up(), tidy())
        self.assertEqual([True], tidied)

    def test_own_cancellation_is_in_the_group_of_errors(self) -> None:
        """The group has its CancelledError, and none of the tasks cancelled afterwards."""
        with self.assertRaises(BaseExceptionGroup) as caught:
            self.together(fail(ValueError(1), 5), give_up(5), stuck())
        self.assertEqual("2 of 3 coroutines failed (2 sub-exceptions)", str(caught.exception))
        self.assertEqual(
            [ValueError, asyncio.CancelledError], [type(e) for e in caught.exception.exceptions]
        )

    def test_own_cancellation_as_a_result(self) -> None:
        """return_exceptions=True returns the CancelledError of a coroutine."""
        results = self.together(give_up(), give(2), return_exceptions=True)
        self.assertEqual("CancelledError('enough')", repr(results[0]))
        self.assertEqual(2, results[1])

    def test_system_exit_is_never_a_result(self) -> None:
        """SystemExit is raised even with return_exceptions=True."""
        with self.assertRaises(SystemExit):
            self.together(give(1), fail(SystemExit(3)), return_exceptions=True)

    def test_a_timeout_as_a_result(self) -> None:
        """After a timeout, each place has a result or an error for that coroutine."""
        results = self.runner.run(
            self.runner.run_parallel(
                give(1), give(2, 3600), give(3), limit=1, timeout=5, return_exceptions=True
            ),
            timeout=None,
        )
        self.assertEqual(1, results[0])
        self.assertRegex(str(results[1]), r"^timed out after 5 s:\n  Task-\d+ \(give\)\n    at ")
        self.assertEqual("timed out after 5 s, before the coroutine was started", str(results[2]))


class TimeoutTest(Case):
    """A timeout error shows the stack of each task."""

    def test_tasks_with_the_same_stack_share_one_entry(self) -> None:
        """A thousand tasks with the same stack share one entry of the message."""

        async def elsewhere() -> None:
            await asyncio.Lock().acquire()
            await stuck()

        with self.assertRaises(TaskTimeoutError) as caught:
            self.together(*[stuck() for _ in range(1000)], elsewhere(), timeout=1e-9)
        text = str(caught.exception)
        self.assertRegex(text, r"\n  (Task-\d+, ){9}Task-\d+ and 990 more \(stuck\)\n")
        self.assertRegex(text, r"\n  Task-\d+ \(.*elsewhere\)\n")
        self.assertLess(len(text), 2000)

    def test_a_given_timeout_counts_virtual_seconds(self) -> None:
        """An explicit timeout counts virtual seconds; the default counts real ones."""
        self.assertEqual([1], self.together(give(1, 3600)))
        with self.assertRaisesRegex(TaskTimeoutError, r"\n  the virtual clock stands at 3610 s$"):
            self.together(give(1, 3600), timeout=10)
        with self.assertRaisesRegex(TaskTimeoutError, "^timed out after 10 s"):
            self.runner.run(give(1, 3600), timeout=10)
        self.assertEqual(1, self.runner.run(self.runner.run_with_timeout(give(1, 9), 10)))

    def test_a_given_timeout_counts_real_seconds_too(self) -> None:
        """An explicit timeout also expires if the virtual clock does not advance."""

        async def spin() -> None:
            while True:
                await asyncio.sleep(0)

        with self.assertRaisesRegex(TaskTimeoutError, r"spin\)(.|\n)*clock stands at 0 s$"):
            self.runner.run(spin(), timeout=0.05)

    def test_the_error_names_what_kept_the_virtual_clock_from_jumping(self) -> None:
        """The timeout error names the thread for which the clock had to wait."""
        go, busy = threading.Event(), threading.Event()

        def work() -> None:
            busy.set()
            go.wait(60)

        thread = threading.Thread(target=work, name="pump")
        self.addCleanup(thread.join)
        self.addCleanup(go.set)

        async def wait() -> None:
            thread.start()
            busy.wait(60)
            await stuck()

        with self.assertRaisesRegex(
            TaskTimeoutError,
            r"clock stands at 0(\.\d+)? s, and runs at the speed of the real clock because of "
            rf"thread 'pump' \(at .*called from {re.escape(__file__)}:\d+ in .*work\)$",
        ):
            self.runner.run(wait(), timeout=0.05)


class DeadlockTest(Case):
    """A deadlock in a virtual loop ends the run at once and leaves no task."""

    def test_a_deadlock_is_raised_with_any_timeout(self) -> None:
        """A timeout does not keep a deadlock from being detected."""
        for timeout in (None, 5, 0.5):
            with self.subTest(timeout), self.assertRaises(AsyncDeadlockError) as caught:
                self.runner.run(self.runner.run_parallel(stuck(), stuck(), timeout=timeout))
            self.assertRegex(str(caught.exception), r"^all 3 tasks are blocked")
            self.assertRegex(str(caught.exception), r"Task-\d+, Task-\d+ \(stuck\)\n")
            self.assertIn("(AsyncTestRunner.run_parallel)", str(caught.exception))

    def test_all_tasks_have_ended_when_the_error_is_raised(self) -> None:
        """All tasks have been cancelled and awaited when the deadlock is raised."""
        tidied: list[str] = []

        async def tidy(name: str) -> None:
            try:
                await stuck()
            finally:
                await asyncio.sleep(3600)
                tidied.append(name)

        with self.assertRaises(AsyncDeadlockError):
            self.together(tidy("a"), tidy("b"))
        self.assertEqual(["a", "b"], sorted(tidied))

    def test_a_task_that_suppresses_cancellation_is_reported_at_once(self) -> None:
        """In a deadlock, a task that suppresses the cancellation causes no grace period."""

        async def refuse() -> None:
            while not go.is_set():
                try:
                    await go.wait()
                except asyncio.CancelledError:
                    continue

        async def let_go() -> None:
            go.set()
            await asyncio.sleep(0)

        go = asyncio.Event()
        with mock.patch.object(task_deadlines, "CANCEL_GRACE", 1e6):
            with self.assertRaises(AsyncDeadlockError) as caught:
                self.runner.run(refuse())
            self.runner.run(let_go())
        self.assertRegex(caught.exception.__notes__[0], "^1 task is still running")

    def test_the_loop_works_after_a_deadlock(self) -> None:
        """After a deadlock the same loop runs another coroutine."""
        with self.assertRaises(AsyncDeadlockError):
            self.runner.run(stuck())
        self.assertEqual(1, self.runner.run(give(1, 3600)))


if __name__ == "__main__":
    unittest.main()
