from __future__ import annotations

import asyncio
import signal
import unittest
from collections.abc import Callable, Coroutine
from typing import Any

from itf.event_loops.reusable import ReusableLoop


async def end_executor(loop: ReusableLoop) -> None:
    await asyncio.to_thread(int)
    await loop.shutdown_default_executor()


async def end_generators(loop: ReusableLoop) -> None:
    await loop.shutdown_asyncgens()


async def handle_signal(loop: ReusableLoop) -> None:
    loop.add_signal_handler(signal.SIGUSR2, int)
    loop.remove_signal_handler(signal.SIGUSR2)


async def patch(loop: ReusableLoop) -> None:
    loop.create_task = None  # type: ignore[assignment]


async def use(loop: ReusableLoop) -> None:
    await asyncio.to_thread(int)
    async with asyncio.timeout(60):
        await asyncio.sleep(0.001)


class CleanTest(unittest.TestCase):
    """Only a loop that is as new goes to the next test."""

    def is_clean_after(self, function: Callable[[ReusableLoop], Coroutine[Any, Any, None]]) -> bool:
        loop = ReusableLoop()
        try:
            loop.run_task(loop.create_task(function(loop)))
            return loop.is_clean
        finally:
            loop.close()
            if loop.executor is not None:
                loop.executor.end(60)

    def test_use_leaves_it_clean(self) -> None:
        """Timers that are over, and functions in threads."""
        self.assertTrue(self.is_clean_after(use))

    def test_what_cannot_be_undone_does_not(self) -> None:
        """A loop whose executor was shut down would refuse the next test its threads."""
        for function in (end_executor, end_generators, handle_signal, patch):
            self.assertFalse(self.is_clean_after(function), function.__name__)


if __name__ == "__main__":
    unittest.main()
