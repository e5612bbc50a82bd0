"""The state that all workers of one environment share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from itf.linux_proc import subreaper
from itf.workers.child_setup import ChildSetup
from itf.workers.orphans import new_mark
from itf.workers.parent_death import ParentDeathPipe
from itf.workers.stack_dump import StackFile

if TYPE_CHECKING:
    from itf.workers.worker import Worker

__all__ = ["WorkerContext"]

__unittest = True


class WorkerContext:
    """The workers of one environment, and their common state.

    Attributes:
        workers: All workers, in the order in which they were made.
        hooks: Functions that each worker process calls before its target; they are
            pickled as the target is.
        describe: Function that returns a text about all workers, for timeout messages.
        on_failure: Function called once for each failed worker, with the worker and its
            error, when the failure is found.
        default_timeout: Seconds of a wait without a timeout of its own; None is forever.
        is_closed: Whether the environment has ended, so that no worker can start.
        mark: Mark of the worker processes, for `itf.workers.orphans`.

    Thread safety: every method, from any thread.
    """

    def __init__(self, default_timeout: float | None = 60.0) -> None:
        self.default_timeout = default_timeout
        self.is_closed = False
        self.workers: list[Worker] = []
        self.hooks: list[Callable[[], object]] = []
        self.describe: Callable[[], str] = lambda: ""
        self.on_failure: Callable[[Worker, BaseException], object] = lambda worker, error: None
        self.mark = new_mark()
        # Protects the creation and closing of the pipe.
        self._lock = threading.Lock()
        self._parent_death_pipe: ParentDeathPipe | None = None

    def child_setup(self) -> ChildSetup:
        """Return the set-up of the next worker process.

        The first call makes this process a subreaper: orphaned processes of the workers
        become its children.
        """
        with self._lock:
            if self._parent_death_pipe is None:
                subreaper.acquire()
                self._parent_death_pipe = ParentDeathPipe()
            return ChildSetup(self._parent_death_pipe, self.mark, StackFile())

    @property
    def has_processes(self) -> bool:
        """Whether the start of a worker process was ever begun."""
        return self._parent_death_pipe is not None

    def close(self) -> None:
        """Close the pipe, which kills workers that still run, and stop being a subreaper."""
        with self._lock:
            parent_death_pipe, self._parent_death_pipe = self._parent_death_pipe, None
            if parent_death_pipe is not None:
                parent_death_pipe.close()
                subreaper.release()

    def __reduce__(self) -> tuple[Any, ...]:
        # A process object in a worker refers to a context of its own, without the workers.
        return (WorkerContext, (self.default_timeout,))
