"""What one test does with its loop, and leaves in it."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, Final, NoReturn

from itf.exceptions import FixtureError
from itf.loops import tasks
from itf.loops.executor import TrackedExecutor
from itf.loops.generators import Generators
from itf.loops.kept import Kept
from itf.loops.reusable import ReusableLoop
from itf.notes import add_note
from itf.pending import pending_tasks
from itf.texts import safe_repr

__all__ = ["CaseLoop"]

__unittest = True

Factory = Callable[[], asyncio.AbstractEventLoop]


class CaseLoop:
    """The loop of one test after the other: taken at its start, looked through at its end.

    Attributes:
        refusing: The tasks that refuse to be cancelled, once `end` was called.
        stuck: The threads of its executor that do not end, likewise.
        is_touched: Set by whoever calls a function of the user's outside of the
            running loop: it may have left a callback there.

    Thread safety: none; it belongs to the thread that the test runs in.
    """

    @classmethod
    def of(
        cls,
        owner: type,
        factory: Factory | None,
        *,
        debug: bool,
        making: Callable[[str], AbstractContextManager[object]],
    ) -> CaseLoop:
        """Return the loop for a test of a class.

        Args:
            owner: The class of the test.
            factory: What makes its loops; None is asyncio's own way.
            debug: Whether the loop runs in asyncio's debug mode.
            making: What to enter while a loop is made; it is told why.

        Raises:
            TypeError: The factory gives no event loop.
        """
        # Only of a loop of our own is known what a test has left in it.
        kept = _kept.take(owner) if factory is None else None
        if kept is None:
            with making("a loop that serves test after test"):
                kept = cls(owner, _new_loop(factory))
        kept._begin(debug)
        return kept

    def __init__(self, owner: type, loop: asyncio.AbstractEventLoop) -> None:
        self.owner = weakref.ref(owner)
        self.thread = 0
        self._loop = loop
        self._reusable = loop if isinstance(loop, ReusableLoop) else None
        self._pid = os.getpid()
        self._usual_debug = loop.get_debug()
        self._usual_slow = 0.0 if self._reusable is None else self._reusable.slow_callback_duration
        self._handler = self._keep_error
        self._generators = Generators()
        self._errors: list[BaseException] = []
        self._executor: TrackedExecutor | None = None
        if self._reusable is None:
            self._executor = TrackedExecutor("asyncio")
            loop.set_default_executor(self._executor)

    def _begin(self, debug: bool) -> None:
        self._ended = self._is_clean = self.is_touched = False
        self.refusing: list[asyncio.Task[Any]] = []
        self.stuck: list[threading.Thread] = []
        self._is_nested = _is_running()
        if not self._is_nested:
            asyncio.set_event_loop(self._loop)
        if debug:
            self._loop.set_debug(True)
        self._loop.set_exception_handler(self._handler)

    def run(
        self, coroutine: Coroutine[Any, Any, Any], context: Context, name: str | None = None
    ) -> Any:
        """Run a coroutine of the test, and return or raise what it does.

        Args:
            coroutine: What to run.
            context: The context variables that it sees and changes.
            name: The name of its task.

        Raises:
            FixtureError: A loop is running in this thread already.
        """
        if self._is_nested:
            coroutine.close()
            _refuse_nesting()
        task = self._loop.create_task(self._outcome(coroutine), name=name, context=context)
        if self._reusable is None:
            self._loop.run_until_complete(task)
        else:
            self._reusable.run_task(task)
            self.is_touched = False
        if not task.done():
            raise RuntimeError(f"the event loop was stopped before {name or coroutine} was over")
        value, error = task.result()
        try:
            if error is not None:
                raise error
            return value
        finally:
            del error, task  # they hold its frames, and this one would hold them

    async def _outcome(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return an error instead of raising it.

        Otherwise asyncio's frames would stand in the user's traceback, and
        KeyboardInterrupt would tear the loop out of the middle of its work.
        """
        self._generators.watch()
        try:
            return await coroutine, None
        except BaseException as error:  # noqa: BLE001 - run raises it
            return None, error

    def _keep_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what asyncio would log of an error that nobody awaited."""
        error = context.get("exception")
        if error is None:
            if not self._ended:  # what refused to be cancelled is told by an error
                loop.default_exception_handler(context)
            return
        add_note(error, f"nobody awaited it; asyncio says: {context.get('message')}")
        self._errors.append(error)

    def end(
        self, may_stay: Callable[[str], bool] = lambda name: False
    ) -> tuple[list[str], list[BaseException]]:
        """End what the test left in its loop.

        Args:
            may_stay: Says by its name of which task or generator there is nothing to tell.

        Returns:
            What was left and should not have been, and the errors of tasks that
            nobody awaited.
        """
        self._ended = True
        if self._is_nested:
            return [], []  # nothing has run in it
        problems: list[str] = []
        self._finish(problems, may_stay)
        if self._drain() and pending_tasks(self._loop):  # a callback has made one
            self._finish(problems, may_stay)
            self._drain()
        self._end_threads()
        if self.refusing:
            problems.append(str(tasks.refusal(self.refusing)))
        if self.stuck:
            problems.append(str(tasks.stuck_threads(self.stuck)))
        is_clean = self._reusable is not None and self._reusable.is_clean
        self._is_clean = is_clean and not self.refusing and not self.stuck
        errors = self._errors
        if errors:
            self._errors = []
        return problems, errors

    def abandon(self) -> None:
        """End what a test that was broken off left in its loop, which is to serve no other."""
        self.end()
        # An interrupt may have come at a place where it does harm.
        self._is_clean = False

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    @property
    def blocked(self) -> list[float]:
        """For how many seconds the loop was blocked, each time."""
        return self._reusable.blocked if self._reusable is not None else []

    def _finish(self, problems: list[str], may_stay: Callable[[str], bool]) -> None:
        """Cancel tasks and close generators, if there are any."""
        left = pending_tasks(self._loop)
        if any(task.cancelling() for task in left):
            self._drain()  # told to end, and not yet given the chance
        elif not left and not self._generators:
            return
        self.is_touched = True
        ended = self._loop.run_until_complete(tasks.finish(self._generators, may_stay))
        if ended.tasks:
            count = len(ended.told) - len(ended.generators)
            counted = "1 task outlived" if count == 1 else f"{count} tasks outlived"
            problems.append(
                f"{counted} the test; await, or cancel and await:\n" + "\n".join(ended.tasks)
            )
        if ended.generators:
            problems.append(
                "left open by the test; close it, with `aclosing` or `aclose()`: "
                f"{', '.join(ended.generators)}"
            )
        self.refusing = ended.refusing
        self._errors += ended.errors

    def _drain(self) -> bool:
        """Run what is ready; say whether anything may have been."""
        if self._reusable is None:
            self._loop.run_until_complete(asyncio.sleep(0))
            return True
        if not self.is_touched and self._reusable.is_clean:
            return False
        self.is_touched = False
        return self._reusable.drain()

    def _end_threads(self) -> None:
        """End the threads of the loop's executor."""
        executor = self._executor
        if self._reusable is not None:
            executor, self._reusable.executor = self._reusable.executor, None
        if executor is not None:
            self.stuck = executor.end(tasks.CANCEL_GRACE)

    def leave(self) -> None:
        """Give the loop back, or close it; after an interrupt, end first what runs in it."""
        if not self._is_nested:
            asyncio.set_event_loop(None)
        if self._pid != os.getpid():
            # The test forked, and this is the child, on its way out.  Only a
            # loop of our own can be closed without harm to the parent's.
            if self._reusable is not None:
                self.close()
            return
        try:
            if not self._ended:
                self.abandon()
        finally:
            if self._is_clean:
                self._put_back()
                _kept.give_back(self)
            else:
                self.close()

    def _put_back(self) -> None:
        """Undo what the test has set on the loop."""
        self.blocked.clear()
        loop = self._loop
        loop.set_debug(self._usual_debug)
        loop.set_task_factory(None)
        if self._reusable is not None:
            self._reusable.slow_callback_duration = self._usual_slow

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()


_kept: Final = Kept[CaseLoop]()


def _new_loop(factory: Factory | None) -> asyncio.AbstractEventLoop:
    """Make a loop: one of our own, unless the program has set a policy, or a factory."""
    if factory is None:
        loop = asyncio.new_event_loop()
        if type(loop) is not asyncio.SelectorEventLoop:
            return loop
        loop.close()
        return ReusableLoop()
    made: object = factory()
    if not isinstance(made, asyncio.AbstractEventLoop):
        raise TypeError(
            f"loop_factory must return a new event loop, got {safe_repr(made)} "
            f"from {safe_repr(factory)}"
        )
    return made


def _is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _refuse_nesting() -> NoReturn:
    raise FixtureError(
        "an event loop is running in this thread already, and a test has a loop of its own; "
        "run it where none is running, or in a thread"
    )
