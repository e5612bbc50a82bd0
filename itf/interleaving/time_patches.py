"""Replacements for the clocks and sleep of `time`, and for Thread.start and Thread.join."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from itf.interleaving.current import current_managed_thread, current_run
from itf.interleaving.managed_thread import ManagedThread, Sleep, start_as_daemon
from itf.interleaving.primitives import BUILT_ON, top_module
from itf.interleaving.scheduler import Scheduler

__all__ = ["clock", "join", "sleep", "start"]

__unittest = True

# Bound at import: the names in time and threading are patched while functions run.
_monotonic: Final = time.monotonic
_real_sleep: Final = time.sleep
_real_start: Final = threading.Thread.start
_real_join: Final = threading.Thread.join


def clock(real: Callable[[], Any], is_user_code: Callable[[FrameType], bool]) -> Callable[[], Any]:
    """Return a replacement for a function of ``time`` that returns the time.

    It returns virtual time to user code, and to the standard library's waits that use
    patched locks.  In a managed thread that is the time of the run.  In setup and check it is
    real time plus the virtual seconds of all runs so far.  Other code, which may wait
    for real sockets, and other threads get real time.

    Args:
        real: The function.
        is_user_code: Returns whether a frame is user code.
    """
    reading, monotonic_reading = real(), _monotonic()
    # The result has the same type and unit: int nanoseconds, or float seconds.
    kind, unit = type(reading), 1_000_000_000 if isinstance(reading, int) else 1

    def virtual_clock() -> Any:
        now = current_managed_thread()
        if now is None and not current_run.is_caller_thread():
            return real()
        if not _is_timed(sys._getframe(1), is_user_code):
            return real()
        if now is None:
            return real() + kind(current_run.clock_offset * unit)
        scheduler = now[0]
        return (
            reading
            + kind((scheduler.began - monotonic_reading) * unit)
            + kind(scheduler.now * unit)
        )

    return virtual_clock


def sleep(is_user_code: Callable[[FrameType], bool]) -> Callable[[float], None]:
    """Return a replacement for ``time.sleep`` that waits in virtual time."""

    def sleep(seconds: float, /) -> None:
        now = current_managed_thread()
        if now is None or not _is_timed(sys._getframe(1), is_user_code):
            _real_sleep(seconds)
            return
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        scheduler, managed = now
        if seconds == 0:
            scheduler.yield_turn(managed, lowest=True)
        else:
            scheduler.block(managed, Sleep(f"time.sleep({seconds})"), seconds)

    return sleep


def _is_timed(frame: FrameType, is_user_code: Callable[[FrameType], bool]) -> bool:
    return top_module(frame) in BUILT_ON or is_user_code(frame)


def start(thread: threading.Thread) -> None:
    """Replace ``threading.Thread.start``: a thread that a managed thread starts is managed, too."""
    now = current_managed_thread()
    if now is None:
        _real_start(thread)
        return
    scheduler, parent = now
    _start_managed(scheduler, parent, thread)


def _start_managed(scheduler: Scheduler, parent: ManagedThread, thread: threading.Thread) -> None:
    scheduler.step(parent)
    managed = scheduler.add(thread.name, is_root=False)
    managed.thread = thread
    run = thread.run
    thread.run = lambda: scheduler.run_in_thread(managed, run)  # type: ignore[method-assign]
    parent.bypass = True
    try:
        start_as_daemon(thread, daemon=thread.daemon)
    except BaseException:
        scheduler.threads.remove(managed)
        raise
    finally:
        parent.bypass = False
    scheduler.yield_turn(parent)


def join(thread: threading.Thread, timeout: float | None = None) -> None:
    """Replace ``threading.Thread.join``: wait in virtual time for the end of a managed thread."""
    now = current_managed_thread()
    if now is None:
        _real_join(thread, timeout)
        return
    scheduler, managed = now
    other = next((each for each in scheduler.threads if each.thread is thread), None)
    if other is not None and other is not managed:
        scheduler.step(managed)
        if not _wait_for(scheduler, managed, other, timeout):
            return
    _real_join(thread, timeout if other is None else None)


def _wait_for(
    scheduler: Scheduler, managed: ManagedThread, other: ManagedThread, timeout: float | None
) -> bool:
    """Wait in a managed thread for the end of another; return whether it ended in time."""
    deadline = None if timeout is None else scheduler.now + max(0.0, timeout)
    while not other.is_free():
        left = None if deadline is None else deadline - scheduler.now
        if left is not None and left <= 0:
            return False
        scheduler.block(managed, other, left)
    return True
