"""Shutdown of workers: SIGTERM to all at once, one common grace period, then SIGKILL."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable
from multiprocessing.connection import wait
from typing import Final

from itf.exceptions import WorkerError
from itf.workers.base import WorkerContext
from itf.workers.orphans import end_group, reap_marked
from itf.workers.processes import WorkerProcess
from itf.workers.threads import WorkerThread

__all__ = [
    "GRACE",
    "close_context",
    "processes_of",
    "stop_processes",
    "threads_of",
    "wait_for_threads",
]

__unittest = True

GRACE: Final = 1.0
"""Seconds in which all workers together may end after SIGTERM; most need less than 0.1."""

# Seconds to wait for the end of a process after SIGKILL.  It takes longer only if the
# process is stuck in a system call.
_KILL_WAIT: Final = 5.0


def stop_processes(processes: Iterable[WorkerProcess], grace: float = GRACE) -> list[WorkerProcess]:
    """Stop all processes: SIGTERM to each, one common grace period, then SIGKILL.

    Returns:
        The processes that are still alive.
    """
    running = [process for process in processes if process.is_alive()]
    for process in running:
        process.terminate()
        # A paused process does not handle SIGTERM until it continues.
        with contextlib.suppress(OSError, WorkerError):
            process.resume()
    running = _wait(running, grace)
    for process in running:
        process.kill()
    return _wait(running, _KILL_WAIT)


def _wait(processes: list[WorkerProcess], seconds: float) -> list[WorkerProcess]:
    """Wait for processes, and return those that have not ended in time."""
    deadline = time.monotonic() + seconds
    running = [process for process in processes if process.is_alive()]
    while running:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        wait([process.sentinel for process in running], left)
        running = [process for process in running if process.is_alive()]
    return running


def wait_for_threads(threads: Iterable[WorkerThread], grace: float = GRACE) -> list[WorkerThread]:
    """Wait for all threads for one common grace period; a thread cannot be killed.

    Returns:
        The threads that are still alive.
    """
    running = [thread for thread in threads if thread.is_alive()]
    deadline = time.monotonic() + grace
    for thread in running:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in running if thread.is_alive()]


def processes_of(worker_context: WorkerContext) -> list[WorkerProcess]:
    """Return the worker processes of an environment, in the order in which they were made."""
    return [worker for worker in worker_context.workers if isinstance(worker, WorkerProcess)]


def threads_of(worker_context: WorkerContext) -> list[WorkerThread]:
    """Return the worker threads of an environment, in the order in which they were made."""
    return [worker for worker in worker_context.workers if isinstance(worker, WorkerThread)]


def close_context(worker_context: WorkerContext) -> list[int]:
    """Kill the processes that workers left behind, and release the workers' resources.

    The workers must have been stopped.  Their results and exit codes stay readable.

    Returns:
        The pids of processes that workers had started and that still ran.
    """
    worker_context.is_closed = True
    processes = processes_of(worker_context)
    left: list[int] = []
    if worker_context.has_processes:
        alive = frozenset(p.pid for p in processes if p.pid is not None and p.is_alive())
        if sys.platform == "linux":
            left = reap_marked(worker_context.mark, alive)
        else:
            for process in processes:
                if process.pid is not None and process.pid not in alive:
                    end_group(process.pid)
    for process in processes:
        if not process.is_alive():
            process.close()
    worker_context.close()
    return left
