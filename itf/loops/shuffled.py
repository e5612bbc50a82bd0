"""An event loop that runs what is ready in a seeded order, not first in, first out."""

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
    """A loop that runs the callbacks of each round in an order drawn from a seed.

    A round is what was scheduled when it began, as in asyncio: every callback
    runs, once, and before any that it schedules.  Timers become due in the
    order of their times, also here; what they wake is shuffled.

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
        handle = self._itf_schedule(callback, args, context)
        # One turn for each callback; which one it runs is drawn when it comes.
        super().call_soon(self._itf_run_one)
        return handle

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
        drawn = self._itf_round
        while self._itf_waiting:
            drawn.append(self._itf_waiting.popleft())
        # asyncio keeps tasks in sets, and so cancels the tasks of a group in
        # another order in every process.  That must not show.
        drawn.sort(key=self._itf_number)
        # Not random.shuffle: only random() gives the same under every version.
        draw = self._itf_random.random
        for index in range(len(drawn) - 1, 0, -1):
            other = int(draw() * (index + 1))
            drawn[index], drawn[other] = drawn[other], drawn[index]

    def _itf_number(self, ready: _Ready) -> int:
        """Return the number of the task that a callback belongs to; 0 if to none."""
        for owner in (getattr(ready.callback, "__self__", None), *ready.args):
            if isinstance(owner, asyncio.Task):
                return self._itf_numbers.get(owner, 0)
        return 0


class ShuffledVirtualLoop(ShuffledLoop, VirtualLoop):
    """A `ShuffledLoop` whose clock is virtual."""
