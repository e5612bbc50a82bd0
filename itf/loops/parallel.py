"""Several coroutines at once: results in order, every failure, nothing left behind."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from itf.exceptions import TaskTimeoutError
from itf.loops.tasks import (
    cancel,
    cancellation_of,
    close_unstarted,
    error_of,
    held,
    one_error,
    refusal,
    timed_out,
)
from itf.loops.waiting import settle

__all__ = ["together"]

__unittest = True

_T = TypeVar("_T")


async def together(
    coroutines: Sequence[Coroutine[Any, Any, _T]],
    timeout: float | None,
    limit: int | None = None,
    *,
    return_exceptions: bool = False,
) -> list[Any]:
    """Await coroutines at once, and return their results in order; if one fails, cancel the rest.

    Args:
        coroutines: What to await.
        timeout: Seconds for all of them; None is for ever.
        limit: How many may run at a time; None is all.
        return_exceptions: Give each failure as a result, and cancel nothing for it.

    Raises:
        BaseException: What the one that failed raised; if several did, a group of all.
        TaskTimeoutError: They took longer.
    """
    crew = _Crew(coroutines, limit or len(coroutines), to_first_error=not return_exceptions)
    late = {}
    try:
        if await settle([crew.over], timeout) == "expired":
            running = [task for task in crew.tasks if not task.done()]
            if return_exceptions:
                late = {task: timed_out(timeout, [task]) for task in running}
            elif running and not any(map(error_of, crew.tasks)):
                late = {running[0]: timed_out(timeout, running, crew.not_begun)}
    finally:
        # Also when we are cancelled ourselves: nothing is left behind.
        crew.close()
        try:
            stubborn = await cancel(crew.tasks)
        finally:
            for coroutine in coroutines:
                close_unstarted(coroutine)
    try:
        if return_exceptions:
            return _all_outcomes(crew, late, timeout)
        return _all_results(crew, late, stubborn)
    finally:
        # An error holds its frames, and this one would hold the error.
        del crew, late, stubborn


class _Crew:
    """The tasks of some coroutines, of which so many run at a time.

    Attributes:
        tasks: Those that were begun, in the order of the coroutines.
        over: Done when all have ended, or the first has failed.
        gave_up: Those that cancelled themselves; known once it is closed.
    """

    def __init__(
        self, coroutines: Sequence[Coroutine[Any, Any, Any]], limit: int, *, to_first_error: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._coroutines = coroutines
        self._to_first_error = to_first_error
        # Each task gets a copy of the context that run_parallel was called in,
        # not of that in which another task ended.
        self._context = contextvars.copy_context()
        self.tasks: list[asyncio.Task[Any]] = []
        self.gave_up: list[asyncio.Task[Any]] = []
        self._running = 0
        self.over: asyncio.Future[None] = self._loop.create_future()
        for _ in range(min(limit, len(coroutines))):
            self._begin_next()

    def _begin_next(self) -> None:
        coroutine = held(self._coroutines[len(self.tasks)])
        task = self._loop.create_task(coroutine, context=self._context.copy())
        self._running += 1
        self.tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running -= 1
        if self.over.done():
            return
        if self._to_first_error and (task.cancelled() or error_of(task) is not None):
            self.over.set_result(None)
        elif len(self.tasks) < len(self._coroutines):
            self._begin_next()
        elif not self._running:
            self.over.set_result(None)

    def close(self) -> None:
        """Begin no more; to be called before those that run are cancelled."""
        self.gave_up = [task for task in self.tasks if task.cancelled()]
        if not self.over.done():
            self.over.set_result(None)

    def errors(self) -> list[BaseException]:
        """Return how those failed that did, in order."""
        found = [
            cancellation_of(task) if task in self.gave_up else error_of(task) for task in self.tasks
        ]
        return [error for error in found if error is not None]

    @property
    def not_begun(self) -> int:
        """How many coroutines never got their turn."""
        return len(self._coroutines) - len(self.tasks)


def _all_results(
    crew: _Crew,
    late: dict[asyncio.Task[Any], TaskTimeoutError],
    stubborn: list[asyncio.Task[Any]],
) -> list[Any]:
    """Return all results, or raise all errors."""
    errors = crew.errors()
    failed = f"{len(errors)} of {len(crew.tasks) + crew.not_begun} coroutines failed"
    try:
        for expired in late.values():
            # What they raised on their way out, if anything, is told as the cause.
            raise expired from (one_error(errors, failed) if errors else None)
        if stubborn:
            errors.append(refusal(stubborn))
        if errors:
            raise one_error(errors, failed)
        return [task.result() for task in crew.tasks]
    finally:
        del errors, late, stubborn


def _all_outcomes(
    crew: _Crew, late: dict[asyncio.Task[Any], TaskTimeoutError], timeout: float | None
) -> list[Any]:
    """Return what each coroutine returned or raised; raise only what ends a program."""
    outcomes: list[Any] = []
    for task in crew.tasks:
        error = error_of(task)
        if error is not None and not isinstance(error, Exception):
            raise error  # KeyboardInterrupt, SystemExit
        if task in late:
            late[task].__cause__ = error
            outcomes.append(late[task])
        elif task.cancelled():
            outcomes.append(cancellation_of(task))
        else:
            outcomes.append(error if error is not None else task.result())
    for _ in range(crew.not_begun):
        outcomes.append(TaskTimeoutError(f"timed out after {timeout:g} s: its turn never came"))
    return outcomes
