"""Semaphores of the system in the shared memory of a roster.

They are `multiprocessing`'s own, put where this library wants them: they have
no name that could outlive a test, need no process that watches over names, and
go to a new process with the memory they are in.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from typing import Any, Final

from itf.exceptions import WorkerError
from itf.sync.segment import SharedSegment
from itf.sync.semlock import semaphore_at, semaphore_named, value_of

__all__ = ["SEMAPHORE_SIZE", "SystemSemaphore", "has_glibc", "poll_seconds", "semaphore_value"]

__unittest = True

SEMAPHORE_SIZE: Final = 64
"""How much memory a semaphore is given: a cache line, of which sem_t takes half."""

# How long to sleep, in seconds, before a waiter looks whether somebody died:
# short for whoever waits for a dead one, long enough to cost next to nothing.
_SLICE: Final = 0.01


def poll_seconds(left: float | None) -> float:
    """Return how long to sleep at a time, with so much time left."""
    return _SLICE if left is None else max(0.0, min(_SLICE, left))


class SystemSemaphore:
    """Where a semaphore is, and how to get a handle for it in any process.

    A handle (a `multiprocessing` SemLock) does not keep the memory it works
    in: who has one keeps a view of the memory with it.
    """

    def __init__(self, segment: SharedSegment, offset: int, value: int, maximum: int) -> None:
        self._segment = segment
        self._offset = offset
        self._maximum = maximum
        # Elsewhere than in glibc, a semaphore in memory of ours is either not
        # to be had (macOS) or not to be closed (musl).
        self._named: Any = None
        if has_glibc():
            address = ctypes.c_void_p(segment.address + offset)
            if ctypes.CDLL(None, use_errno=True).sem_init(address, 1, value):
                raise WorkerError(f"no semaphore: {os.strerror(ctypes.get_errno())}")
        else:
            # Of the spawn context: it can go to a process of any start method.
            maker = multiprocessing.get_context("spawn")
            self._named = maker.Lock() if maximum == 1 else maker.Semaphore(0)
            if maximum != 1:
                for _ in range(value):
                    self._named.release()

    def handle(self) -> Any:
        """Return a new handle: with its own count of who acquired, and no lock of its own."""
        if self._named is not None:
            return semaphore_named(self._named)
        return semaphore_at(self._segment.address + self._offset, self._maximum)


def semaphore_value(segment: SharedSegment, offset: int) -> int:
    """Return the value of the semaphore at an offset; 0 where that cannot be known."""
    if not has_glibc():
        return 0
    return value_of(semaphore_at(segment.address + offset, 1))


def has_glibc() -> bool:
    """Say whether a semaphore may lie in memory of ours, and its value be read there."""
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError, OSError):
        return False
