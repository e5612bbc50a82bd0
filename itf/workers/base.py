"""Where workers come from and report to: what one environment gives to all of its workers."""

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
    """The workers of one environment, and what they have in common.

    Attributes:
        workers: All of them, in the order in which they were made.
        hooks: Called without arguments in each worker process before its
            target; they are sent as the target is.
        describe: Gives the text of where everybody is, for timeouts.
        on_failure: Called, once, with a worker and the error that it is found to have ended by.
        default_timeout: What a wait may take that was given no timeout.
        is_closed: Whether it is too late to start a worker.

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
        # Held while the line is made or let go.
        self._lock = threading.Lock()
        self._parent_death_pipe: ParentDeathPipe | None = None

    def child_setup(self) -> ChildSetup:
        """Return what the next worker process is born with.

        From the first on, orphans come to this process.
        """
        with self._lock:
            if self._parent_death_pipe is None:
                subreaper.acquire()
                self._parent_death_pipe = ParentDeathPipe()
            return ChildSetup(self._parent_death_pipe, self.mark, StackFile())

    @property
    def has_processes(self) -> bool:
        """Whether a worker process was ever about to start."""
        return self._parent_death_pipe is not None

    def close(self) -> None:
        """Cut the line, on which nobody should hang any more, and stop taking in orphans."""
        with self._lock:
            parent_death_pipe, self._parent_death_pipe = self._parent_death_pipe, None
            if parent_death_pipe is not None:
                parent_death_pipe.close()
                subreaper.release()

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker that has its own object knows its home by name only.
        return (WorkerContext, (self.default_timeout,))
