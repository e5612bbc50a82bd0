"""How workers end: all are asked at once, one grace for all, and then no more asking."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from itf.workers.processes import WorkerProcess
from itf.workers.threads import WorkerThread

__all__ = ["GRACE", "close_queue", "stop_processes", "wait_for_threads"]

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
    try:
        for process in running:
            process.terminate()
        _join(running, grace)
    finally:
        # Also when a KeyboardInterrupt cuts the grace short.
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


def close_queue(queue: Any) -> None:
    """Close a queue that no worker uses any more, and drop what nobody fetched.

    What `multiprocessing` offers would wait for a reader for ever, or leave
    behind the thread that feeds the queue and both ends of its pipe; so this
    reaches for its private parts.
    """
    queue.cancel_join_thread()
    feeder, reader, writer = queue._thread, queue._reader, queue._writer
    if feeder is None:
        queue.close()
        reader.close()
        writer.close()
        return
    try:
        outlet = os.dup(reader.fileno())
    except OSError:
        return  # the user has closed it, and the feeder has done so, too
    try:
        if not queue._closed:
            queue._buffer.clear()
        # At this the feeder ends, and closes both ends.
        queue.close()
        if os.name == "posix":
            _free(queue._wlock)
            _drain(outlet, feeder)
        feeder.join(_KILL_WAIT)
    finally:
        os.close(outlet)


def _free(lock: Any) -> None:
    """Free a lock that a worker held when it was killed; nobody else is left to hold it.

    ``_count`` says whether a thread of this process does.
    """
    if lock._semlock._is_zero() and not lock._semlock._count():
        lock.release()


def _drain(outlet: int, feeder: threading.Thread) -> None:
    """Read what a feeder writes until it ends; it waits where the pipe is full."""
    deadline = time.monotonic() + _KILL_WAIT
    poll = select.poll()
    poll.register(outlet, select.POLLIN)
    while feeder.is_alive() and time.monotonic() < deadline:
        # At its end the feeder closes the other side, and we read nothing.
        if poll.poll(_KILL_WAIT * 1000) and not os.read(outlet, 1 << 20):
            return


def _join(workers: Iterable[WorkerProcess | WorkerThread], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
