"""Threads that outlive a test: which, where they were started, where they are now."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Final

from itf.leaks.creation_sites import origins
from itf.leaks.leak import Leak
from itf.leaks.probes.tasks import executor_threads
from itf.tracebacks import thread_location

__all__ = ["blocked_on", "new_threads"]

__unittest = True

# Python's own, also while the guard watches who opens what.
_open: Final = open


def new_threads(before: frozenset[int], after: frozenset[int]) -> Iterator[Leak]:
    """Tell of the threads that were not there before, by the kernel's ids."""
    fresh = after - before
    if not fresh:
        return
    known = {thread.native_id: thread for thread in threading.enumerate()}
    of_loops = executor_threads()
    for native in sorted(fresh):
        thread = known.get(native)
        if thread in of_loops:
            continue
        name = thread.name if thread is not None else _native_name(native)
        yield Leak(
            "threads",
            "thread",
            name,
            ("thread", native),
            lambda native=native, thread=thread, name=name: _told(native, thread, name),  # type: ignore[misc]
            thread,
        )


def _told(native: int, thread: threading.Thread | None, name: str) -> str:
    origin = origins.text("thread", native, "started")
    if thread is None:
        what = "native thread, or one of _thread.start_new_thread"
        return f"thread {name!r} ({what}, id {native}){origin}"
    daemon = ", daemon" if thread.daemon else ""
    return f"thread {name!r} (ident {thread.ident}{daemon}){origin}, is {thread_location(thread)}"


def _native_name(native: int) -> str:
    with contextlib.suppress(OSError), _open(f"/proc/self/task/{native}/comm") as file:
        return file.read().strip()
    return f"thread {native}"


def blocked_on(thread: threading.Thread | None, pids: frozenset[int]) -> int | None:
    """Return which of these processes a thread waits for or works on.

    The kernel says what it waits for; what it works on is among what it was
    started with.  Its local variables are not looked at: they belong to a frame
    that runs, and without the GIL nobody else may read them.
    """
    if thread is None:
        return None
    waited_for = _waited_for(thread.native_id)
    if waited_for in pids:
        return waited_for
    for value in _started_with(thread):
        pid = _pid_of(value, pids)
        if pid is not None:
            return pid
    return None


# The numbers of the system calls wait4(pid, ...) and waitid(type, id, ...).
_WAIT_CALLS: Final = {"x86_64": ("61", "247"), "aarch64": ("260", "95")}

# The kernel shows whole registers, of which an int is the lower half.
_PID_MASK: Final = 0xFFFFFFFF

_MACHINE: Final = os.uname().machine if hasattr(os, "uname") else ""


def _waited_for(native: int | None) -> int | None:
    """Return the process that a thread waits for in a system call; None if that is not known."""
    try:
        with _open(f"/proc/self/task/{native}/syscall") as file:
            call = file.read().split()
    except OSError:
        return None  # not Linux, or the thread has ended
    wait4, waitid = _WAIT_CALLS.get(_MACHINE, ("", ""))
    if call[0] == wait4:
        return int(call[1], 16) & _PID_MASK
    if call[0] == waitid and int(call[1], 16) & _PID_MASK == os.P_PID:
        return int(call[2], 16) & _PID_MASK
    return None  # it runs, or waits for something else


def _started_with(thread: threading.Thread) -> Iterator[object]:
    """Walk what a thread was given: its attributes, and what its target is called with.

    There is no public way to the target and its arguments.
    """
    attributes = vars(thread).copy()
    yield from attributes.values()
    target = attributes.get("_target")
    yield getattr(target, "__self__", None)
    for cell in getattr(target, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # nothing is in it yet
            yield cell.cell_contents
    yield from attributes.get("_args") or ()
    yield from (attributes.get("_kwargs") or {}).values()


def _pid_of(value: object, pids: frozenset[int]) -> int | None:
    """Return the pid of an object that stands for a process, or has some of them."""
    found: list[object] = [getattr(value, "pid", None)] if hasattr(type(value), "__dict__") else []
    many = getattr(value, "processes", None) if type(value) is not dict else value
    if type(many) is dict:
        # What a process pool's thread has: a process by its pid.
        found += list(many)
    return next((pid for pid in found if type(pid) is int and pid in pids), None)
