"""Requests for the stacks of another process, by signals.

The first signal (`HANDLER_SIGNAL`) runs a Python handler in the main thread, which
writes the stacks of all threads.  The handler holds the GIL, so no frame changes
meanwhile.  If the main thread is stuck in C code, the handler does not run.

Then a second signal (`FAULTHANDLER_SIGNAL`) is sent to each thread.  It makes
`faulthandler`, in C and without the GIL, write the stack of that thread.  A running
thread changes its frames, and reading them at that time can crash the process.
Therefore only threads get this signal that sleep or have been in C code for long.

Simpler ways fail: ``faulthandler.register(all_threads=True)`` crashes busy processes,
and a thread that answers requests makes every fork in a worker warn.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Final

from itf.descriptors import Descriptor
from itf.workers.kernel_threads import (
    Progress,
    can_signal_tasks,
    catches,
    progress,
    readiness,
    signal_task,
    tasks,
)

__all__ = ["ANSWER", "END", "FAULTHANDLER_SIGNAL", "FILE", "HANDLER_SIGNAL", "ask", "ask_other"]

__unittest = True


def _signal(place: int, otherwise: str) -> int | None:
    """Return a real-time signal that is rarely used, counted from the highest one."""
    if hasattr(signal, "SIGRTMAX"):
        return int(signal.SIGRTMAX) - place
    number = getattr(signal, otherwise, None)
    return None if number is None else int(number)


HANDLER_SIGNAL: Final = _signal(3, "SIGUSR1")
"""Signal whose Python handler writes the stacks of all threads; None if there is none."""

FAULTHANDLER_SIGNAL: Final = _signal(4, "SIGUSR2")
"""Signal at which `faulthandler` writes the stack of the thread that receives it."""

FILE: Final = "itf-stacks"
"""Name of the stack file, visible in /proc/PID/fd."""

END: Final = "\0\n"
"""End mark of an answer."""

ANSWER: Final = 2.0
"""Seconds to wait for an answer; most answers take about 0.002."""

# Share of the time that is reserved for the Python handler.  On a busy machine the main
# thread may wait long for a processor or for the GIL.
_PATIENCE: Final = 0.5

# Seconds and ticks that show that the main thread does not handle the signal.  If it has
# slept for _ASLEEP since the signal, the signal is sent again: CPython loses a signal that
# arrives between its last check and a blocking system call.  If it then sleeps on, or has
# run for _TICKS, it is stuck in C code.
_ASLEEP: Final = 0.1
_TICKS: Final = 5

# Context switches that show that a thread waits for the GIL; it wakes every 5 ms then.
_SWITCHES: Final = 10

# Seconds between two checks that show that a thread sleeps, and the number of attempts.
# A thread that waits for the GIL wakes from time to time, so one attempt may fail.
_APART: Final = 0.002
_LOOKS: Final = 3

# Seconds of the first and of the longest pause between two checks for the answer.
_FIRST_LOOK: Final = 0.0002
_LONGEST_PAUSE: Final = 0.01

# Line that `faulthandler` writes above a stack.
_HEAD: Final = "Stack (most recent call first):"

# Serializes requests of this process: two answers at a time could not be told apart.
_request_lock = threading.Lock()


def ask_other(pid: int, number: int, seconds: float = ANSWER) -> str:
    """Return the stacks of a process, given the number of its stack file's descriptor.

    Returns:
        The stacks as text; empty if the process does not answer, or if this system
        does not allow to open another process's file.
    """
    path = f"/proc/{pid}/fd/{number}"
    try:
        if FILE not in os.readlink(path):
            return ""  # the stack file was closed, and the number belongs to another file
        file = Descriptor(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return ""
    try:
        return ask(file.number, pid, seconds)
    finally:
        file.close()


def ask(file: int, pid: int, seconds: float = ANSWER) -> str:
    """Return the stacks of a process; empty if it does not answer.

    Args:
        file: Descriptor, in this process, of the stack file of the other process.
        pid: Id of the other process.
        seconds: Longest time to wait for the answer.
    """
    if HANDLER_SIGNAL is None or FAULTHANDLER_SIGNAL is None or not os.fstat(file).st_size:
        return ""
    deadline = time.monotonic() + seconds
    with _exclusive(file, deadline) as is_exclusive:
        if not is_exclusive or not catches(pid, FAULTHANDLER_SIGNAL) or not _has_open(pid, file):
            return ""
        before = os.fstat(file).st_size
        stuck = _ask_handler(file, pid, HANDLER_SIGNAL, before, deadline)
        if stuck is None:
            return _written(file, before).replace(END, "")
        return _ask_faulthandler(file, pid, FAULTHANDLER_SIGNAL, stuck, deadline)


def _has_open(pid: int, file: int) -> bool:
    """Return whether a process has the file open; otherwise the pid may have been reused."""
    wanted = os.fstat(file)
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return True  # unknown, without /proc
    for number in numbers:
        with contextlib.suppress(OSError):
            found = os.stat(f"/proc/{pid}/fd/{number}")
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


def _written(file: int, since: int) -> str:
    return os.pread(file, os.fstat(file).st_size - since, since).decode(errors="replace")


def _ask_handler(
    file: int, pid: int, number: int, before: int, deadline: float
) -> list[int] | None:
    """Request the stacks by the Python handler.

    Returns:
        None if the process has answered; otherwise the threads that run in C code,
        without returning to Python.
    """
    if not catches(pid, number):
        return []
    start = progress(pid, pid)
    ready = readiness(pid, pid, number)
    if ready is not None and ready.is_blocked:
        return []
    with contextlib.suppress(OSError):
        signal_task(pid, pid, number)
    running = {task: progress(pid, task) for task in tasks(pid)}
    pause, last, asleep_since, again = _FIRST_LOOK, start, time.monotonic(), False
    end = asleep_since + _PATIENCE * (deadline - asleep_since)
    while time.monotonic() < end:
        # Polling: another process cannot notify this one when its answer is complete.
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        if _written(file, before).endswith(END):
            return None
        now = progress(pid, pid)
        if now is None or start is None:
            continue
        if now.ticks - start.ticks >= _TICKS:
            return [pid]
        if now != last or not now.is_asleep:
            last, asleep_since = now, time.monotonic()
        elif time.monotonic() - asleep_since >= _ASLEEP:
            if again:
                return []
            again, asleep_since = True, time.monotonic()
            with contextlib.suppress(OSError):
                signal_task(pid, pid, number)
    return _threads_in_c(pid, start, running)


def _threads_in_c(
    pid: int, start: Progress | None, running: dict[int, Progress | None]
) -> list[int]:
    """Return the main thread and the thread that keeps the GIL from it; empty if unknown."""
    now = progress(pid, pid)
    if start is None or now is None or now.switches - start.switches < _SWITCHES:
        return []
    found = []
    for task, before in running.items():
        after = progress(pid, task)
        if before is not None and after is not None and after.ticks - before.ticks >= _TICKS:
            found.append(task)
    return [pid, *found] if len(found) == 1 else []


def _ask_faulthandler(file: int, pid: int, number: int, stuck: list[int], deadline: float) -> str:
    """Return the stacks of stuck and sleeping threads, and the names of the others."""
    if not can_signal_tasks():
        return _stack_of(file, pid, pid, number, deadline)
    parts = []
    for task in tasks(pid):
        name = "main thread" if task == pid else f"thread {task}"
        if task not in stuck and not _sleeps(pid, task):
            parts.append(f"{name}: running; its stack was not requested\n")
            continue
        stack = _stack_of(file, pid, task, number, deadline)
        # A thread that has never run Python code writes no stack.
        if _HEAD in stack:
            parts.append(stack.replace(_HEAD, f"{name} (most recent call first):"))
    return "".join(parts)


def _sleeps(pid: int, task: int) -> bool:
    """Return whether a thread has slept between two checks."""
    for _ in range(_LOOKS):
        first = progress(pid, task)
        time.sleep(_APART)
        if first is not None and first.is_asleep and progress(pid, task) == first:
            return True
    return False


def _stack_of(file: int, pid: int, task: int, number: int, deadline: float) -> str:
    """Make a thread write its stack by `faulthandler`, and return that."""
    now = readiness(pid, task, number)
    if now is not None and (now.is_blocked or now.is_pending):
        return ""  # the thread would write its stack later, after this request
    before = os.fstat(file).st_size
    try:
        signal_task(pid, task, number)
    except OSError:
        return ""
    pause = _FIRST_LOOK
    while time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        now = readiness(pid, task, number)
        if now is None:
            if os.fstat(file).st_size > before or can_signal_tasks():
                break
        elif not now.is_blocked and not now.is_pending:
            break
    return _written(file, before)


@contextlib.contextmanager
def _exclusive(file: int, deadline: float) -> Iterator[bool]:
    """Exclude other requests that use this file, of all processes; yield whether that worked."""
    if not _request_lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
        yield False
        return
    try:
        while not (is_exclusive := _try_lock(file)) and time.monotonic() < deadline:
            time.sleep(_LONGEST_PAUSE)
        try:
            yield is_exclusive
        finally:
            # If this process dies before, the kernel releases the lock.
            if is_exclusive:
                fcntl.lockf(file, fcntl.LOCK_UN)
    finally:
        _request_lock.release()


def _try_lock(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, by platform
        return False
    return True


def _after_fork() -> None:
    global _request_lock  # noqa: PLW0603 - the thread that held the lock does not exist in this process
    _request_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
