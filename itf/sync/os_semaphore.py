"""Semaphores of the operating system, in a shared segment where the platform allows that.

With glibc, a semaphore (``sem_t``) lies in the segment and is used through
`multiprocessing`'s SemLock.  Such a semaphore has no name that could outlive a
test, needs no resource tracker, and is available in every process that maps the segment.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from typing import Any, Final

from itf._private import copy_semlock, semlock_at, semlock_value
from itf.exceptions import WorkerError
from itf.sync.segment import SharedSegment

__all__ = ["SEMAPHORE_SIZE", "SystemSemaphore", "has_glibc", "poll_seconds", "semaphore_value"]

__unittest = True

SEMAPHORE_SIZE: Final = 64
"""Bytes reserved for a semaphore: a cache line; ``sem_t`` needs 32 on 64-bit Linux."""

# Longest sleep of a waiting thread in seconds.  After each sleep it checks whether a
# process has died.  Checking 100 times a second costs little processor time.
_SLICE: Final = 0.01


def poll_seconds(left: float | None) -> float:
    """Return the seconds of the next sleep, given the seconds until the deadline."""
    return _SLICE if left is None else max(0.0, min(_SLICE, left))


class SystemSemaphore:
    """A semaphore that every process can get a handle for.

    A handle (a `multiprocessing` SemLock) does not keep the memory mapped: its user
    must also hold a view of the memory.
    """

    def __init__(self, segment: SharedSegment, offset: int, value: int, maximum: int) -> None:
        self._segment = segment
        self._offset = offset
        self._maximum = maximum
        # Without glibc, the semaphore has a name instead: macOS has no unnamed
        # semaphores, and musl cannot close them in this way.
        self._named: Any = None
        if has_glibc():
            address = ctypes.c_void_p(segment.address + offset)
            if ctypes.CDLL(None, use_errno=True).sem_init(address, 1, value):
                raise WorkerError(f"no semaphore: {os.strerror(ctypes.get_errno())}")
        else:
            # Made with the spawn context, because that semaphore can be sent to a
            # process of any start method.
            maker = multiprocessing.get_context("spawn")
            self._named = maker.Lock() if maximum == 1 else maker.Semaphore(0)
            if maximum != 1:
                for _ in range(value):
                    self._named.release()

    def handle(self) -> Any:
        """Return a new handle of the semaphore, for any thread of this process.

        Raises:
            WorkerError: This Python cannot make one.
        """
        if self._named is not None:
            handle = copy_semlock(self._named)
        else:
            handle = semlock_at(self._segment.address + self._offset, self._maximum)
        if handle is None:
            raise WorkerError(
                "this Python's multiprocessing.SemLock has other private names than the shared "
                "objects know; use a Python version that itf supports"
            )
        return handle


def semaphore_value(segment: SharedSegment, offset: int) -> int:
    """Return the value of the semaphore at an offset; 0 where it has no value in memory."""
    if not has_glibc():
        return 0
    return semlock_value(semlock_at(segment.address + offset, 1))


def has_glibc() -> bool:
    """Return whether this Python uses glibc, where a semaphore can lie in the segment."""
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError, OSError):
        return False
