"""How a process is asked for its stacks: politely, and only then by force.

Politely, a signal makes its main thread write the stacks, in Python, where
nothing can move meanwhile.  One that does not come to it is stuck in C.  It is
asked by force: another signal makes `faulthandler`, in C, write the stack of
the thread that it comes to.  That one must stand still, for a thread that runs
on changes its frames, and looking at them then can end the process.  So it is
asked only where it sleeps, or has been in C for long.
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

__all__ = ["ANSWER", "FAULTHANDLER_SIGNAL", "END", "FILE", "HANDLER_SIGNAL", "ask", "ask_other"]

__unittest = True


def _signal(place: int, otherwise: str) -> int | None:
    """Choose a signal that nobody uses."""
    if hasattr(signal, "SIGRTMAX"):
        return int(signal.SIGRTMAX) - place
    number = getattr(signal, otherwise, None)
    return None if number is None else int(number)


HANDLER_SIGNAL: Final = _signal(3, "SIGUSR1")
"""The signal at which a process writes the stacks of all its threads."""

FAULTHANDLER_SIGNAL: Final = _signal(4, "SIGUSR2")
"""The signal at which a thread writes its own stack, wherever it is."""

FILE: Final = "itf-stacks"
"""How the file that it writes to is called among the descriptors of a process."""

END: Final = "\0\n"
"""What ends an answer."""

ANSWER: Final = 2.0
"""How long an answer may take, in seconds, which is most often a thousandth of that."""

# The part of its time that one that could answer is given: beside others on a
# slow machine it may take long to get the processor, or the interpreter's lock.
_PATIENCE: Final = 0.5

# One that has slept for so long since it was asked is asked again, for Python
# loses a signal that comes between its last look for one and the call that
# waits.  One that sleeps on does not wake by it, and one that has run for so
# many ticks does not come back from C.
_ASLEEP: Final = 0.1
_TICKS: Final = 5

# So often, at least, one wakes that waits for the interpreter's lock (every 5 ms).
_SWITCHES: Final = 10

# How far apart two looks are that show that a thread sleeps, and how many of
# them there are: one that waits for the interpreter's lock wakes now and then.
_APART: Final = 0.002
_LOOKS: Final = 3

_FIRST_LOOK: Final = 0.0002
_LONGEST_PAUSE: Final = 0.01

# What faulthandler writes above the stack of the thread that it runs in.
_HEAD: Final = "Stack (most recent call first):"

# Held while somebody is asked: of two answers at a time, nobody could tell
# which is whose.
_request_lock = threading.Lock()


def ask_other(pid: int, number: int, seconds: float = ANSWER) -> str:
    """Return the stacks of a process that writes them to a descriptor of this number.

    Empty if it does not answer: also where this system does not let one
    process open what another one has.
    """
    path = f"/proc/{pid}/fd/{number}"
    try:
        if FILE not in os.readlink(path):
            return ""  # closed, and another file in its place
        file = Descriptor(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return ""
    try:
        return ask(file.number, pid, seconds)
    finally:
        file.close()


def ask(file: int, pid: int, seconds: float = ANSWER) -> str:
    """Return the stacks of a process, empty if it does not answer.

    Args:
        file: A descriptor, in this process, of the file that it writes to.
        pid: The process.
        seconds: How long it may take.
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
    """Say whether a process has a file open; else it might write into another one of its own."""
    wanted = os.fstat(file)
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return True  # nobody can tell
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
    """Return None if it has answered, else the threads that are stuck in C as they run."""
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
        # One who answers in another process tells nobody when it is done.
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
    """Return who keeps the main thread waiting for the interpreter's lock, and that one."""
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
    """Return the stacks of the threads that are stuck or asleep, and who else there is."""
    if not can_signal_tasks():
        return _stack_of(file, pid, pid, number, deadline)
    parts = []
    for task in tasks(pid):
        name = "main thread" if task == pid else f"thread {task}"
        if task not in stuck and not _sleeps(pid, task):
            parts.append(f"{name}: running; its stack was not requested\n")
            continue
        stack = _stack_of(file, pid, task, number, deadline)
        # One that has never run any Python writes nothing.
        if _HEAD in stack:
            parts.append(stack.replace(_HEAD, f"{name} (most recent call first):"))
    return "".join(parts)


def _sleeps(pid: int, task: int) -> bool:
    """Say whether a thread slept from one look to the next one."""
    for _ in range(_LOOKS):
        first = progress(pid, task)
        time.sleep(_APART)
        if first is not None and first.is_asleep and progress(pid, task) == first:
            return True
    return False


def _stack_of(file: int, pid: int, task: int, number: int, deadline: float) -> str:
    """Make a thread write its stack, wait until it has, and return what it wrote."""
    now = readiness(pid, task, number)
    if now is not None and (now.is_blocked or now.is_pending):
        return ""  # it would write later, for nobody
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
    """Be the only thread of all processes that asks by this file, or say that it did not work."""
    if not _request_lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
        yield False
        return
    try:
        while not (is_exclusive := _try_lock(file)) and time.monotonic() < deadline:
            time.sleep(_LONGEST_PAUSE)
        try:
            yield is_exclusive
        finally:
            # The kernel does it if this process dies.
            if is_exclusive:
                fcntl.lockf(file, fcntl.LOCK_UN)
    finally:
        _request_lock.release()


def _try_lock(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN here, EACCES there
        return False
    return True


def _after_fork() -> None:
    global _request_lock  # noqa: PLW0603 - whoever held it is not in this process
    _request_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
