"""Coroutines with a timeout; cancelling and reporting of tasks that are left behind."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast

from itf.event_loops.async_generators import AsyncGeneratorTracker
from itf.event_loops.task_stacks import coroutine_name, format_stacks, hide_task, sort_by_name
from itf.event_loops.virtual_loop import VirtualLoop
from itf.event_loops.wait import RealSeconds, wait_all
from itf.exception_notes import add_note
from itf.exceptions import AsyncDeadlockError, TaskTimeoutError
from itf.safe_repr import safe_str
from itf.tracebacks import thread_location

__all__ = [
    "CANCEL_GRACE",
    "Leftovers",
    "await_with_timeout",
    "cancel_and_wait",
    "cancellation_of",
    "close_unstarted",
    "combine_errors",
    "end_leftovers",
    "end_leftovers_of",
    "exception_of",
    "result_or_error",
    "stuck_threads_error",
    "timeout_error",
    "uncancellable_error",
    "wrap_exit_errors",
]

__unittest = True

_T = TypeVar("_T")

CANCEL_GRACE: Final = 1.0
"""Seconds that a cancelled task may take to end; enough for a clean-up over the network."""


async def result_or_error(
    coroutine: Coroutine[Any, Any, _T], timeout: float | None, generators: AsyncGeneratorTracker
) -> tuple[_T | None, BaseException | None]:
    """Await a coroutine; return a pair of its result and its error, one of them None.

    An error that was raised instead would keep asyncio's frames alive.
    """
    hide_task(asyncio.current_task())
    generators.install()
    try:
        return await await_with_timeout(coroutine, timeout, detect_deadlock=True), None
    except asyncio.CancelledError:
        raise  # Runner.run turns it into a KeyboardInterrupt after Ctrl-C
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        return None, error


async def await_with_timeout(
    coroutine: Coroutine[Any, Any, _T], timeout: float | None, *, detect_deadlock: bool = False
) -> _T:
    """Await a coroutine; cancel it after the timeout.

    `asyncio.timeout` is not used: it waits without limit for a coroutine that does
    not end when it is cancelled. Such a coroutine is abandoned after `CANCEL_GRACE`.

    Raises:
        TaskTimeoutError: The timeout expired, or the coroutine could not be cancelled.
        AsyncDeadlockError: No task can continue (with ``detect_deadlock``).
    """
    task = asyncio.ensure_future(wrap_exit_errors(coroutine))
    try:
        waited = await wait_all([task], timeout, detect_deadlock=detect_deadlock)
        # Made before the task is cancelled, because the error shows its stack.
        late = timeout_error(timeout, [task]) if waited == "expired" and not task.done() else None
    finally:
        try:
            uncancellable = await cancel_and_wait([task])
        finally:
            close_unstarted(coroutine)
    error: BaseException | None = None
    try:
        if isinstance(waited, AsyncDeadlockError):
            if uncancellable:
                add_note(waited, safe_str(uncancellable_error(uncancellable)))
            raise waited from exception_of(task)
        if uncancellable:
            raise uncancellable_error(uncancellable)
        if late is not None:
            # If the coroutine raised an error while it was cancelled, that is the cause.
            raise late from exception_of(task)
        error = exception_of(task)
        if error is not None:
            raise error
        return await task
    finally:
        # The error's traceback refers to this frame. Without the deletion, both would
        # live until the next garbage collection.
        error = late = None
        del task, uncancellable, waited


async def cancel_and_wait(tasks: Sequence[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Cancel tasks, wait up to `CANCEL_GRACE` seconds, and return those still running.

    Raises:
        asyncio.CancelledError: The caller was cancelled meanwhile. It is raised only
            after the wait, so that no task is left running without need.
    """
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    own_cancellation: asyncio.CancelledError | None = None
    deadline = time.monotonic() + CANCEL_GRACE
    try:
        while any(not task.done() for task in running):
            remaining = RealSeconds(max(0.0, deadline - time.monotonic()))
            try:
                # A deadlock ends the wait: the tasks will not end any more.
                await wait_all(running, remaining, detect_deadlock=True)
                break
            except asyncio.CancelledError as error:
                own_cancellation = error
        if own_cancellation is not None:
            raise own_cancellation
    finally:
        del own_cancellation  # its traceback refers to this frame
    return [task for task in running if not task.done()]


class Leftovers:
    """The tasks and generators that were left in a loop, and how they ended.

    Attributes:
        descriptions: One line for each task and each asynchronous generator.
        task_stacks: Stacks of the tasks before they were cancelled, as text; one item
            for each round of cancelling.
        generators: One line for each asynchronous generator.
        uncancellable: Tasks that did not end when they were cancelled.
        errors: Errors that the other tasks and generators raised while they ended.
    """

    def __init__(self) -> None:
        self.descriptions: list[str] = []
        self.task_stacks: list[str] = []
        self.generators: list[str] = []
        self.uncancellable: list[asyncio.Task[Any]] = []
        self.errors: list[BaseException] = []


