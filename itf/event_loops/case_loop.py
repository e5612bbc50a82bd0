"""The event loop of one test of `AsyncIntegrationTestCase`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, NoReturn

from itf.event_loops import task_deadlines
from itf.event_loops.async_generators import AsyncGeneratorTracker
from itf.event_loops.round_timer import install_round_timer
from itf.event_loops.tracked_executor import TrackedExecutor
from itf.exception_notes import add_note
from itf.exceptions import FixtureError
from itf.fork_safety import current_pid
from itf.safe_repr import safe_repr

__all__ = ["CaseLoop"]

__unittest = True

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

# Rounds of the loop that run after a test, so that callbacks which are ready, and the
# callbacks that these schedule, report their errors. `asyncio.Runner.close` runs about
# as many.
_CLOSING_ROUNDS: Final = 4

# Maximum number of rounds while cancelled tasks have not ended. A task that catches
# the cancellation and continues would otherwise delay the end without limit.
_MAX_CLOSING_ROUNDS: Final = 100


class CaseLoop:
    """A new event loop, used by one test only.

    A loop is not reused by the next test: a new loop costs less than a tenth of a
    millisecond, and nothing that a test changes on its loop can reach another test.

    Not an `asyncio.Runner`: its `close` waits for tasks and threads without a timeout.

    Args:
        factory: Makes the loop; None makes it as `asyncio.run` does.
        debug: Whether to switch asyncio's debug mode on. With False, asyncio's own
            switches decide: PYTHONASYNCIODEBUG and ``-X dev``.

    Attributes:
        uncancellable_tasks: Tasks that did not end when they were cancelled. Known
            after `end`.
        stuck_threads: Threads of the loop's executor that did not end. Known after `end`.

    Raises:
        TypeError: The factory returned something else than an event loop.

    Thread safety: none; the loop belongs to the thread in which the test runs.
    """

    def __init__(self, factory: LoopFactory | None, *, debug: bool) -> None:
        self._pid = current_pid()
        self._has_ended = False
        self.uncancellable_tasks: list[asyncio.Task[Any]] = []
        self.stuck_threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._generators = AsyncGeneratorTracker()
        self._executor = TrackedExecutor("asyncio")
        # Inside a running loop, a second loop cannot run in the same thread.
        self._is_nested = _is_loop_running()
        self._loop = _new_loop(factory)
        self._round_timer = install_round_timer(self._loop)
        self._loop.set_default_executor(self._executor)
        self._loop.set_exception_handler(self._record_error)
        if debug:
            self._loop.set_debug(True)
        if not self._is_nested:
            asyncio.set_event_loop(self._loop)

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._has_ended

    @property
    def blocked_seconds(self) -> list[float]:
        """Duration of each round of callbacks that exceeded ``slow_callback_duration``.

        Empty in asyncio's debug mode, where asyncio itself logs the slow callback.
        """
        return [] if self._round_timer is None else self._round_timer.slow_rounds

    def run(
        self, coroutine: Coroutine[Any, Any, Any], context: Context, name: str | None = None
    ) -> Any:
        """Run a coroutine until it ends; return its result or raise its error.

        Args:
            coroutine: The coroutine.
            context: The context variables that the coroutine sees and changes.
            name: The name of its task.

        Raises:
            FixtureError: Another loop is running in this thread.
            RuntimeError: The loop was stopped before the coroutine ended.
        """
        if self._is_nested:
            coroutine.close()
            _raise_nested_loop()
        task = self._loop.create_task(self._result_or_error(coroutine), name=name, context=context)
        if self._round_timer is not None:
            self._round_timer.start_round()
        try:
            self._loop.run_until_complete(task)
        except RuntimeError as stopped:
            if task.done():
                raise
            raise RuntimeError(
                f"the event loop was stopped before {name or coroutine} was over"
            ) from stopped
        finally:
            if self._round_timer is not None:
                self._round_timer.finish_round()
        value, error = task.result()
        try:
            if error is not None:
                raise error
            return value
        finally:
            # The error's traceback refers to this frame. Without the deletion, both
            # would live until the next garbage collection.
            del error, task

    async def _result_or_error(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return a pair of the coroutine's result and its error, one of them None.

        An error that left this coroutine would have asyncio's frames in its traceback.
        A KeyboardInterrupt would leave the loop in the middle of a round.
        """
        self._generators.install()
        try:
            return await coroutine, None
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            return None, error

    def _record_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what asyncio reports to the loop's exception handler."""
        error = context.get("exception")
        if error is None:
            # After the end, asyncio reports tasks that are destroyed while pending.
            # `end` has reported them already.
            if not self._has_ended:
                loop.default_exception_handler(context)
            return
        add_note(error, f"nobody awaited it; asyncio says: {context.get('message')}")
        self._errors.append(error)

    def end(
        self, is_allowed: Callable[[str], bool] = lambda name: False
    ) -> tuple[list[str], list[BaseException]]:
        """Cancel the tasks, close the generators and end the threads that the test left.

        Args:
            is_allowed: Returns whether the task or generator with this name may be
                left without a report.

        Returns:
            Texts about what the test left and should not have left; errors of tasks
            and callbacks that nobody awaited.
        """
        self._has_ended = True
        if self._is_nested or self._loop.is_closed():
            return [], []
        # The test may have installed a factory that does not return tasks.
        self._loop.set_task_factory(None)
        problems: list[str] = []
        self._run_ready_callbacks()
        if asyncio.all_tasks(self._loop) or self._generators.unfinished():
            self._end_leftovers(problems, is_allowed)
            self._run_ready_callbacks()
            if asyncio.all_tasks(self._loop):  # a callback has created a task
                self._end_leftovers(problems, is_allowed)
        self.stuck_threads = self._executor.shut_down(task_deadlines.CANCEL_GRACE)
        if self.uncancellable_tasks:
            problems.append(str(task_deadlines.uncancellable_error(self.uncancellable_tasks)))
        if self.stuck_threads:
            problems.append(str(task_deadlines.stuck_threads_error(self.stuck_threads)))
        errors, self._errors = self._errors, []
        return problems, errors

    def _run_ready_callbacks(self) -> None:
        """Run the callbacks that are ready, and let cancelled tasks end."""
        self._loop.run_until_complete(_closing_rounds(self._loop))

    def _end_leftovers(self, problems: list[str], is_allowed: Callable[[str], bool]) -> None:
        leftovers = self._loop.run_until_complete(
            task_deadlines.end_leftovers(self._generators, is_allowed)
        )
        if leftovers.task_stacks:
            count = len(leftovers.descriptions) - len(leftovers.generators)
            subject = "1 task outlived" if count == 1 else f"{count} tasks outlived"
            stacks = "\n".join(leftovers.task_stacks)
            problems.append(f"{subject} the test; await, or cancel and await:\n{stacks}")
        if leftovers.generators:
            problems.append(
                "left open by the test; close it with `contextlib.aclosing` or `aclose()`: "
                f"{', '.join(leftovers.generators)}"
            )
        # A task that could not be cancelled in the first pass is found again in the second.
        self.uncancellable_tasks = leftovers.uncancellable
        self._errors += leftovers.errors

    def close(self) -> None:
        """Close the loop; end first what the test left, if `end` was not called."""
        if not self._is_nested:
            asyncio.set_event_loop(None)
        if self._pid != current_pid():
            # The test called os.fork, and the child process is leaving the test. An
            # inherited epoll instance is shared: closing the loop would remove the
            # parent's descriptors, unless a WrappedSelector prevents it.
            if self._round_timer is not None:
                self._loop.close()
            return
        try:
            if not self._has_ended:
                self.end()
        finally:
            self._loop.close()


async def _closing_rounds(loop: asyncio.AbstractEventLoop) -> None:
    for number in range(1, _MAX_CLOSING_ROUNDS + 1):
        await asyncio.sleep(0)
        if number < _CLOSING_ROUNDS:
            continue
        if not any(task.cancelling() for task in asyncio.all_tasks(loop)):
            return


def _new_loop(factory: LoopFactory | None) -> asyncio.AbstractEventLoop:
    if factory is None:
        return asyncio.new_event_loop()
    loop: object = factory()
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(
            f"loop_factory must return a new event loop, got {safe_repr(loop)} "
            f"from {safe_repr(factory)}"
        )
    return loop


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _raise_nested_loop() -> NoReturn:
    raise FixtureError(
        "an event loop is running in this thread already, and a test has a loop of its own; "
        "run the test where no loop is running, or in another thread"
    )
