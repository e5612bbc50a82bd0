"""Lock that lets one call of `interleave` run at a time: its patches affect the whole process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from itf.fork_safety import fork_safe_lock
from itf.interleaving.current import current_managed_thread

__all__ = ["single_call"]

__unittest = True


class _Calls:
    """Owner of the lock, with the nesting depth of calls in the thread that holds the lock."""

    depth = 0


_calls: Final = _Calls()


@contextmanager
def single_call(timeout: float | None) -> Iterator[None]:
    """Hold the lock of `interleave` during the block.

    Args:
        timeout: Real seconds to wait for the lock; None for no limit.

    Raises:
        RuntimeError: The current thread is inside a call of `interleave` already.
        TimeoutError: Another thread holds the lock longer than the timeout.
    """
    if current_managed_thread() is not None:
        raise RuntimeError("interleave was called by a function that interleave runs; call it once")
    lock = fork_safe_lock(_calls)
    if not lock.acquire(timeout=-1 if timeout is None else timeout):
        raise TimeoutError(
            f"another thread's interleave did not end within {timeout} s; interleave "
            "patches threading, queue and time, so only one call runs at a time"
        )
    try:
        # The lock is reentrant, so a call in setup or check acquires it, too.
        if _calls.depth:
            raise RuntimeError("interleave was called by setup or check of another; call it once")
        _calls.depth += 1
        try:
            yield
        finally:
            _calls.depth -= 1
    finally:
        lock.release()
