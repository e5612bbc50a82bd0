"""Tasks with deadlines: run, cancelled, and told of where they are stuck."""

# Imported by the methods of async_runner, as asyncio is: who has a test without
# coroutines need not wait for it.

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast

from itf.exceptions import AsyncDeadlockError, TaskTimeoutError
from itf.frames import where_is
from itf.loops.generators import Generators
from itf.loops.stacks import coroutine_name, in_order, pass_over, stacks
from itf.loops.virtual import VirtualLoop
from itf.loops.waiting import RealSeconds, settle
from itf.notes import add_note
from itf.texts import safe_str

__all__ = [
    "CANCEL_GRACE",
    "Leftovers",
    "bounded",
    "cancel",
    "cancellation_of",
    "close_unstarted",
    "error_of",
    "finish",
    "held",
    "one_error",
    "outcome",
    "refusal",
    "run_apart",
    "stuck_threads",
    "timed_out",
]

__unittest = True

_T = TypeVar("_T")

CANCEL_GRACE: Final = 1.0
"""How long, in seconds, a cancelled task may take to tidy up."""


async def outcome(
    coroutine: Coroutine[Any, Any, _T], timeout: float | None, generators: Generators
) -> tuple[_T | None, BaseException | None]:
    """Return an error instead of raising it: asyncio's own frames would keep it alive."""
    pass_over(asyncio.current_task())
    generators.watch()
    try:
        return await bounded(coroutine, timeout, sees_deadlock=True), None
    except asyncio.CancelledError:
        raise  # by it Runner.run knows of a KeyboardInterrupt
    except BaseException as error:  # noqa: BLE001 - run raises it
        return None, error


async def bounded(
    coroutine: Coroutine[Any, Any, _T], timeout: float | None, *, sees_deadlock: bool = False
) -> _T:
    """Await a coroutine; past its time cancel it, and past its grace leave it."""
    # Not asyncio.timeout: that waits for ever for what refuses to be cancelled.
    task = asyncio.ensure_future(held(coroutine))
    try:
        ending = await settle([task], timeout, sees_deadlock=sees_deadlock)
        late = timed_out(timeout, [task]) if ending == "expired" and not task.done() else None
    finally:
        try:
            stubborn = await cancel([task])
        finally:
            close_unstarted(coroutine)
    error: BaseException | None = None
    try:
        if isinstance(ending, AsyncDeadlockError):
            if stubborn:
                add_note(ending, safe_str(refusal(stubborn)))
            raise ending from error_of(task)
        if stubborn:
            raise refusal(stubborn)
        if late is not None:
            # What it raised on its way out, if anything, is told as the cause.
            raise late from error_of(task)
        error = error_of(task)
        if error is not None:
            raise error
        return await task
    finally:
        # An error holds its frames, and this one would hold the error.
        error = late = None
        del task, stubborn, ending


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Cancel what still runs, give it a moment, and return what refuses.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the moment is given all the same.
    """
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    impatience: asyncio.CancelledError | None = None
    deadline = time.monotonic() + CANCEL_GRACE
    try:
        while any(not task.done() for task in running):
            left = RealSeconds(max(0.0, deadline - time.monotonic()))
            try:
                # In a virtual loop where nothing can go on any more, there is
                # nothing to wait for.
                await settle(running, left, sees_deadlock=True)
                break
            except asyncio.CancelledError as error:
                impatience = error
        if impatience is not None:
            raise impatience
    finally:
        del impatience  # it holds this frame
    return [task for task in running if not task.done()]


class Leftovers:
    """What was left in a loop, and what became of it.

    Attributes:
        told: A line for each task and each async generator.
        tasks: The tasks, and where they were, as text; empty if there were none.
        generators: The async generators, and where they were, one a line.
        refusing: The tasks that refuse to be cancelled.
        errors: What the others raised on their way out.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.tasks: list[str] = []
        self.generators: list[str] = []
        self.refusing: list[asyncio.Task[Any]] = []
        self.errors: list[BaseException] = []


