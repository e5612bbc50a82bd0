"""Linux capabilities: take root's right to ignore file permissions away from one thread."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

__all__ = ["enforce_permissions"]

__unittest = True

# _LINUX_CAPABILITY_VERSION_3 in linux/capability.h: sets of 64 bits.
_API_VERSION: Final = 0x20080522

# Bits of CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2): with these, a thread
# can read and write files whatever their permission bits are.
_IGNORE_PERMISSIONS: Final = 1 << 1 | 1 << 2

# capget fills 32-bit words: effective, permitted and inheritable, once for the
# lower and once for the upper 32 capabilities.  Word 0 is the effective set.
_SET_WORDS: Final = 6


@contextlib.contextmanager
def enforce_permissions() -> Iterator[bool]:
    """Let file permissions hold in this thread also if it runs as root; Linux only.

    Two capabilities are removed from the thread's effective set and restored at
    the end.  Threads that are started in the block inherit the reduced set.  A
    program that root executes in the block gets all capabilities from the kernel.

    Yields:
        Whether permissions hold: False if the process runs as root and the
        capabilities cannot be removed.
    """
    try:
        removed = _change_effective(add=0)
    except (ImportError, AttributeError, OSError):
        # ImportError: Python was built without ctypes.  AttributeError: this is
        # not Linux.  OSError: a sandbox forbids the system call.
        yield not hasattr(os, "geteuid") or os.geteuid() != 0
        return
    try:
        yield True
    finally:
        _change_effective(add=removed)


def _change_effective(add: int) -> int:
    """Remove the two capabilities from this thread, add some of them back.

    Args:
        add: Bits to set in the effective set after the removal.

    Returns:
        Which of the two bits were set before.

    Raises:
        OSError: The kernel refused.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    # Process id 0 means the calling thread; other threads keep their capabilities.
    header = (ctypes.c_uint32 * 2)(_API_VERSION, 0)
    sets = (ctypes.c_uint32 * _SET_WORDS)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget failed")
    before = int(sets[0]) & _IGNORE_PERMISSIONS
    # All other bits stay: user code may have changed them inside the block.
    sets[0] = sets[0] & ~_IGNORE_PERMISSIONS | add
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset failed")
    return before
