"""Several coroutines at once: results in order, all errors, no task left behind."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from itf.event_loops.task_deadlines import (
    cancel_and_wait,
    cancellation_of,
    close_unstarted,
    combine_errors,
    exception_of,
    timeout_error,
    uncancellable_error,
    wrap_exit_errors,
)
from itf.event_loops.wait import wait_all
from itf.exceptions import TaskTimeoutError

__all__ = ["gather_limited"]

__unittest = True

_T = TypeVar("_T")


async def gather_limited(
    coroutines: Sequence[Coroutine[Any, Any, _T]],
    timeout: float | None,
    limit: int | None = None,
    *,
    return_exceptions: bool = False,
) -> list[Any]:
    """Run coroutines concurrently and return their results in order.

    If one coroutine fails, the others are cancelled and awaited.

    Args:
        coroutines: The coroutines.
        timeout: Seconds for all coroutines together; None waits without limit.
        limit: Maximum number of coroutines that run at the same time; None is all.
        return_exceptions: Return each error in the place of the result, and cancel
            nothing when a coroutine fails.

    Raises:
        BaseException: The error of the coroutine that failed; a group if several failed.
        TaskTimeoutError: The timeout expired, or a task could not be cancelled.
    """
    group = _TaskGroup(
        coroutines, limit or len(coroutines), stop_at_first_error=not return_exceptions
    )
    late = {}
    try:
        if await wait_all([group.finished], timeout) == "expired":
            running = [task for task in group.tasks if not task.done()]
            # The errors show the stacks of the tasks, and so are made before the cancelling.
            if return_exceptions:
                late = {task: timeout_error(timeout, [task]) for task in running}
            elif running and not any(map(exception_of, group.tasks)):
                late = {running[0]: timeout_error(timeout, running, group.not_started)}
    finally:
        # Also if this coroutine itself is cancelled: no task may be left behind.
        group.stop_starting()
        try:
            uncancellable = await cancel_and_wait(group.tasks)
        finally:
            for coroutine in coroutines:
                close_unstarted(coroutine)
    try:
        if return_exceptions:
            return _results_and_errors(group, late, timeout)
        return _results(group, late, uncancellable)
    finally:
        # An error's traceback refers to this frame. Without the deletion, both would
        # live until the next garbage collection.
        del group, late, uncancellable


class _TaskGroup:
    """Runs coroutines as tasks, with a limit for how many run at the same time.

    `asyncio.TaskGroup` has no limit, no timeout, and does not keep the order of results.

    Attributes:
        tasks: The started tasks, in the order of the coroutines.
        finished: Done when all tasks have ended, or the first task has failed.
        self_cancelled: Tasks whose coroutine raised CancelledError itself. Known after
            `stop_starting`.
    """

    def __init__(
        self,
        coroutines: Sequence[Coroutine[Any, Any, Any]],
        limit: int,
        *,
        stop_at_first_error: bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._coroutines = coroutines
        self._stop_at_first_error = stop_at_first_error
        # Each task gets a copy of the caller's context. A done callback runs in the
        # context of the task that has ended, which must not reach the next task.
        self._context = contextvars.copy_context()
        self.tasks: list[asyncio.Task[Any]] = []
        self.self_cancelled: list[asyncio.Task[Any]] = []
        self._running = 0
        self.finished: asyncio.Future[None] = self._loop.create_future()
        for _ in range(min(limit, len(coroutines))):
            self._start_next()

    def _start_next(self) -> None:
        coroutine = wrap_exit_errors(self._coroutines[len(self.tasks)])
        task = self._loop.create_task(coroutine, context=self._context.copy())
        self._running += 1
        self.tasks.append(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        self._running -= 1
        if self.finished.done():
            return
        if self._stop_at_first_error and (task.cancelled() or exception_of(task) is not None):
            self.finished.set_result(None)
        elif len(self.tasks) < len(self._coroutines):
            self._start_next()
        elif not self._running:
            self.finished.set_result(None)

    def stop_starting(self) -> None:
        """Start no more tasks. To be called before the running tasks are cancelled."""
        self.self_cancelled = [task for task in self.tasks if task.cancelled()]
        if not self.finished.done():
            self.finished.set_result(None)

    def errors(self) -> list[BaseException]:
        """Return the errors of the tasks that failed, in order."""
        errors = [
            cancellation_of(task) if task in self.self_cancelled else exception_of(task)
            for task in self.tasks
        ]
        return [error for error in errors if error is not None]

    @property
    def not_started(self) -> int:
        """Number of coroutines that were never started, because of the limit."""
        return len(self._coroutines) - len(self.tasks)


def _results(
    group: _TaskGroup,
    late: dict[asyncio.Task[Any], TaskTimeoutError],
    uncancellable: list[asyncio.Task[Any]],
) -> list[Any]:
    """Return all results, or raise all errors."""
    errors = group.errors()
    message = f"{len(errors)} of {len(group.tasks) + group.not_started} coroutines failed"
    try:
        for expired in late.values():
            # If a task raised an error while it was cancelled, that is the cause.
            raise expired from (combine_errors(errors, message) if errors else None)
        if uncancellable:
            errors.append(uncancellable_error(uncancellable))
        if errors:
            raise combine_errors(errors, message)
        return [task.result() for task in group.tasks]
    finally:
        del errors, late, uncancellable  # see gather_limited


def _results_and_errors(
    group: _TaskGroup, late: dict[asyncio.Task[Any], TaskTimeoutError], timeout: float | None
) -> list[Any]:
    """Return the result or the error of each coroutine.

    KeyboardInterrupt and SystemExit are raised: they end a program.
    """
    outcomes: list[Any] = []
    for task in group.tasks:
        error = exception_of(task)
        if error is not None and not isinstance(error, Exception):
            raise error
        if task in late:
            late[task].__cause__ = error
            outcomes.append(late[task])
        elif task.cancelled():
            outcomes.append(cancellation_of(task))
        else:
            outcomes.append(error if error is not None else task.result())
    for _ in range(group.not_started):
        outcomes.append(
            TaskTimeoutError(f"timed out after {timeout:g} s, before the coroutine was started")
        )
    return outcomes