async def finish(
    generators: Generators, may_stay: Callable[[str], bool] = lambda name: False
) -> Leftovers:
    """Cancel all other tasks, also those that come while they are cancelled; close generators.

    Args:
        generators: Those that were begun in this loop.
        may_stay: Says by its name of which task or generator there is nothing to tell.
    """
    own = asyncio.current_task()
    pass_over(own)
    generators.watch()
    left = Leftovers()
    known = {own}
    deadline = time.monotonic() + CANCEL_GRACE
    while tasks := in_order(task for task in asyncio.all_tasks() if task not in known):
        if time.monotonic() > deadline:  # they bring forth new ones for ever
            left.refusing += tasks
            break
        known.update(tasks)
        surplus = [task for task in tasks if not may_stay(task.get_name())]
        if surplus:
            left.tasks.append(stacks(surplus))
            left.told += [_told(task) for task in surplus]
        left.refusing += await cancel(tasks)
        left.errors += [error for error in map(error_of, tasks) if error is not None]
    begun = generators.open()
    left.generators = [
        Generators.describe(generator)
        for generator in begun
        if not may_stay(generator.__qualname__)
    ]
    left.told += left.generators
    # One that runs belongs to a task that refuses.
    closing = [
        asyncio.ensure_future(_close(generator)) for generator in begun if not generator.ag_running
    ]
    await settle(closing, RealSeconds(CANCEL_GRACE), sees_deadlock=True)
    left.refusing += await cancel(closing)
    left.errors += [error for error in map(error_of, closing) if error is not None]
    return left


async def _close(generator: Any) -> None:
    await generator.aclose()


def _told(task: asyncio.Task[Any]) -> str:
    return " ".join(stacks([task]).split())


def run_apart(runner: asyncio.Runner, generators: Generators) -> Leftovers:
    """Run `finish`, in another thread if a loop is running in this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return runner.run(finish(generators))
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: runner.run(finish(generators))).result()


class _HeldError(Exception):
    """Carries what a task cannot hold: raised as it is, it would stop the loop at once."""

    def __init__(self, held: BaseException) -> None:
        super().__init__(held)
        self.held = held


def held(coroutine: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
    """Return what awaits a coroutine as a task may; `error_of` gives back what it raised."""
    holding: Any = _holding(coroutine)
    holding.__qualname__ = coroutine_name(coroutine)  # by which its task is known
    return cast("Coroutine[Any, Any, _T]", holding)


async def _holding(coroutine: Coroutine[Any, Any, _T]) -> _T:
    try:
        return await coroutine
    except (KeyboardInterrupt, SystemExit) as error:
        raise _HeldError(error) from None


def close_unstarted(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine that was cancelled before it began; Python would complain of it."""
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        coroutine.close()


def error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what a task raised, None if it still runs, was cancelled, or went well."""
    if not task.done() or task.cancelled():
        return None
    error = task.exception()
    return error.held if isinstance(error, _HeldError) else error


def cancellation_of(task: asyncio.Task[Any]) -> asyncio.CancelledError:
    """Return by what a task was cancelled."""
    try:
        task.result()
    except asyncio.CancelledError as error:
        return error
    raise ValueError(f"{task!r} was not cancelled")


def one_error(errors: list[BaseException], message: str) -> BaseException:
    """Return the only error as it is, or a group of all of them."""
    return errors[0] if len(errors) == 1 else BaseExceptionGroup(message, errors)


def timed_out(
    timeout: float | None, tasks: Sequence[asyncio.Task[Any]], not_begun: int = 0
) -> TaskTimeoutError:
    """Return the error of what took too long, with where it is stuck."""
    lines = [f"timed out after {timeout:g} s:", stacks(tasks)]
    if not_begun:
        lines.append(f"  {not_begun} more had not begun")
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        lines.append(f"  the virtual clock stands at {loop.time():g} s")
        real = loop.real_work()
        if real:
            lines[-1] += f", and goes at the pace of the real one because of {', '.join(real)}"
    return TaskTimeoutError("\n".join(lines))


def refusal(tasks: list[asyncio.Task[Any]]) -> TaskTimeoutError:
    """Return the error of tasks that refuse to be cancelled."""
    count = "1 task refuses" if len(tasks) == 1 else f"{len(tasks)} tasks refuse"
    return TaskTimeoutError(
        f"{count} to be cancelled, still running {CANCEL_GRACE:g} s later; "
        f"let CancelledError pass in:\n{stacks(tasks)}"
    )


def stuck_threads(threads: list[threading.Thread]) -> TaskTimeoutError:
    """Return the error of threads that do not end."""
    where = ", ".join(f"{thread.name!r} ({where_is(thread)})" for thread in threads)
    count = "1 thread of the loop does" if len(threads) == 1 else f"{len(threads)} threads do"
    return TaskTimeoutError(
        f"{count} not end, and Python will wait at its exit: "
        f"{where}; let what runs there see that it has to end"
    )
