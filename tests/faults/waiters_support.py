"""Waiting until somebody waits: no sleep, and no race."""

from __future__ import annotations

import threading
from collections.abc import Callable

from itf.faults.waiters import Waiters

# Far more than any of it takes: who waits this long hangs.
DEADLINE = 30.0


class _Wakers(dict[object, Callable[[], object]]):
    """What wakes those who sleep, with a signal for each that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)

    def __setitem__(self, key: object, waker: Callable[[], object]) -> None:
        super().__setitem__(key, waker)
        self.came.release()


def watch(waiters: Waiters) -> Callable[[int], None]:
    """Return what waits until so many more threads sleep there; before any does."""
    waiters.wake_callbacks = wake_callbacks = _Wakers()

    def wait(count: int) -> None:
        for _ in range(count):
            if not wake_callbacks.came.acquire(timeout=DEADLINE):
                raise AssertionError("nobody sleeps")

    return wait
