from __future__ import annotations

import asyncio
import gc
import threading
import unittest
from typing import Any
from unittest import mock

from itf import performance_monitor
from tests.measures.clock import ClockTestCase


class TasksTestCase(ClockTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.monitor = performance_monitor()
        run = asyncio.Handle._run  # type: ignore[attr-defined]
        self.addCleanup(
            lambda: self.assertIs(run, asyncio.Handle._run, "asyncio is as it was")  # type: ignore[attr-defined]
        )

    def told(self, operation: str = "op") -> tuple[int, float, float]:
        stats = self.monitor.get_stats(operation)
        return stats["count"], stats["running"], stats["suspended"]


class SuspendedTest(TasksTestCase):
    def test_running_and_suspended(self) -> None:
        """What others did while the task stood still is suspended time."""

        async def other() -> None:
            self.clock.take(100)

        async def work() -> None:
            async with self.monitor.measure("op"):
                self.clock.take(1)
                await asyncio.create_task(other())
                self.clock.take(2)
                await asyncio.sleep(0)
                self.clock.take(4)

        asyncio.run(work())
        self.assertEqual((1, 7.0, 100.0), self.told())
        self.assertEqual(107.0, self.monitor.get_stats("op")["total"])

    def test_many_tasks_at_once(self) -> None:
        """Each has its own times, whatever the order in which they run."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                for _ in range(3):
                    self.clock.take(1)
                    await asyncio.sleep(0)

        async def all_of_them() -> None:
            await asyncio.gather(*(work() for _ in range(10)))

        asyncio.run(all_of_them())
        count, running, suspended = self.told()
        self.assertEqual((10, 30.0), (count, running))
        self.assertGreaterEqual(suspended, 10 * 2 * 9.0)

    def test_blocks_inside_one_another(self) -> None:
        """The outer one's time is the inner one's and its own."""

        async def other() -> None:
            self.clock.take(10)

        async def work() -> None:
            async with self.monitor.measure("outer"):
                self.clock.take(1)
                await asyncio.create_task(other())
                async with self.monitor.measure("inner"):
                    self.clock.take(2)
                    await asyncio.create_task(other())

        asyncio.run(work())
        self.assertEqual((1, 3.0, 20.0), self.told("outer"))
        self.assertEqual((1, 2.0, 10.0), self.told("inner"))

    def test_a_plain_with_in_a_coroutine(self) -> None:
        """It counts all of the time, and says nothing of what was suspended."""

        async def work() -> None:
            with self.monitor.measure("op"):
                await asyncio.sleep(0)
                self.clock.take(1)

        asyncio.run(work())
        self.assertEqual(1.0, self.monitor.get_stats("op")["total"])
        self.assertNotIn("suspended", self.monitor.get_stats("op"))

    def test_a_block_in_a_function_that_is_awaited(self) -> None:
        """It is the task that counts, however deep in it the block is."""

        async def inner() -> None:
            async with self.monitor.measure("op"):
                await asyncio.create_task(other())

        async def other() -> None:
            self.clock.take(5)

        async def outer() -> None:
            await inner()

        asyncio.run(outer())
        self.assertEqual((1, 0.0, 5.0), self.told())

    def test_futures_threads_and_timers(self) -> None:
        """Whatever a task waits for, it is suspended."""

        suspended = threading.Event()

        def in_a_thread() -> None:
            suspended.wait(30)
            self.clock.take(3)

        async def work() -> None:
            loop = asyncio.get_running_loop()
            async with self.monitor.measure("op"):
                future = loop.create_future()
                loop.call_soon(lambda: (self.clock.take(1), future.set_result(None)))
                await future
                loop.call_soon(suspended.set)
                await asyncio.to_thread(in_a_thread)
                await asyncio.wait_for(asyncio.sleep(0.001), 30)
                self.clock.take(10)

        asyncio.run(work())
        self.assertEqual((1, 10.0, 4.0), self.told())

    def test_in_debug_mode_and_in_a_loop_of_unittest(self) -> None:
        """The loop of IsolatedAsyncioTestCase is a loop in debug mode."""
        monitor, clock = self.monitor, self.clock

        class Case(unittest.IsolatedAsyncioTestCase):
            async def test(self) -> None:
                async with monitor.measure("op"):
                    clock.take(1)
                    await asyncio.sleep(0)

        result = unittest.TestResult()
        Case("test").run(result)
        self.assertTrue(result.wasSuccessful(), result.errors)
        self.assertEqual((1, 1.0, 0.0), self.told())

    def test_loops_of_several_threads(self) -> None:
        """Each has its own steps."""

        async def work() -> None:
            for _ in range(50):
                async with self.monitor.measure("op"):
                    await asyncio.sleep(0)

        threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual((200, 0.0, 0.0), self.told())

    def test_eager_tasks(self) -> None:
        """A task that begins before the loop runs it is told apart as well."""
        if not hasattr(asyncio, "eager_task_factory"):
            self.skipTest("needs Python 3.12")

        async def other() -> None:
            await asyncio.sleep(0)
            self.clock.take(10)

        async def work() -> None:
            async with self.monitor.measure("op"):
                self.clock.take(1)
                await asyncio.create_task(other())

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            await asyncio.create_task(work())

        asyncio.run(main())
        self.assertEqual((1, 1.0, 10.0), self.told())


class EndsTest(TasksTestCase):
    def test_a_body_that_raises(self) -> None:
        """The sample counts, and the error goes on."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                await asyncio.sleep(0)
                raise KeyError("key")

        with self.assertRaises(KeyError):
            asyncio.run(work())
        self.assertEqual((1, 0.0, 0.0), self.told())

    def test_a_task_that_is_cancelled(self) -> None:
        """In the body it counts until then; on its way in there is no sample."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                await asyncio.sleep(3600)

        async def main() -> None:
            for steps in (0, 1, 5):
                task = asyncio.create_task(work())
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task

        asyncio.run(main())
        self.assertEqual(1, self.told()[0])

    def test_a_coroutine_that_is_dropped(self) -> None:
        """One that nobody runs to its end leaves asyncio as it was."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                await asyncio.get_running_loop().create_future()

        async def main() -> Any:
            coroutine = work()
            asyncio.create_task(coroutine)  # noqa: RUF006 - dropped on purpose
            for _ in range(4):
                await asyncio.sleep(0)
            return coroutine

        # The loop ends, and cancels it.
        asyncio.run(main())
        self.assertEqual(1, self.told()[0])

    def test_a_task_that_is_dropped(self) -> None:
        """One that is collected while it stands still leaves asyncio as it was."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                await asyncio.get_running_loop().create_future()

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            asyncio.create_task(work())  # noqa: RUF006 - dropped on purpose
            for _ in range(4):
                await asyncio.sleep(0)
            self.clock.take(2)
            gc.collect()

        asyncio.run(main())
        self.assertEqual((1, 0.0, 2.0), self.told())

    def test_a_block_that_another_task_leaves(self) -> None:
        """It ends there, and leaves asyncio as it was."""
        timing = self.monitor.measure("op")

        async def leave() -> None:
            await timing.__aexit__(None, None, None)

        async def main() -> None:
            await timing.__aenter__()
            await asyncio.create_task(leave())

        asyncio.run(main())
        self.assertEqual(1, self.told()[0])

    def test_without_a_task(self) -> None:
        """Where no asyncio task runs the coroutine, it is timed as a whole."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                self.clock.take(2)

        coroutine = work()
        with self.assertRaises(StopIteration):
            coroutine.send(None)
        self.assertEqual(2.0, self.monitor.get_stats("op")["total"])
        self.assertNotIn("suspended", self.monitor.get_stats("op"))

    def test_a_loop_that_runs_its_steps_in_another_way(self) -> None:
        """Without the place where asyncio runs a step, the sample is there all the same."""

        async def work() -> None:
            async with self.monitor.measure("op"):
                self.clock.take(2)
                await asyncio.sleep(0)

        with mock.patch("itf.measures.tasks._RUN", "_no_such_name"):
            asyncio.run(work())
        self.assertEqual(2.0, self.monitor.get_stats("op")["total"])
        self.assertNotIn("suspended", self.monitor.get_stats("op"))

    def test_somebody_else_who_wraps_it(self) -> None:
        """Ours is not put back over theirs, and works again when theirs is gone."""

        async def work(wrap: bool) -> None:
            async with self.monitor.measure("op"):
                if wrap:
                    inner = asyncio.Handle._run  # type: ignore[attr-defined]

                    def theirs(handle: Any) -> Any:
                        return inner(handle)

                    patch = mock.patch.object(asyncio.Handle, "_run", theirs)
                    patch.start()
                    patches.append(patch)
                await asyncio.sleep(0)
                self.clock.take(1)

        patches: list[Any] = []
        asyncio.run(work(True))
        asyncio.run(work(False))
        patches[0].stop()
        asyncio.run(work(False))
        self.assertEqual((3, 3.0, 0.0), self.told())
