"""Threads that outlive a test: which, where they were started, where they are now."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

from itf.frames import where_is
from itf.guard.leaks import Leak
from itf.guard.origins import origins
from itf.guard.tasks import executor_threads

__all__ = ["blocked_on", "new_threads", "thread_frame"]

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
    return f"thread {name!r} (ident {thread.ident}{daemon}){origin}, is {where_is(thread)}"


def _native_name(native: int) -> str:
    with contextlib.suppress(OSError), _open(f"/proc/self/task/{native}/comm") as file:
        return file.read().strip()
    return f"thread {native}"


def thread_frame(thread: threading.Thread) -> FrameType | None:
    """Return the innermost frame of a thread; None if it runs no Python."""
    return sys._current_frames().get(thread.ident or 0)


def blocked_on(thread: threading.Thread | None, pids: frozenset[int]) -> int | None:
    """Return which of these processes a thread waits for or works on, as its frames show."""
    frame = thread_frame(thread) if thread is not None else None
    while frame is not None:
        for value in list(frame.f_locals.values()):
            pid = _pid_of(value, pids)
            if pid is not None:
                return pid
        frame = frame.f_back
    return None


def _pid_of(value: object, pids: frozenset[int]) -> int | None:
    """Return the pid of an object that stands for a process, or has some of them."""
    found: list[object] = [getattr(value, "pid", None)] if hasattr(type(value), "__dict__") else []
    many = getattr(value, "processes", None) if type(value) is not dict else value
    if type(many) is dict:
        # What a process pool's thread has: a process by its pid.
        found += list(many)
    return next((pid for pid in found if type(pid) is int and pid in pids), None)
