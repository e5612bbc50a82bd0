"""A clock for tests that measure: it stands still but for what they say."""

from __future__ import annotations

import unittest
from unittest import mock

__all__ = ["Clock", "ClockTestCase"]


class Clock:
    """Nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def take(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 1e9)


class ClockTestCase(unittest.TestCase):
    """Its `clock` is what `time.perf_counter_ns` says."""

    def setUp(self) -> None:
        self.clock = Clock()
        patch = mock.patch("time.perf_counter_ns", self.clock)
        patch.start()
        self.addCleanup(patch.stop)
