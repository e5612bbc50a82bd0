"""A clock for tests of timing, which only advances when a test says so."""

from __future__ import annotations

import unittest
from unittest import mock

__all__ = ["Clock", "ClockTestCase"]


class Clock:
    """A replacement for `time.perf_counter_ns`."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def take(self, seconds: float) -> None:
        """Advance the clock."""
        self.now += round(seconds * 1e9)


class ClockTestCase(unittest.TestCase):
    """Replaces `time.perf_counter_ns` by its attribute `clock`."""

    def setUp(self) -> None:
        self.clock = Clock()
        patch = mock.patch("time.perf_counter_ns", self.clock)
        patch.start()
        self.addCleanup(patch.stop)
