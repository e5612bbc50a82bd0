"""Facts about processes from Linux's /proc, and the subreaper flag that adopts orphans."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
import threading
import time
from typing import Any, Final

from itf.fork_safety import after_fork_in_child

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

# Bound at import: leak detection may replace builtins.open to trace which code
# opens files, and reading /proc must not be traced.
_open: Final = open

# Longest command line in a message, in characters.
_COMMAND_LENGTH: Final = 200


def children(pid: int | str = "self") -> list[int]:
    """Return the pids of the children of a process, of all its threads.

    The result is empty if the process has ended, and on systems without /proc.
    """
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            # OSError: the thread or the whole process has ended in between.
            with contextlib.suppress(OSError), _open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


def descendants_of(pid: int) -> list[int]:
    """Return the pids of a process's children, their children and so on, parents first."""
    found: list[int] = []
    queue = [pid]
    while queue:
        next_generation = children(queue.pop(0))
        found += next_generation
        queue += next_generation
    return found


def command_of(pid: int) -> str:
    """Return a process's command line of limited length; its name if it has ended; else ``?``."""
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
    """Return the state of a process as a letter, as in proc(5): ``R``, ``S``, ``Z`` for zombie, ...

    The result is empty if there is no such process, and on systems without /proc.
    """
    return _status_of(pid)[0]


def parent_of(pid: int) -> int:
    """Return the pid of a process's parent; 0 if it is unknown."""
    return int(_status_of(pid)[1])


def _status_of(pid: int) -> tuple[str, str]:
    with contextlib.suppress(OSError), _open(f"/proc/{pid}/stat", "rb") as file:
        # Split behind the last bracket: the name in brackets may contain any character.
        state, parent, *_ = file.read().rpartition(b")")[2].split()
        return state.decode(), parent.decode()
    return "", "0"


def wait_for_end(pid: int, seconds: float) -> bool:
    """Wait until a process has ended, without reaping it; return whether it has.

    Args:
        pid: A child or another process.
        seconds: Longest time to wait.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True  # it has ended, and its status was already reaped
    except OSError:
        # The process has no file descriptors left.
        return _poll_for_end(pid, time.monotonic() + seconds)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))
    finally:
        os.close(handle)


def _poll_for_end(pid: int, deadline: float) -> bool:
    """Wait as `wait_for_end` does, without a file descriptor, by asking repeatedly."""
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
        # Not a child of this process.  It exists as long as it can be signalled.
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    return found is not None


def reap(pid: int, deadline: float) -> bool:
    """Wait for the end of a child and reap it.

    Args:
        pid: The child.
        deadline: End of the wait, on the clock of `time.monotonic`.

    Returns:
        Whether the child has ended.
    """
    if not wait_for_end(pid, deadline - time.monotonic()):
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True


class Subreaper:
    """Counted switch for the kernel's child subreaper flag of this process, prctl(2).

    While the flag is set, a descendant whose parent has ended becomes a child of
    this process instead of init.

    Thread safety: every method, from any thread.
    """

    _SET: Final = 36  # PR_SET_CHILD_SUBREAPER
    _GET: Final = 37

    def __init__(self) -> None:
        # Protects the count and the flag's value before the first acquire.
        self._lock = threading.Lock()
        self._count = 0
        self._before = 0

    def acquire(self) -> None:
        """Set the flag, unless it is set."""
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._before = self._get()
                if not self._before:
                    self._set(1)

    def release(self) -> None:
        """Restore the flag's value when the last user has released it."""
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


# Looked up once, because leak detection uses the flag around every test.
_prctl: Final = _find_prctl()


subreaper: Final = Subreaper()
"""The switch of this process."""


@after_fork_in_child
def _after_fork() -> None:
    # A child does not inherit the setting, and a thread of the parent may have
    # held the lock during the fork.
    subreaper.__init__()  # type: ignore[misc]
