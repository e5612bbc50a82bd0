"""How those who wait for a plan are woken: calls that hang, tests that wait for a hit."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable

# By a name of our own: a test that has it fail, or counts its calls, means its own.
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["Waiters"]

__unittest = True

# How often to look whether something has changed that another process does.
_SHARED_POLL: Final = 0.005

# Where this process does it, whoever does wakes us; this is for nobody's sake
# but that of a wake-up that a signal handler or a fork came between.
_LOCAL_POLL: Final = 1.0


class Waiters:
    """Threads and coroutines that wait for a condition.

    Nobody holds a lock here, which a forked child could find held for ever.

    Attributes:
        wake_callbacks: What wakes each of them; empty if nobody sleeps.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        self.wake_callbacks: dict[object, Callable[[], object]] = {}

    def wake_all(self) -> None:
        """Have everybody look again."""
        for waker in list(self.wake_callbacks.values()):
            waker()

    def clear(self) -> None:
        """Take note that this is a new process, in which nobody sleeps."""
        self.wake_callbacks.clear()

    def wait_for(
        self,
        condition: Callable[[], bool],
        seconds: float | None,
        is_shared: Callable[[], bool],
    ) -> bool:
        """Sleep until a condition holds, and say whether it does.

        Args:
            condition: What to wait for.
            seconds: How long at most; None is for ever.
            is_shared: Says whether another process may bring it event_data.
        """
        end = None if seconds is None else monotonic() + seconds
        # A lock, not an Event: a test may have the wait of that fail, or hang.
        asleep = threading.Lock()
        asleep.acquire()
        self.wake_callbacks[asleep] = functools.partial(_let_go, asleep)
        try:
            while not condition():
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    return False
                asleep.acquire(
                    timeout=_poll_interval(left, _SHARED_POLL if is_shared() else _LOCAL_POLL)
                )
        finally:
            self.wake_callbacks.pop(asleep, None)
        return True

    async def wait_for_async(
        self,
        condition: Callable[[], bool],
        seconds: float | None,
        is_shared: Callable[[], bool],
    ) -> bool:
        """Wait as `wait_for` does, in a coroutine, by the clock of its loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        key = object()
        try:
            while True:
                future = loop.create_future()
                self.wake_callbacks[key] = functools.partial(_finish, loop, future)
                # Only now: what happens from here on finishes the future.
                if condition():
                    return True
                left = None if end is None else end - loop.time()
                if left is not None and left <= 0:
                    return False
                # Without a slice where nothing needs it: on a loop whose clock
                # jumps from timer to timer, slices would be gone in no time.
                wait = _poll_interval(left, _SHARED_POLL) if is_shared() else left
                timer = None if wait is None else loop.call_later(wait, _set, future)
                try:
                    await future
                finally:
                    if timer is not None:
                        timer.cancel()
        finally:
            self.wake_callbacks.pop(key, None)


def _let_go(lock: threading.Lock) -> None:
    # Who looks anew for one reason does so for all: a second one may find it open.
    with contextlib.suppress(RuntimeError):
        lock.release()


def _finish(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    """Finish a future from any thread."""
    # A loop that was closed meanwhile has nobody to wake.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_set, future)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _poll_interval(left: float | None, longest: float) -> float:
    return longest if left is None else min(left, longest)
