"""One worker process and the pipe to it; what the work is, it does not know.

A pipe for each, not one queue for all: a worker that is killed in the middle of a queue's ``get``
or ``put`` takes the queue's lock with it, and the others wait forever.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Final

from .errors import WorkerDiedError, WorkerError, WorkerTimeoutError

__all__ = ["START_TIMEOUT", "WorkerProcess", "stop"]

START_TIMEOUT: Final = 60.0  # a spawned worker imports everything anew, on a busy machine
_STOP_TIMEOUT: Final = 2.0  # an idle worker ends in milliseconds; SIGKILL ends the others

# Held while a worker is started, so that no other worker forked meanwhile inherits its end of
# the pipe: the end of the file would then not be seen when it dies. Held while one is reaped, too:
# Process.start looks after all children, and of two threads that wait for one child, one never
# learns the exit code.
_children = threading.Lock()


class WorkerProcess:
    """A process that calls ``work(name, *task)`` for each task it is given.

    Thread safety: none; it belongs to the thread that made it.

    Raises:
        WorkerError: It cannot be started.
    """

    def __init__(self, context: BaseContext, name: str, work: Callable[..., object]) -> None:
        self.name = name
        self.path: str | None = None  # the file it is at; None when it is at none
        self.timeout = START_TIMEOUT
        self.deadline = time.monotonic() + START_TIMEOUT
        with _children:
            self.pipe, theirs = context.Pipe()
            # A BaseContext has no Process; each of those that get_context returns has.
            make: Callable[..., BaseProcess] = context.Process  # type: ignore[attr-defined]
            self.process = make(
                target=_serve, args=(theirs, self.pipe, name, work), name=name, daemon=True
            )
            try:
                self.process.start()
            # No process is to be had; the work cannot be pickled; we are a daemon ourselves.
            except (
                OSError,
                pickle.PicklingError,
                TypeError,
                AttributeError,
                AssertionError,
            ) as error:
                self.pipe.close()
                raise WorkerError(None, name, None, f"cannot be started: {error}") from error
            finally:
                theirs.close()

    @property
    def handles(self) -> list[Connection | int]:
        """What to wait for: its word, or its death."""
        return [self.pipe, self.process.sentinel]

    def give(self, path: str, task: Sequence[object], timeout: float) -> None:
        """Send it a task, which is about a file."""
        self.path = path
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        # If it has died, the next `receive` says so, with the file.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(task)

    def receive(self) -> list[Any]:
        """Return what it said: ``[]`` is nothing, ``[None]`` ready to begin, else ``[result]``.

        Raises:
            WorkerDiedError: It has died.
            WorkerTimeoutError: It is late.
        """
        if wait(self.handles, 0):
            try:
                if self.pipe.poll():
                    said = self.pipe.recv()
                    self.path = None
                    return [said]
                raise EOFError("the process ended without a word")
            except (EOFError, OSError) as error:
                exitcode = _reap(self.process, _STOP_TIMEOUT)
                raise WorkerDiedError(self.path, self.name, self.process.pid, exitcode) from error
        if time.monotonic() >= self.deadline:
            raise WorkerTimeoutError(self.path, self.name, self.process.pid, self.timeout)
        return []


def stop(workers: Sequence[WorkerProcess]) -> None:
    """End processes: the idle ones are asked, the busy ones terminated, those that stay killed."""
    for worker in workers:
        if worker.path is None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has gone already
                worker.pipe.send(None)
        else:
            worker.process.terminate()
    deadline = time.monotonic() + _STOP_TIMEOUT
    for worker in workers:
        if _reap(worker.process, max(0.0, deadline - time.monotonic())) is None:
            worker.process.kill()
            _reap(worker.process, _STOP_TIMEOUT)
        worker.pipe.close()
        # ValueError: it "is still running", for somebody else reaps it at this moment.
        with _children, contextlib.suppress(ValueError):
            worker.process.close()


def _reap(process: BaseProcess, timeout: float) -> int | None:
    """Wait for the end of a process; return its exit code, None if it runs or nobody knows."""
    if not wait([process.sentinel], timeout):
        return None
    with _children:
        process.join(_STOP_TIMEOUT)
        return process.exitcode


def _serve(
    pipe: Connection, parents_end: Connection, name: str, work: Callable[..., object]
) -> None:
    """Work in the process until there is no more to do, or no parent."""
    # A forked process has a copy of it, and would never see the end of the file if it kept that.
    parents_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it stops us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not a handler that the parent had set
    threading.Thread(target=_follow_parent, name="follow-parent", daemon=True).start()
    with pipe:
        pipe.send(None)
        while True:
            try:
                task = pipe.recv()  # no deadline: the parent's word or its death ends the wait
            except (EOFError, ConnectionResetError):  # it has closed the pipe
                return
            if task is None:
                return
            pipe.send(work(name, *task))


def _follow_parent() -> None:
    """End this process when its parent is no more, also in the middle of a task."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
