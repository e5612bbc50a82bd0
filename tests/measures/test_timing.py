from __future__ import annotations

import asyncio
import gc
from typing import Any

from itf import performance_monitor
from tests.measures.clock import ClockTestCase


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
    import unittest

    unittest.main()
