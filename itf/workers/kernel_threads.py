"""The threads of another process: their states in /proc, and signals to a single thread."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from itf.linux_proc import state_of

__all__ = [
    "Progress",
    "Readiness",
    "can_signal_tasks",
    "catches",
    "process_state",
    "progress",
    "readiness",
    "signal_task",
    "tasks",
]

__unittest = True


class Readiness(NamedTuple):
    """The state of a signal in a thread."""

    is_blocked: bool
    """Whether the signal is blocked; a signal is blocked while its handler runs."""
    is_pending: bool
    """Whether the signal was sent and has not been handled yet."""


def tasks(pid: int) -> list[int]:
    """Return the kernel's ids of a process's threads, the main thread first."""
    try:
        return sorted(
            map(int, os.listdir(f"/proc/{pid}/task")), key=lambda task: (task != pid, task)
        )
    except OSError:
        return []


def signal_task(pid: int, task: int, number: int) -> None:
    """Send a signal to one thread of a process.

    Raises:
        OSError: The thread does not exist.
    """
    send = _tgkill()
    if send is None:
        os.kill(pid, number)
    elif send(pid, task, number):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def can_signal_tasks() -> bool:
    """Return whether this system can send a signal to a single thread of another process."""
    return sys.platform == "linux" and _tgkill() is not None


@functools.cache
def _tgkill() -> Callable[[int, int, int], int] | None:
    # glibc has this function since 2.30; the system call is older.
    library = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(AttributeError):
        function: Callable[[int, int, int], int] = library.tgkill
        return function
    number = {"x86_64": 234, "aarch64": 131}.get(os.uname().machine)
    if number is None or sys.platform != "linux" or not hasattr(library, "syscall"):
        return None
    return functools.partial(library.syscall, number)


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal; without one, it would be killed.

    Where /proc does not show that, the result is True.
    """
    bits = _signal_sets(f"/proc/{pid}/status")
    return bits is None or bool(bits.get("SigCgt", 0) >> (number - 1) & 1)


def readiness(pid: int, task: int, number: int) -> Readiness | None:
    """Return the state of a signal in a thread; None if that is unknown or the thread has ended."""
    # From one read of the file, so that both sets are of the same time.
    bits = _signal_sets(f"/proc/{pid}/task/{task}/status")
    if bits is None:
        return None
    mask = 1 << (number - 1)
    return Readiness(bool(bits.get("SigBlk", 0) & mask), bool(bits.get("SigPnd", 0) & mask))


def _signal_sets(path: str) -> dict[str, int] | None:
    try:
        with open(path) as file:
            lines = [line.split(":") for line in file if line.startswith("Sig")]
    except OSError:
        return None
    return {name: int(value, 16) for name, value in lines if name != "SigQ"}


class Progress(NamedTuple):
    """How much a thread has run so far."""

    is_asleep: bool
    ticks: int
    """Processor time in ticks, each 0.01 seconds."""
    switches: int
    """Number of context switches."""


def progress(pid: int, task: int) -> Progress | None:
    """Return how much a thread has run; None if that is unknown or the thread has ended."""
    try:
        with open(f"/proc/{pid}/task/{task}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        with open(f"/proc/{pid}/task/{task}/status") as file:
            switches = [int(line.split()[1]) for line in file if "_ctxt_switches:" in line]
    except OSError:
        return None
    return Progress(fields[0] in "SD", int(fields[11]) + int(fields[12]), sum(switches))


def process_state(pid: int) -> str:
    """Return ``running``, ``paused`` or ``dead``; without /proc always ``running``."""
    letter = state_of(pid)
    if not letter:
        return "dead" if sys.platform == "linux" else "running"
    return {"T": "paused", "t": "paused", "Z": "dead", "X": "dead"}.get(letter, "running")
