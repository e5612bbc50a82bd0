"""Wait until a thread waits for a plan, without sleeping and without a race."""

from __future__ import annotations

import threading
from collections.abc import Callable

from itf.faults.waiters import Waiters

# Seconds; far more than any wait takes.
DEADLINE = 30.0


class _CountedCallbacks(dict[object, Callable[[], object]]):
    """Callbacks that wake waiters, with a semaphore that counts additions."""

    def __init__(self) -> None:
        super().__init__()
        self.added = threading.Semaphore(0)

    def __setitem__(self, key: object, callback: Callable[[], object]) -> None:
        super().__setitem__(key, callback)
        self.added.release()


def watch(waiters: Waiters) -> Callable[[int], None]:
    """Return a function that waits for that many further waiters; call before any waits."""
    waiters.wake_callbacks = wake_callbacks = _CountedCallbacks()

    def wait(count: int) -> None:
        for _ in range(count):
            if not wake_callbacks.added.acquire(timeout=DEADLINE):
                raise AssertionError("no thread waits")

    return wait
