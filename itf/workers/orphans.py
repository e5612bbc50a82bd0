"""Orphans: processes that workers have started and left behind are found and killed.

Every worker process has a mark: a soft limit on real-time CPU time (RLIMIT_RTTIME)
that is too high to have an effect.  Its descendants inherit the limit through fork,
exec, setsid and a cleaned environment.  This process is a subreaper
(`itf.linux_proc`), so it becomes the parent of a descendant whose own parent ends.
The mark distinguishes these children from those that the test has started itself.
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
    "new_mark",
    "reap_marked",
    "set_mark",
]

__unittest = True

# Microseconds of real-time scheduling, about 146,000 years: no process reaches the limit.
# A mark adds the pid of the environment's process, shifted, and a serial number.
_MARK_BASE: Final = 1 << 62
_PID_SHIFT: Final = 32
_LIMIT_NAME: Final = "Max realtime timeout"

_numbers = itertools.count(1)

# Seconds to wait for the end of a process after SIGKILL.  It takes longer only if the
# process is stuck in a system call.
_KILL_WAIT: Final = 5.0


def new_mark() -> int:
    """Return a new mark, different from that of every other environment."""
    return _MARK_BASE + (os.getpid() << _PID_SHIFT) + next(_numbers)


def set_mark(mark: int) -> None:
    """Mark this process and its future descendants.

    Where the limit does not exist, the process becomes the leader of a process group,
    which `end_group` can kill.
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
    """Kill all children of this process that have a mark, and reap them.

    Args:
        mark: The mark.
        spare: Pids of children that must not be killed.

    Returns:
        The pids of the processes that were killed and reaped.
    """
    found: list[int] = []
    deadline = time.monotonic() + _KILL_WAIT
    # Repeated, because the children of a killed process become children of this one.
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
    """Kill the remaining processes of a process group, after its leader has ended."""
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def _has_mark(pid: int, mark: int) -> bool:
    theirs = _mark_of(pid)
    if theirs == mark:
        return True
    owner = (theirs - _MARK_BASE) >> _PID_SHIFT
    # Also True for a mark of an environment that a worker has opened, if that worker's
    # process no longer exists.
    return theirs > _MARK_BASE and owner != os.getpid() and not os.path.exists(f"/proc/{owner}")


def _mark_of(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/limits") as file:
        for line in file:
            if line.startswith(_LIMIT_NAME):
                soft = line[len(_LIMIT_NAME) :].split()[0]
                return int(soft) if soft.isdigit() else 0
    return 0
