"""Measures how long callbacks block an event loop."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any

from itf._private import loop_selector, replace_loop_selector
from itf.event_loops.wrapped_selector import WrappedSelector

__all__ = ["RoundTimer", "install_round_timer"]

__unittest = True


class RoundTimer(WrappedSelector):
    """Measures how long the callbacks of each round run, without asyncio's debug mode.

    A round is what a loop runs between two calls of `select`.
    """

    def __init__(self, inner: selectors.BaseSelector, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(inner)
        self._loop: Any = loop
        self._start = time.monotonic()
        self.slow_rounds: list[float] = []

    def start_round(self) -> None:
        """Start the clock: callbacks run from now on."""
        self._start = time.monotonic()

    def finish_round(self) -> None:
        """Record the duration since `start_round` if it is too long."""
        duration = time.monotonic() - self._start
        if duration > self._loop.slow_callback_duration and not self._loop.get_debug():
            self.slow_rounds.append(duration)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as the inner selector does; this time is not part of a round."""
        self.finish_round()
        events = self.inner.select(timeout)
        self.start_round()
        return events


def install_round_timer(loop: asyncio.AbstractEventLoop) -> RoundTimer | None:
    """Put a `RoundTimer` around the selector of a loop.

    Returns:
        The timer; None for a loop of another kind (uvloop, Windows' proactor loop).
    """
    selector = loop_selector(loop)
    if selector is None:
        return None
    timer = RoundTimer(selector, loop)
    replace_loop_selector(loop, timer)
    return timer
