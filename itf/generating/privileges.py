"""Root, for whom permissions do not count, and a way to let them count."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["can_be_read", "permissions_count"]

__unittest = True

# From linux/capability.h: the version of its structures, and the rights to pass
# over a file's permissions, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_VERSION: Final = 0x20080522
_RIGHTS: Final = 1 << 1 | 1 << 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_Sets = _Set * 2  # of 32 rights each


def can_be_read(path: str | os.PathLike[str]) -> bool:
    """Say whether this thread can read a file or list a folder, whatever its permissions are."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return False
    return True


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
        taken = _change(take=0)
    except (AttributeError, OSError):
        # Another system, or one that does not let us.
        yield not hasattr(os, "geteuid") or os.geteuid() != 0
        return
    try:
        yield True
    finally:
        _change(take=taken)


def _change(take: int) -> int:
    """Put down this thread's rights, or take some up; return those that it had."""
    libc = ctypes.CDLL(None, use_errno=True)
    sets = _Sets()
    _call(libc.capget, sets)
    had = int(sets[0].effective) & _RIGHTS
    # No others: the user may have changed those meanwhile.
    sets[0].effective = sets[0].effective & ~_RIGHTS | take
    _call(libc.capset, sets)
    return had


def _call(function: Callable[..., int], sets: ctypes.Array[_Set]) -> None:
    # 0 is this thread, and no other of the process.
    if function(ctypes.byref(_Header(_VERSION, 0)), sets):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
