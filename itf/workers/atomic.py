"""Changing the value of a semaphore at once, whatever others do to it at the same time.

Neither Python nor the C library has anything for it.  The kernel has:
FUTEX_WAKE_OP, made to wake sleepers, changes a number as it does so.  With
nobody to wake, the change is all of it.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
from typing import Any, Final

from itf.exceptions import WorkerError
from itf.workers.private import semaphore_at

__all__ = ["add", "can_change_semaphores", "flip", "put"]

__unittest = True

_WAKE_OP: Final = 5
_SET: Final = 0
_ADD: Final = 1
_XOR: Final = 4

# The number of the system call, for the machines on which all of this was tried.
_FUTEX: Final = {"x86_64": 202, "aarch64": 98}


def put(address: int, number: int) -> None:
    """Write a number below 2048, after whatever this thread has written before."""
    _change(address, _SET, number)


def add(address: int, number: int) -> None:
    """Add a number between -2048 and 2047."""
    _change(address, _ADD, number)


def flip(address: int, bits: int) -> None:
    """Turn some of the lowest eleven bits over."""
    _change(address, _XOR, bits)


def _change(address: int, operation: int, argument: int) -> None:
    call, number = _system_call()
    place = ctypes.c_void_p(address)
    encoded = ctypes.c_uint32(operation << 28 | (argument & 0xFFF) << 12)
    if call(number, place, _WAKE_OP, 0, None, place, encoded) < 0:
        raise WorkerError(f"cannot change shared memory: {os.strerror(ctypes.get_errno())}")


@functools.cache
def _system_call() -> tuple[Any, ctypes.c_long]:
    return ctypes.CDLL(None, use_errno=True).syscall, ctypes.c_long(_FUTEX[os.uname().machine])


@functools.cache
def can_change_semaphores() -> bool:
    """Say whether that works here for a semaphore's value; it is tried out."""
    if sys.platform != "linux" or sys.byteorder != "little" or os.uname().machine not in _FUTEX:
        return False
    # Not closed, but dropped: whoever is interrupted here may still point into it.
    start = ctypes.c_char.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
    address = ctypes.addressof(start)
    try:
        return _try_out(address, semaphore_at(address, 5))
    except (OSError, ValueError, WorkerError):
        return False


def _try_out(address: int, semaphore: Any) -> bool:
    value = ctypes.c_uint64.from_address(address)
    seen = []
    put(address, 2)
    seen.append(semaphore.acquire(False))
    seen.append(value.value)
    flip(address, 2)
    semaphore.release()
    seen.append(value.value)
    add(address, -2)
    seen.append(value.value)
    flip(address, 2)
    seen.append(semaphore.acquire(False))
    # What sem_t has beside the value must be as it was: zero.
    seen.append(ctypes.c_uint64.from_address(address + 8).value)
    return seen == [True, 1, 4, 2, False, 0]
