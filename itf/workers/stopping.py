"""How workers end: all are asked at once, one grace for all, and then no more asking."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Final

from itf.frames import site
from itf.workers.processes import WorkerProcess
from itf.workers.threads import WorkerThread

__all__ = ["GRACE", "stop_processes", "wait_for_threads"]

__unittest = True

GRACE: Final = 1.0
"""How long, in seconds, all workers together may take to end once they are asked to."""

# How long a process may take to vanish after SIGKILL; longer only if the kernel
# itself is stuck on its behalf.
_KILL_WAIT: Final = 5.0


def stop_processes(processes: Iterable[WorkerProcess], grace: float = GRACE) -> list[WorkerProcess]:
    """End all processes: SIGTERM to each, one shared grace, SIGKILL.

    Returns:
        Those that are alive even so.
    """
    running = [process for process in processes if process.pid is not None and process.is_alive()]
    for process in running:
        process.terminate()
    _join(running, grace)
    running = [process for process in running if process.is_alive()]
    for process in running:
        process.kill()
    _join(running, _KILL_WAIT)
    return [process for process in running if process.is_alive()]


def wait_for_threads(threads: Iterable[WorkerThread], grace: float = GRACE) -> list[WorkerThread]:
    """Wait for all threads, which cannot be ended from outside, for one shared grace.

    Returns:
        Those that are alive even so.
    """
    running = [thread for thread in threads if thread.is_alive()]
    _join(running, grace)
    return [thread for thread in running if thread.is_alive()]


def describe_thread(thread: WorkerThread) -> str:
    """Say which thread it is and where it is now."""
    frame = sys._current_frames().get(thread.ident or 0)
    where = f"at {site(frame)}" if frame is not None else "about to end"
    return f"{thread.name!r} ({where})"


def _join(workers: Iterable[WorkerProcess | WorkerThread], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
