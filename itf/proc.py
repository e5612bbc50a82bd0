"""What the kernel tells of processes, and the switch that makes orphans come to this one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
import threading
import time
from typing import Any, Final

from itf.forks import after_fork_in_child

__all__ = [
    "Subreaper",
    "children",
    "command_of",
    "descendants_of",
    "parent_of",
    "reap",
    "state_of",
    "subreaper",
    "wait_for_end",
]

__unittest = True

# Python's own, also while the guard watches who opens what: looking is no opening.
_open: Final = open

# Of a command line: enough to know a process by.
_COMMAND_LENGTH: Final = 200


def children(pid: int | str = "self") -> list[int]:
    """Return the pids of a process's children, in whichever of its threads they were started.

    Where the kernel does not tell, there are none.
    """
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            # A thread, or the whole process, may end while we look.
            with contextlib.suppress(OSError), _open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


def descendants_of(pid: int) -> list[int]:
    """Return the pids of all that came of a process and still hangs on it, parents first."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        offspring = children(waiting.pop(0))
        found += offspring
        waiting += offspring
    return found


def command_of(pid: int) -> str:
    """Return a process's command line, or its name if it has none any more; bounded."""
    with contextlib.suppress(OSError):
        with _open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(2 * _COMMAND_LENGTH).rstrip(b"\0").split(b"\0")
        text = " ".join(os.fsdecode(word) for word in words)
        if not text:
            with _open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as name:
                text = name.read().strip()
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        return text if len(text) <= _COMMAND_LENGTH else f"{text[: _COMMAND_LENGTH - 3]}..."
    return "?"


def state_of(pid: int) -> str:
    """Return the letter that the kernel has for a process's state (``Z``: ended, not waited for).

    An empty text where there is no such process, or no way to know.
    """
    return _status_of(pid)[0]


def parent_of(pid: int) -> int:
    """Return the pid of a process's parent; 0 where that cannot be known."""
    return int(_status_of(pid)[1])


def _status_of(pid: int) -> tuple[str, str]:
    with contextlib.suppress(OSError), _open(f"/proc/{pid}/stat", "rb") as file:
        # The name, in brackets, may hold anything, brackets too.
        state, parent, *_ = file.read().rpartition(b")")[2].split()
        return state.decode(), parent.decode()
    return "", "0"


def wait_for_end(pid: int, seconds: float) -> bool:
    """Wait until a process has ended, without taking its status; say whether it has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True  # somebody else has taken it
    except OSError:
        return _look_for_end(pid, time.monotonic() + seconds)  # a full table of descriptors
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))
    finally:
        os.close(handle)


def _look_for_end(pid: int, deadline: float) -> bool:
    """Look now and then whether a process has ended; this takes no descriptor."""
    pause = 0.0001
    while not _has_ended(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return True


def _has_ended(pid: int) -> bool:
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        # None of ours: it is there as long as it can be asked for.
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    return found is not None


def reap(pid: int, deadline: float) -> bool:
    """Wait for the end of one child and take its status.

    Args:
        pid: The child.
        deadline: Until when, on the clock of `time.monotonic`.

    Returns:
        Whether it is gone.
    """
    if not wait_for_end(pid, deadline - time.monotonic()):
        return False
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
        self._before: int | None = None

    def acquire(self) -> None:
        """Switch it on, unless it is."""
        with self._lock:
            self._count += 1
            if self._count == 1:
                if self._before is None:
                    # Asked once: to ask costs as much as to switch it.
                    self._before = self._get()
                if not self._before:
                    self._set(1)

    def release(self) -> None:
        """Put it back to what it was, unless somebody else still needs it."""
        with self._lock:
            if self._count:
                self._count -= 1
                if not self._count and not self._before:
                    self._set(0)

    def _get(self) -> int:
        value = ctypes.c_int()
        _prctl(self._GET, ctypes.byref(value), 0, 0, 0)
        return value.value

    def _set(self, value: int) -> None:
        _prctl(self._SET, value, 0, 0, 0)


def _find_prctl() -> Any:
    if sys.platform != "linux":
        return lambda *args: 0
    return ctypes.CDLL(None).prctl


# Looked up once: the guard asks around every test.
_prctl: Final = _find_prctl()


subreaper: Final = Subreaper()
"""The one switch of this process."""


@after_fork_in_child
def _after_fork() -> None:
    # A child does not inherit the setting, and a thread of the parent may have
    # held the lock during the fork.
    subreaper.__init__()  # type: ignore[misc]
