from __future__ import annotations

import asyncio
import unittest
from unittest import mock

from itf.event_loops import round_timer
from itf.event_loops.round_timer import RoundTimer, install_round_timer


class RoundTimerTest(unittest.TestCase):
    """A RoundTimer records the rounds of callbacks that take too long."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.loop.set_debug(False)
        self.now = 0.0
        self.enterContext(mock.patch.object(round_timer.time, "monotonic", lambda: self.now))

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def install(self) -> RoundTimer:
        timer = install_round_timer(self.loop)
        if timer is None:
            raise AssertionError("nothing was installed")
        return timer

    def test_slow_round_is_recorded(self) -> None:
        """A callback that runs longer than slow_callback_duration is recorded, in seconds."""
        timer = self.install()
        self.loop.slow_callback_duration = 2.0

        async def work() -> None:
            self.advance(1.0)
            await asyncio.sleep(0)
            self.advance(3.0)
            await asyncio.sleep(0)

        self.loop.run_until_complete(work())
        self.assertEqual([3.0], timer.slow_rounds)

    def test_debug_mode_records_nothing(self) -> None:
        """In debug mode asyncio itself logs the slow callback."""
        timer = self.install()
        self.loop.set_debug(True)
        self.loop.slow_callback_duration = 100.0

        async def work() -> None:
            self.advance(3.0)

        self.loop.run_until_complete(work())
        self.assertEqual([], timer.slow_rounds)


if __name__ == "__main__":
    unittest.main()
