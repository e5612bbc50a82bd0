"""Root, for whom permissions do not count, and a way to let them count."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

__all__ = ["permissions_count"]

__unittest = True

# From linux/capability.h: the version of the calls, the rights to pass over a
# file's permissions (CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH), and the shape of
# the sets: effective, permitted and inheritable, twice, for 64 rights.
_VERSION: Final = 0x20080522
_RIGHTS: Final = 1 << 1 | 1 << 2
_NUMBERS: Final = 6


@contextlib.contextmanager
def permissions_count() -> Iterator[bool]:
    """Let permissions count in this thread, also for root; on Linux.

    The thread puts down its rights to pass over them, and takes them up again
    at the end.  Threads started in the block have none either; a program that
    root executes gets them back from the system.

    Yields:
        Whether permissions count now.
    """
    try:
        had = _change(take=0)
    except (ImportError, AttributeError, OSError):
        # Another system, a Python without ctypes, or a sandbox that forbids it.
        yield not hasattr(os, "geteuid") or os.geteuid() != 0
        return
    try:
        yield True
    finally:
        _change(take=had)


def _change(take: int) -> int:
    """Put down this thread's rights, or take some up; return those that it had."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    # 0 is this thread, and no other of the process.
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    sets = (ctypes.c_uint32 * _NUMBERS)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget failed")
    had = int(sets[0]) & _RIGHTS
    # No others: the user may have changed those meanwhile.
    sets[0] = sets[0] & ~_RIGHTS | take
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset failed")
    return had
