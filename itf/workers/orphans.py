"""All that workers leave behind: found, whatever they did to hide, and ended.

Every worker wears a mark that its children inherit, and theirs, through fork,
exec, setsid and a cleaned environment: an unreachable soft limit on real-time
CPU time.  A process whose parent ends becomes a child of this one (a
"subreaper", `itf.linux_proc`), where its mark tells it from what the test started itself.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import time
from typing import Final

from itf.linux_proc import children, reap

__all__ = [
    "end_group",
    "set_mark",
    "new_mark",
    "reap_marked",
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


def set_mark(mark: int) -> None:
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
        marked = [pid for pid in children() if pid not in spare and _has_mark(pid, mark)]
        if not marked:
            break
        for pid in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in marked:
            if reap(pid, deadline):
                found.append(pid)
    return found


def end_group(leader: int) -> None:
    """Kill what is left of the process group of a worker that has ended."""
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def _has_mark(pid: int, mark: int) -> bool:
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