async def end_leftovers(
    generators: AsyncGeneratorTracker, is_allowed: Callable[[str], bool] = lambda name: False
) -> Leftovers:
    """Cancel all other tasks of the running loop, and close its asynchronous generators.

    Tasks that are created while others are cancelled are cancelled too.

    Args:
        generators: The generators of this loop.
        is_allowed: Returns whether the task or generator with this name may be left
            without a report. It is ended all the same.
    """
    current = asyncio.current_task()
    hide_task(current)
    generators.install()
    left = Leftovers()
    known = {current}
    deadline = time.monotonic() + CANCEL_GRACE
    while tasks := sort_by_name(task for task in asyncio.all_tasks() if task not in known):
        if time.monotonic() > deadline:  # each cancelled task creates another one
            left.uncancellable += tasks
            break
        known.update(tasks)
        reported = [task for task in tasks if not is_allowed(task.get_name())]
        if reported:
            left.task_stacks.append(format_stacks(reported))
            left.descriptions += [" ".join(format_stacks([task]).split()) for task in reported]
        left.uncancellable += await cancel_and_wait(tasks)
        left.errors += [error for error in map(exception_of, tasks) if error is not None]
    unfinished = generators.unfinished()
    left.generators = [
        AsyncGeneratorTracker.describe(generator)
        for generator in unfinished
        if not is_allowed(generator.__qualname__)
    ]
    left.descriptions += left.generators
    # A running generator belongs to a task that could not be cancelled.
    closing = [
        asyncio.ensure_future(_close(generator))
        for generator in unfinished
        if not generator.ag_running
    ]
    await wait_all(closing, RealSeconds(CANCEL_GRACE), detect_deadlock=True)
    left.uncancellable += await cancel_and_wait(closing)
    left.errors += [error for error in map(exception_of, closing) if error is not None]
    return left


async def _close(generator: Any) -> None:
    await generator.aclose()


def end_leftovers_of(runner: asyncio.Runner, generators: AsyncGeneratorTracker) -> Leftovers:
    """Run `end_leftovers` in a runner.

    If a loop is running in this thread, the runner runs in another thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return runner.run(end_leftovers(generators))
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: runner.run(end_leftovers(generators))).result()


class _WrappedExitError(Exception):
    """Carries a KeyboardInterrupt or SystemExit out of a task.

    A task that raises one of these itself stops the whole loop at once.
    """

    def __init__(self, wrapped: BaseException) -> None:
        super().__init__(wrapped)
        self.wrapped = wrapped


def wrap_exit_errors(coroutine: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
    """Return a coroutine that wraps KeyboardInterrupt and SystemExit, for use in a task.

    `exception_of` unwraps them.
    """
    wrapper: Any = _wrapping(coroutine)
    # asyncio and stack traces show the name of the user's coroutine.
    wrapper.__qualname__ = coroutine_name(coroutine)
    return cast("Coroutine[Any, Any, _T]", wrapper)


async def _wrapping(coroutine: Coroutine[Any, Any, _T]) -> _T:
    try:
        return await coroutine
    except (KeyboardInterrupt, SystemExit) as error:
        raise _WrappedExitError(error) from None


def close_unstarted(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine that never started; Python would warn that it was never awaited."""
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        coroutine.close()


def exception_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return the error that a task raised; None if it runs, was cancelled, or succeeded."""
    if not task.done() or task.cancelled():
        return None
    error = task.exception()
    return error.wrapped if isinstance(error, _WrappedExitError) else error


def cancellation_of(task: asyncio.Task[Any]) -> asyncio.CancelledError:
    """Return the CancelledError of a cancelled task."""
    try:
        task.result()
    except asyncio.CancelledError as error:
        return error
    raise ValueError(f"{task!r} was not cancelled")


def combine_errors(errors: list[BaseException], message: str) -> BaseException:
    """Return the only error itself, or a group of several errors."""
    return errors[0] if len(errors) == 1 else BaseExceptionGroup(message, errors)


def timeout_error(
    timeout: float | None, tasks: Sequence[asyncio.Task[Any]], not_started: int = 0
) -> TaskTimeoutError:
    """Return the error for tasks that took too long, with their current stacks."""
    lines = [f"timed out after {timeout:g} s:", format_stacks(tasks)]
    if not_started:
        lines.append(f"  {not_started} more had not started")
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        lines.append(f"  the virtual clock stands at {loop.time():g} s")
        work = loop.describe_external_work()
        if work:
            lines[-1] += f", and runs at the speed of the real clock because of {', '.join(work)}"
    return TaskTimeoutError("\n".join(lines))


def uncancellable_error(tasks: list[asyncio.Task[Any]]) -> TaskTimeoutError:
    """Return the error for tasks that did not end when they were cancelled."""
    count = "1 task is" if len(tasks) == 1 else f"{len(tasks)} tasks are"
    return TaskTimeoutError(
        f"{count} still running {CANCEL_GRACE:g} s after being cancelled; "
        f"do not suppress CancelledError in:\n{format_stacks(tasks)}"
    )


def stuck_threads_error(threads: list[threading.Thread]) -> TaskTimeoutError:
    """Return the error for threads of an executor that did not end."""
    stacks = ", ".join(f"{thread.name!r} ({thread_location(thread)})" for thread in threads)
    count = "1 thread" if len(threads) == 1 else f"{len(threads)} threads"
    return TaskTimeoutError(
        f"{count} of the event loop did not end, and Python will wait for it at exit: "
        f"{stacks}; make the function that runs there return"
    )
