from __future__ import annotations

import asyncio
import contextlib
import threading
import unittest
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

from itf import TaskTimeoutError, async_test_runner
from itf.event_loops import task_deadlines


async def stuck() -> None:
    await asyncio.Event().wait()


class LeftoversTest(unittest.TestCase):
    """What is left in a runner at its end is ended and named."""

    def test_tasks_are_named_with_their_place(self) -> None:
        """A left task is named with its stack in `leftovers` and on the timeline."""

        async def leave() -> None:
            self.task = asyncio.create_task(stuck(), name="pump")
            await asyncio.sleep(0)

        with async_test_runner() as runner:
            runner.run(leave())
            self.assertEqual((), runner.leftovers)
        (leftover,) = runner.leftovers
        self.assertRegex(
            leftover, rf"^pump \(stuck\) at {__file__}:\d+ in stuck at .* in Event.wait$"
        )
        self.assertTrue(self.task.cancelled())
        self.assertEqual(
            {"action": "ended", "left": [leftover]}, runner.timeline.events("async")[-1]["data"]
        )

    def test_async_generators_are_named_with_their_place(self) -> None:
        """A left asynchronous generator is named with its line, and closed."""
        closed: list[bool] = []

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                closed.append(True)

        async def take_one() -> None:
            self.generator = numbers()
            await anext(self.generator)

        with async_test_runner(virtual_time=True) as runner:
            runner.run(take_one())
        (leftover,) = runner.leftovers
        self.assertRegex(leftover, rf"^async generator .*numbers at {__file__}:\d+ in .*numbers$")
        self.assertEqual([True], closed)

    def test_busy_threads_are_named_with_their_function(self) -> None:
        """A busy thread is named with its function, and awaited for the grace period."""
        busy, go = threading.Event(), threading.Event()

        def work() -> None:
            busy.set()
            go.wait(60)

        async def leave() -> None:
            self.task = asyncio.ensure_future(asyncio.to_thread(work))
            await asyncio.sleep(0)

        async def end() -> None:
            try:
                await stuck()
            finally:
                go.set()

        async def leave_both() -> None:
            await leave()
            self.ender = asyncio.ensure_future(end())
            await asyncio.sleep(0)

        with async_test_runner() as runner:
            runner.run(leave_both())
            self.assertTrue(busy.wait(60))
        self.assertRegex(
            "\n".join(runner.leftovers),
            r"thread 'async_test_runner_0' \(.*\.work, at .*threading.py:\d+ in ",
        )

    def test_an_idle_thread_is_no_leftover(self) -> None:
        """An idle thread of the executor is not reported."""
        with async_test_runner() as runner:
            runner.run(asyncio.to_thread(int))
        self.assertEqual((), runner.leftovers)

    def test_tasks_created_during_cancellation_are_cancelled_too(self) -> None:
        """A task that is created while another one is cancelled is cancelled too."""
        ended: list[int] = []

        async def hydra(heads: int) -> None:
            try:
                await stuck()
            finally:
                ended.append(heads)
                if heads:
                    self.task = asyncio.create_task(hydra(heads - 1), name=f"head{heads - 1}")
                    await asyncio.sleep(0)

        async def leave() -> None:
            self.task = asyncio.create_task(hydra(5), name="head5")
            await asyncio.sleep(0)

        for virtual in (False, True):
            ended.clear()
            with async_test_runner(virtual_time=virtual) as runner:
                runner.run(leave())
            self.assertEqual([5, 4, 3, 2, 1, 0], ended)
            self.assertEqual(6, len(runner.leftovers))

    def test_an_endless_chain_of_new_tasks_is_an_error(self) -> None:
        """An endless chain of new tasks is an error after the grace period."""

        async def immortal() -> None:
            try:
                await stuck()
            finally:
                if not self.over:
                    self.task = asyncio.create_task(immortal(), name="immortal")
                    await asyncio.sleep(0)

        async def leave() -> None:
            self.task = asyncio.create_task(immortal())
            await asyncio.sleep(0)

        self.over = False
        with (
            mock.patch.object(task_deadlines, "CANCEL_GRACE", 0.05),
            self.assertRaisesRegex(TaskTimeoutError, r"^1 task is still running(.|\n)*immortal"),
            async_test_runner() as runner,
        ):
            runner.run(leave())
        self.over = True
        del self.task

    def test_the_error_of_a_closed_generator_is_raised(self) -> None:
        """The error that a generator raises when it is closed is raised at the end."""

        async def broken() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                raise LookupError("in its clean-up")

        async def take_one() -> None:
            self.generator = broken()
            await anext(self.generator)

        with (
            self.assertRaisesRegex(LookupError, "in its clean-up"),
            async_test_runner() as runner,
        ):
            runner.run(take_one())

    def test_a_generator_that_does_not_close_is_an_error(self) -> None:
        """A generator that cannot be closed is an error after the grace period."""

        async def clinging() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                while not self.over:
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0.01)

        async def take_one() -> None:
            self.generator: Any = clinging()
            await anext(self.generator)

        self.over = False
        with (
            mock.patch.object(task_deadlines, "CANCEL_GRACE", 0.05),
            self.assertRaisesRegex(TaskTimeoutError, "^1 task is still running"),
            async_test_runner() as runner,
        ):
            runner.run(take_one())
        self.over = True

    def test_a_loop_of_a_policy_is_used(self) -> None:
        """The runner's loop comes from asyncio.new_event_loop."""
        made: list[asyncio.AbstractEventLoop] = []

        class OtherLoop(asyncio.SelectorEventLoop):
            def __init__(self) -> None:
                super().__init__()
                made.append(self)

        with (
            mock.patch.object(asyncio, "new_event_loop", OtherLoop),
            async_test_runner() as runner,
        ):
            runner.run(asyncio.sleep(0))
        self.assertEqual([True], [loop.is_closed() for loop in made])


if __name__ == "__main__":
    unittest.main()
