"""What stands in for time's clocks and sleep, and for a thread's start and join."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from itf.schedules.active import active, current_task
from itf.schedules.primitives import BUILT_ON, top_module
from itf.schedules.scheduler import Scheduler
from itf.schedules.tasks import Pause, Task, start_as_daemon

__all__ = ["clock", "join", "sleep", "start"]

__unittest = True

_monotonic: Final = time.monotonic
_real_sleep: Final = time.sleep
_real_start: Final = threading.Thread.start
_real_join: Final = threading.Thread.join


def clock(real: Callable[[], Any], is_users: Callable[[FrameType], bool]) -> Callable[[], Any]:
    """Return what stands in for a function of ``time`` that tells the time.

    It tells the run's own time in code of the user and in the waits that are
    taken over: in a function, and, from where that has come to, in setup and
    check.  All others, which may wait for real sockets, are told the real one.

    Args:
        real: The function.
        is_users: Says whether a frame is the user's.
    """
    made, made_at = real(), _monotonic()
    # The same type: an int of nanoseconds, or a float of seconds.
    kind, unit = type(made), 1_000_000_000 if isinstance(made, int) else 1

    def tell() -> Any:
        now = current_task()
        if now is None and not active.is_explorer():
            return real()
        if not _is_timed(sys._getframe(1), is_users):
            return real()
        if now is None:
            return real() + kind(active.ahead * unit)
        scheduler = now[0]
        return made + kind((scheduler.began - made_at) * unit) + kind(scheduler.now * unit)

    return tell


def sleep(is_users: Callable[[FrameType], bool]) -> Callable[[float], None]:
    """Return what stands in for ``time.sleep``."""

    def sleep(seconds: float, /) -> None:
        now = current_task()
        if now is None or not _is_timed(sys._getframe(1), is_users):
            _real_sleep(seconds)
            return
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        scheduler, task = now
        if seconds == 0:
            scheduler.yield_turn(task, lowest=True)
        else:
            scheduler.block(task, Pause(f"time.sleep({seconds})"), seconds)

    return sleep


def _is_timed(frame: FrameType, is_users: Callable[[FrameType], bool]) -> bool:
    return top_module(frame) in BUILT_ON or is_users(frame)


def start(thread: threading.Thread) -> None:
    """Stand in for ``threading.Thread.start``: what a thread of the run starts joins the run."""
    now = current_task()
    if now is None:
        _real_start(thread)
        return
    scheduler, parent = now
    _spawn(scheduler, parent, thread)


def _spawn(scheduler: Scheduler, parent: Task, thread: threading.Thread) -> None:
    scheduler.step(parent)
    task = scheduler.add(thread.name, is_root=False)
    task.thread = thread
    run = thread.run
    thread.run = lambda: scheduler.live_in(task, run)  # type: ignore[method-assign]
    parent.real = True
    try:
        start_as_daemon(thread, daemon=thread.daemon)
    except BaseException:
        scheduler.tasks.remove(task)
        raise
    finally:
        parent.real = False
    scheduler.yield_turn(parent)


def join(thread: threading.Thread, timeout: float | None = None) -> None:
    """Stand in for ``threading.Thread.join``."""
    now = current_task()
    if now is None:
        _real_join(thread, timeout)
        return
    scheduler, task = now
    other = scheduler.task_of(thread)
    if other is not None and other is not task:
        scheduler.step(task)
        if not scheduler.join(task, other, timeout):
            return
    _real_join(thread, timeout if other is None else None)
