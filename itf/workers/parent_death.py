"""A pipe that kills the workers when their parent process dies.

Only the parent has the writing end, and never writes to it.  When the parent dies in
any way, the kernel closes the writing end.  Each worker has requested a signal for
changes of its reading end (``O_ASYNC``, ``F_SETSIG``), so the kernel then sends it
SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import weakref
from typing import Final

from itf.descriptors import Descriptor

__all__ = ["ParentDeathPipe", "die_with_parent"]

__unittest = True


class ParentDeathPipe:
    """A pipe whose writing end stays open in the parent process only."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self._reading, self._writing = Descriptor(reading), Descriptor(writing)
        _pipes.add(self)

    @property
    def end(self) -> Descriptor:
        """The reading end, which is sent to each worker."""
        return self._reading

    def close(self) -> None:
        """Close both ends; the kernel then kills the workers that still run."""
        self._reading.close()
        self._writing.close()

    def drop(self) -> None:
        """Close the writing end in a forked child, because the child is not the parent."""
        with contextlib.suppress(OSError):
            self._writing.close()


_pipes: weakref.WeakSet[ParentDeathPipe] = weakref.WeakSet()

# Descriptors of reading ends that this worker has opened itself.  The kernel stores the
# process to signal with the open file, so the file must stay open.
_held: list[int] = []

_IS_LINUX: Final = sys.platform == "linux"


def die_with_parent(end: Descriptor) -> None:
    """Make this process die when the process with the writing end dies."""
    if not _IS_LINUX:
        # Other kernels cannot send the signal, so a thread waits for the pipe's end.
        threading.Thread(target=_wait_for_end, args=(end.number,), daemon=True).start()
        return
    _request_sigkill(end.number)


def _request_sigkill(number: int) -> None:
    import fcntl

    # Opened again through /proc: the inherited open file is shared by all workers, and
    # stores only one process to signal.
    own = os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(own, fcntl.F_GETFL)
    fcntl.fcntl(own, fcntl.F_SETFL, flags | os.O_ASYNC)
    _held.append(own)
    try:
        gone = os.read(own, 1) == b""
    except BlockingIOError:
        gone = False  # the writing end is still open
    if gone:
        os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_end(number: int) -> None:
    with contextlib.suppress(OSError):
        os.read(number, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def _after_fork() -> None:
    for parent_death_pipe in list(_pipes):
        parent_death_pipe.drop()
    # A forked child of a worker must die with the parent, too.
    inherited: list[int] = _held.copy()
    _held.clear()
    for number in inherited:
        with contextlib.suppress(OSError):
            _request_sigkill(number)
            os.close(number)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
