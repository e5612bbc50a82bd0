"""The line on which workers hang: when the process that holds its end is gone, so are they.

It is a pipe.  Only the parent has the end to write on, and never writes.  When
the parent ends, in whichever way, the kernel closes that end and sends every
worker the signal it has asked for on its own end: SIGKILL.
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

__all__ = ["ParentDeathPipe", "hold"]

__unittest = True


class ParentDeathPipe:
    """A pipe whose writing end stays in this process."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self._reading, self._writing = Descriptor(reading), Descriptor(writing)
        _pipes.add(self)

    @property
    def end(self) -> Descriptor:
        """The end that a worker holds."""
        return self._reading

    def close(self) -> None:
        """Let go of both ends: whoever still holds on is killed."""
        self._reading.close()
        self._writing.close()

    def drop(self) -> None:
        """Close the writing end in a forked child: it is not the child's life that counts."""
        with contextlib.suppress(OSError):
            self._writing.close()


_pipes: weakref.WeakSet[ParentDeathPipe] = weakref.WeakSet()

# What this process holds on to: an end of a pipe of its own, for it is to that
# that the kernel attaches whom to signal.
_held: list[int] = []

_IS_LINUX: Final = sys.platform == "linux"


def hold(end: Descriptor) -> None:
    """Let this process end when the process at the other end does."""
    if not _IS_LINUX:
        # A thread, where the kernel cannot do it.
        threading.Thread(target=_wait_for_end, args=(end.number,), daemon=True).start()
        return
    _hold_on_linux(end.number)


def _hold_on_linux(number: int) -> None:
    import fcntl

    # Opened anew: the one that was inherited is shared with all other workers,
    # and would signal only the last of them.
    own = os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(own, fcntl.F_GETFL)
    fcntl.fcntl(own, fcntl.F_SETFL, flags | os.O_ASYNC)
    _held.append(own)
    try:
        gone = os.read(own, 1) == b""
    except BlockingIOError:
        gone = False  # nothing written, and nobody has hung up
    if gone:
        os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_end(number: int) -> None:
    with contextlib.suppress(OSError):
        os.read(number, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def _after_fork() -> None:
    for parent_death_pipe in list(_pipes):
        parent_death_pipe.drop()
    # The child of a worker hangs on the line as well.
    inherited: list[int] = _held.copy()
    _held.clear()
    for number in inherited:
        with contextlib.suppress(OSError):
            _hold_on_linux(number)
            os.close(number)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
