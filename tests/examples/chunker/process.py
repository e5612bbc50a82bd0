"""One worker process, for one file; what the work is, it does not know.

A pipe for each, not one queue for all: a worker that is killed in the middle of a queue's ``put``
takes the queue's lock with it, and the others wait forever.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from .errors import WorkerDiedError, WorkerError, WorkerTimeoutError

__all__ = ["WorkerProcess"]

# Held while a worker is started, so that no other worker forked meanwhile inherits its end of
# the pipe: the end of the file would then not be seen when it dies. Held while one is reaped, too:
# Process.start looks after all children, and of two threads that wait for one child, one never
# learns the exit code.
_children = threading.Lock()


class WorkerProcess:
    """A process that calls ``work(name, path)`` and sends home what that returns.

    Thread safety: none; it belongs to the thread that made it.

    Raises:
        WorkerError: It cannot be started.
    """

    def __init__(
        self, name: str, path: str, timeout: float, work: Callable[[str, str], object]
    ) -> None:
        self.name = name
        self.path = path
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        with _children:
            self.pipe, theirs = multiprocessing.Pipe(duplex=False)
            self.process = multiprocessing.Process(
                target=_serve, args=(theirs, name, path, work), name=name, daemon=True
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
                raise WorkerError(path, name, None, f"cannot be started: {error}") from error
            finally:
                theirs.close()

    def is_done(self) -> bool:
        """Say whether `result` has something to tell: a result, a death, or a delay."""
        return self.pipe.poll() or time.monotonic() >= self.deadline

    def result(self) -> Any:
        """Return what the work returned.

        Raises:
            WorkerDiedError: It has died.
            WorkerTimeoutError: It is late.
        """
        if not self.pipe.poll():
            raise WorkerTimeoutError(self.path, self.name, self.process.pid, self.timeout)
        try:
            return self.pipe.recv()
        except (EOFError, OSError) as error:
            with _children:
                self.process.join()  # it is dead, or it would still hold its end of the pipe
                code = self.process.exitcode
            raise WorkerDiedError(self.path, self.name, self.process.pid, code) from error

    def stop(self) -> None:
        """End the process, whatever it is at; it has nothing to put away."""
        self.process.kill()
        with _children:
            self.process.join()
            self.process.close()
        self.pipe.close()


def _serve(pipe: Connection, name: str, path: str, work: Callable[[str, str], object]) -> None:
    """Work in the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it stops us
    with pipe, contextlib.suppress(BrokenPipeError):  # the parent has gone
        pipe.send(work(name, path))
