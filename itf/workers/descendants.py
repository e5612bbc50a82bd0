"""All that workers leave behind: found, whatever they did to hide, and ended.

Every worker wears a mark that its children inherit, and theirs, through fork,
exec, setsid and a cleaned environment: an unreachable soft limit on real-time
CPU time.  A process whose parent ends becomes a child of this one (a
"subreaper"), where its mark tells it from what the test started itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import select
import signal
import sys
import threading
import time
from typing import Any, Final

__all__ = [
    "Subreaper",
    "children",
    "end_group",
    "leave_mark",
    "new_mark",
    "reap_marked",
    "subreaper",
]

__unittest = True

# Microseconds of real-time scheduling without a pause: 146,000 years.  Above
# this value the pid of whoever opened the environment, and a number.
_MARK_BASE: Final = 1 << 62
_PID_SHIFT: Final = 32
_LIMIT_NAME: Final = "Max realtime timeout"

_numbers = itertools.count(1)

# How long a process may take to vanish after SIGKILL; longer only if the
# kernel itself is stuck on its behalf.
_KILL_WAIT: Final = 5.0


def new_mark() -> int:
    """Return a mark that no other environment has."""
    return _MARK_BASE + (os.getpid() << _PID_SHIFT) + next(_numbers)


def leave_mark(mark: int) -> None:
    """Mark this process, and all that will come of it.

    Where there are no such limits, the process becomes the head of a group.
    """
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ValueError, OSError):
            _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
            resource.setrlimit(resource.RLIMIT_RTTIME, (mark, hard))
            return
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


def children() -> list[int]:
    """Return the pids of this process's children, in whichever thread they were started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


def reap_marked(mark: int, spare: frozenset[int] = frozenset()) -> list[int]:
    """End all processes that wear a mark, and take their status.

    Args:
        mark: The mark.
        spare: Pids of children that somebody else waits for.

    Returns:
        The pids of those that were found.
    """
    found: list[int] = []
    deadline = time.monotonic() + _KILL_WAIT
    # Again and again: the children of whoever was killed are ours next.
    while time.monotonic() < deadline:
        marked = [pid for pid in children() if pid not in spare and _wears(pid, mark)]
        if not marked:
            break
        for pid in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in marked:
            if _reap(pid, deadline):
                found.append(pid)
    return found


def end_group(leader: int) -> None:
    """Kill what is left of the process group of a worker that has ended."""
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def _wears(pid: int, mark: int) -> bool:
    theirs = _mark_of(pid)
    if theirs == mark:
        return True
    owner = (theirs - _MARK_BASE) >> _PID_SHIFT
    # Of an environment that a worker had opened, and that died with the worker.
    return theirs > _MARK_BASE and owner != os.getpid() and not os.path.exists(f"/proc/{owner}")


def _mark_of(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/limits") as file:
        for line in file:
            if line.startswith(_LIMIT_NAME):
                soft = line[len(_LIMIT_NAME) :].split()[0]
                return int(soft) if soft.isdigit() else 0
    return 0


def _reap(pid: int, deadline: float) -> bool:
    """Wait for the end of one child and take its status."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True  # somebody else has taken it
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return False
    finally:
        os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True


class Subreaper:
    """Makes this process the parent of its orphaned descendants, for as long as anyone needs it."""

    _SET: Final = 36  # PR_SET_CHILD_SUBREAPER
    _GET: Final = 37

    def __init__(self) -> None:
        # Held while the count, or what stood before it, is read or changed.
        self._lock = threading.Lock()
        self._count = 0
        self._before = 0
        self._pid = 0

    def acquire(self) -> None:
        """Switch it on, unless it is."""
        with self._lock:
            if self._pid != os.getpid():
                # Forked: the count belongs to the parent, and so does the switch.
                self._pid, self._count = os.getpid(), 0
            self._count += 1
            if self._count == 1:
                self._before = self._get()
                self._set(1)

    def release(self) -> None:
        """Put it back to what it was, unless somebody else still needs it."""
        with self._lock:
            if self._pid == os.getpid() and self._count:
                self._count -= 1
                if not self._count:
                    self._set(self._before)

    def _get(self) -> int:
        value = ctypes.c_int()
        _prctl(self._GET, ctypes.byref(value))
        return value.value

    def _set(self, value: int) -> None:
        _prctl(self._SET, value)


def _prctl(option: int, value: Any) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


subreaper: Final = Subreaper()
"""The one switch of this process."""


def _renew() -> None:
    subreaper.__init__()  # type: ignore[misc]  # its lock may be held by a thread that is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
