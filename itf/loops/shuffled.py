"""An event loop that runs the tasks that are ready in a seeded order, not first in, first out."""

from __future__ import annotations

import asyncio
import contextvars
import random
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, NamedTuple, TypeVarTuple

from itf.loops.virtual import VirtualLoop
from itf.texts import safe_repr

__all__ = ["ShuffledLoop", "ShuffledVirtualLoop"]

__unittest = True

_Ts = TypeVarTuple("_Ts")


class _Ready(NamedTuple):
    """A callback that is to be run."""

    handle: asyncio.Handle
    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context


class ShuffledLoop(asyncio.SelectorEventLoop):
    """A loop that runs the tasks of each round in an order drawn from a seed.

    A round is what was scheduled when it began, as in asyncio: every callback
    runs, once, and before any that it schedules.  Those of no task keep their
    order among each other, and timers become due in the order of their times,
    also here; the tasks that they wake are shuffled.

    Args:
        seed: The same seed gives the same order, under every version of Python,
            wherever the program schedules the same callbacks.

    Thread safety: that of every loop: `call_soon_threadsafe`, from any thread.
    """

    def __init__(self, seed: int) -> None:
        self._itf_random = random.Random(seed)
        # Scheduled, for the next round.  A deque, for threads append to it.
        self._itf_waiting: deque[_Ready] = deque()
        # What is left of this round, the next one last.
        self._itf_round: list[_Ready] = []
        # The tasks, numbered as they are made.
        self._itf_numbers: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = (
            weakref.WeakKeyDictionary()
        )
        self._itf_tasks_made = 0
        super().__init__()

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback for the next round."""
        # One turn for each callback; which one it runs is drawn when it comes.
        # The turn first: in debug mode, it is refused to another thread.
        super().call_soon(self._itf_run_one)
        return self._itf_schedule(callback, args, context)

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback for the next round, from any thread."""
        handle = self._itf_schedule(callback, args, context)
        super().call_soon_threadsafe(self._itf_run_one)
        return handle

    def create_task(self, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """Make a task, as asyncio does."""
        task: asyncio.Task[Any] = super().create_task(coro, **kwargs)
        self._itf_tasks_made += 1
        self._itf_numbers[task] = self._itf_tasks_made
        return task

    def close(self) -> None:
        """Close the loop, as asyncio does."""
        super().close()
        self._itf_waiting.clear()
        self._itf_round.clear()

    def _itf_schedule(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.Handle:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        if context is None:
            context = contextvars.copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        self._itf_waiting.append(_Ready(handle, callback, args, context))
        return handle

    def _itf_run_one(self) -> None:
        """Run the next callback of this round, and draw a new one if it is over."""
        if not self._itf_round:
            self._itf_draw()
        if not self._itf_round:
            return
        ready = self._itf_round.pop()
        if ready.handle.cancelled():
            return
        try:
            ready.context.run(ready.callback, *ready.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - asyncio tells its handler, and goes on
            message = f"Exception in callback {safe_repr(ready.callback)}"
            self.call_exception_handler(
                {"message": message, "exception": error, "handle": ready.handle}
            )
        finally:
            # A task that failed holds its frames, they hold this one, and it
            # would hold the task: nobody would tell that its error was not seen.
            del ready

    def _itf_draw(self) -> None:
        """Draw the order of the next round.

        Tasks are shuffled.  Other callbacks stay first in, first out, and before
        the tasks that were woken after them: asyncio promises it, and its own
        transports and subprocesses are lost without it.
        """
        plain: list[_Ready] = []
        # At each index, the tasks that came after so many of the others.
        tasks: list[list[_Ready]] = [[]]
        while self._itf_waiting:
            ready = self._itf_waiting.popleft()
            if _task_of(ready) is None:
                plain.append(ready)
                tasks.append([])
            else:
                tasks[-1].append(ready)
        drawn, may_come = self._itf_round, list[_Ready]()
        for number, woken in enumerate(tasks):
            # asyncio keeps tasks in sets, and so cancels the tasks of a group in
            # another order in every process.  That must not show.
            may_come += sorted(woken, key=self._itf_number)
            left = len(plain) - number
            while (pick := self._itf_pick(len(may_come) + left)) < len(may_come):
                may_come[pick], may_come[-1] = may_come[-1], may_come[pick]
                drawn.append(may_come.pop())
            if left:
                drawn.append(plain[number])
        drawn.reverse()

    def _itf_pick(self, count: int) -> int:
        # Not random.randrange: only random() gives the same under every version.
        return int(self._itf_random.random() * count) if count > 1 else 0

    def _itf_number(self, ready: _Ready) -> int:
        """Return the number of the task that a callback lets go on."""
        task = _task_of(ready)
        return 0 if task is None else self._itf_numbers.get(task, 0)


def _task_of(ready: _Ready) -> asyncio.Task[Any] | None:
    """Return the task that a callback lets go on; None if it is another callback."""
    owner = getattr(ready.callback, "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None


class ShuffledVirtualLoop(ShuffledLoop, VirtualLoop):
    """A `ShuffledLoop` whose clock is virtual."""
