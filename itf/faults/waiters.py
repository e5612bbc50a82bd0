"""Waiting for a plan, with notification: calls that hang, and tests that wait for a hit."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable

# Bound at import, so that a fault injected into time.monotonic does not break itf itself.
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

__all__ = ["Waiters"]

__unittest = True

# Poll interval in seconds while another process may change the condition. Such a process
# cannot wake a waiter here.
_SHARED_POLL: Final = 0.005

# Poll interval in seconds while only this process changes the condition. A signal or a
# fork can lose a wake-up, so no wait relies on notification alone.
_LOCAL_POLL: Final = 1.0


class Waiters:
    """Threads and coroutines that wait for a condition.

    No lock is held while waiting, because a forked child would inherit it locked.

    Attributes:
        wake_callbacks: One function for each waiter, which wakes it.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        self.wake_callbacks: dict[object, Callable[[], object]] = {}

    def wake_all(self) -> None:
        """Make every waiter check its condition again."""
        for waker in list(self.wake_callbacks.values()):
            waker()

    def clear(self) -> None:
        """Forget all waiters; called in a forked child, where none of them runs."""
        self.wake_callbacks.clear()

    def wait_for(
        self,
        condition: Callable[[], bool],
        seconds: float | None,
        is_shared: Callable[[], bool],
    ) -> bool:
        """Wait until a condition holds; return whether it does.

        Args:
            condition: Returns whether the wait is over.
            seconds: Seconds to wait at most; None waits forever.
            is_shared: Returns whether another process may change the condition.
        """
        end = None if seconds is None else monotonic() + seconds
        # A Lock, not an Event: a test may inject a fault into Event.wait, which must not affect
        # this wait.
        blocked = threading.Lock()
        blocked.acquire()
        self.wake_callbacks[blocked] = functools.partial(_release, blocked)
        try:
            while not condition():
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    return False
                blocked.acquire(
                    timeout=_poll_interval(left, _SHARED_POLL if is_shared() else _LOCAL_POLL)
                )
        finally:
            self.wake_callbacks.pop(blocked, None)
        return True

    async def wait_for_async(
        self,
        condition: Callable[[], bool],
        seconds: float | None,
        is_shared: Callable[[], bool],
    ) -> bool:
        """Wait as `wait_for` does, in a coroutine, by the clock of its event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        key = object()
        try:
            while True:
                future = loop.create_future()
                self.wake_callbacks[key] = functools.partial(_finish, loop, future)
                # Checked after the future is registered, so that a change from here on finishes the
                # future.
                if condition():
                    return True
                left = None if end is None else end - loop.time()
                if left is not None and left <= 0:
                    return False
                # Without polling unless another process is involved: the clock of a virtual-time
                # loop jumps from timer to timer, and polling would use up the timeout at once.
                wait = _poll_interval(left, _SHARED_POLL) if is_shared() else left
                timer = None if wait is None else loop.call_later(wait, _set, future)
                try:
                    await future
                finally:
                    if timer is not None:
                        timer.cancel()
        finally:
            self.wake_callbacks.pop(key, None)


def _release(lock: threading.Lock) -> None:
    # Another wake-up may have released the lock already.
    with contextlib.suppress(RuntimeError):
        lock.release()


def _finish(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    """Finish a future from any thread."""
    # The loop may have been closed since; then no coroutine waits.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_set, future)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _poll_interval(left: float | None, longest: float) -> float:
    return longest if left is None else min(left, longest)
