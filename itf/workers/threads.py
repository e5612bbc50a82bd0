"""Worker threads: `threading` threads that keep their result or error for the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from itf.exception_notes import add_note
from itf.exceptions import WorkerError
from itf.tracebacks import thread_location
from itf.workers.base import WorkerContext
from itf.workers.failure import module_of_error
from itf.workers.worker import DEFAULT, Default, Ending, Worker, check_call

__all__ = ["WorkerThread", "new_thread"]

__unittest = True


class WorkerThread(Worker, threading.Thread):
    """A thread that keeps its result or error; made by an environment."""

    worker_context: WorkerContext
    _itf_end: Ending | None = None

    def start(self) -> None:
        """Start the thread.

        Raises:
            WorkerError: It was started before, or its environment is closed.
        """
        self._itf_require_startable()
        super().start()

    def run(self) -> None:
        """Call the target in the new thread."""
        mine = cast(Any, self)
        try:
            value = mine._target(*mine._args, **mine._kwargs)
        except SystemExit as error:
            # As in a worker process, `sys.exit` without a code is no failure.
            failure = WorkerError(
                f"worker {self.name!r} called sys.exit({error.code!r})", self.name
            )
            failed = error.code not in (None, 0)
            self._itf_end = Ending(None, failure, True) if failed else Ending()
        except BaseException as error:  # noqa: BLE001 - any error is kept for the test
            module = module_of_error(error)
            add_note(error, f"in worker {self.name!r} (a thread), raised in {module}")
            self._itf_end = Ending(None, error, True, module)
        else:
            self._itf_end = Ending(value)
        finally:
            # As `threading.Thread.run` does: the target may refer to this thread, and the
            # cycle would keep both alive.
            del mine._target, mine._args, mine._kwargs

    def join(self, timeout: float | Default | None = DEFAULT) -> None:
        """Wait until the thread has ended.

        Args:
            timeout: Seconds, after which this method returns in any case, as in
                `threading`; None waits forever.

        Raises:
            WorkerError: The thread was not started.
            WorkerTimeoutError: No timeout was given, and the default timeout has passed.
        """
        self._itf_require_started("join()")
        seconds = self._itf_seconds(timeout)
        if not self._itf_wait(seconds) and isinstance(timeout, Default):
            raise self._itf_timeout(seconds, "join()")

    def where(self) -> str:
        """Return the line of code that the thread executes now, as text."""
        return thread_location(self)

    def _itf_was_started(self) -> bool:
        return self.ident is not None

    def _itf_has_ended(self) -> bool:
        return self._itf_was_started() and not self.is_alive()

    def _itf_wait(self, seconds: float | None) -> bool:
        super().join(seconds)
        return not self.is_alive()

    def _itf_find_ending(self) -> Ending:
        return self._itf_end or Ending()


def new_thread(
    worker_context: WorkerContext,
    target: Callable[..., object],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str,
) -> WorkerThread:
    """Make a worker thread; ``start()`` starts it.

    Args:
        worker_context: The context that the worker is added to.
        target: The function to call.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        name: The worker's name.

    Raises:
        TypeError: The target cannot be called, or not with these arguments.
    """
    kwargs = {} if kwargs is None else kwargs
    check_call(name, target, args, kwargs)
    # A daemon thread: one that never ends is reported as an error of the test, and must
    # not also prevent the interpreter from ending.
    worker = WorkerThread(
        target=target, args=tuple(args), kwargs=dict(kwargs), name=name, daemon=True
    )
    worker.worker_context = worker_context
    worker_context.workers.append(worker)
    return worker
