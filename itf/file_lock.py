"""Record locks: locks on single bytes of a file, which exclude other processes.

A record lock (``fcntl.lockf``) belongs to a process.  The kernel releases the lock when
the process dies, also after a SIGKILL.  Two consequences for callers:

- A record lock does not exclude other threads of its process; they need a lock of their own.
- When a process closes any descriptor of a file, all its record locks on that file are released.

A forked child does not inherit its parent's record locks.
"""

from __future__ import annotations

import sys

# Bound at import, so that a fault injected into one of these does not break itf itself.
if sys.platform != "win32":  # Windows has no record locks of this kind
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, lockf

__all__ = ["try_lock_byte", "unlock_byte"]

__unittest = True


def try_lock_byte(descriptor: int, byte: int, *, shared: bool = False) -> bool:
    """Lock a byte of a file, without a wait.

    Args:
        descriptor: Of a file opened for writing; for a shared lock, for reading.
        byte: Offset of the byte, which may lie behind the end of the file.
        shared: Whether other processes may lock the byte too, if they lock it shared.

    Returns:
        False if another process has locked the byte.  True if this process has
        locked it, now or before.

    Raises:
        OSError: The descriptor is closed, or its file system has no record locks.
    """
    kind = LOCK_SH if shared else LOCK_EX
    try:
        lockf(descriptor, kind | LOCK_NB, 1, byte)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, by platform
        return False
    return True


def unlock_byte(descriptor: int, byte: int) -> None:
    """Unlock a byte of a file; nothing happens if this process has not locked it."""
    lockf(descriptor, LOCK_UN, 1, byte)
