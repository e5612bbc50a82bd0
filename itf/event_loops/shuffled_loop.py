"""An event loop that runs the tasks which are ready in a seeded random order."""

from __future__ import annotations

import asyncio
import contextvars
import random
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, NamedTuple, TypeVarTuple

from itf.event_loops.virtual_loop import VirtualLoop
from itf.safe_repr import safe_repr

__all__ = ["ShuffledLoop", "ShuffledVirtualLoop"]

__unittest = True

_Ts = TypeVarTuple("_Ts")


class _ReadyCallback(NamedTuple):
    """A scheduled callback that waits for its turn."""

    handle: asyncio.Handle
    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context


class ShuffledLoop(asyncio.SelectorEventLoop):
    """An event loop that shuffles the tasks of each round.

    A round consists of the callbacks that are scheduled when the round begins, as in
    asyncio: each of them runs once, before any callback that they schedule. Callbacks
    that do not resume a task keep their order among one another. Timers expire in the
    order of their times; the tasks that they wake are shuffled.

    Args:
        seed: The same seed gives the same order on every Python version, as long as
            the program schedules the same callbacks.

    Thread safety: as for every loop, only `call_soon_threadsafe` from other threads.
    """

    # Attributes have a prefix, because the base class may have any other name.

    def __init__(self, seed: int) -> None:
        self._itf_random = random.Random(seed)
        # Callbacks for the next round. Other threads append to this deque.
        self._itf_scheduled: deque[_ReadyCallback] = deque()
        # The rest of the current round in reverse order: `pop` returns the next one.
        self._itf_round: list[_ReadyCallback] = []
        # Numbers of the tasks, in the order of their creation.
        self._itf_task_numbers: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = (
            weakref.WeakKeyDictionary()
        )
        self._itf_task_count = 0
        super().__init__()

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback for the next round."""
        # asyncio schedules one call of _itf_run_one for each callback. Which callback
        # that call runs is drawn when the round begins. asyncio's own call_soon comes
        # first: in debug mode it raises an error if called in another thread.
        super().call_soon(self._itf_run_one)
        return self._itf_schedule(callback, args, context)

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback for the next round, from any thread."""
        # The callback is stored first: the loop's thread may call _itf_run_one at once.
        handle = self._itf_schedule(callback, args, context)
        super().call_soon_threadsafe(self._itf_run_one)
        return handle

    def create_task(self, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """Create a task, as asyncio does, and number it."""
        task: asyncio.Task[Any] = super().create_task(coro, **kwargs)
        self._itf_task_count += 1
        self._itf_task_numbers[task] = self._itf_task_count
        return task

    def close(self) -> None:
        """Close the loop, as asyncio does, and drop the scheduled callbacks."""
        super().close()
        self._itf_scheduled.clear()
        self._itf_round.clear()

    def _itf_schedule(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.Handle:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        if context is None:
            context = contextvars.copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        self._itf_scheduled.append(_ReadyCallback(handle, callback, args, context))
        return handle

    def _itf_run_one(self) -> None:
        """Run the next callback of the current round; start a new round if it is over."""
        if not self._itf_round:
            self._itf_start_round()
        if not self._itf_round:
            return
        ready = self._itf_round.pop()
        if ready.handle.cancelled():
            return
        try:
            ready.context.run(ready.callback, *ready.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio.Handle does
            message = f"Exception in callback {safe_repr(ready.callback)}"
            self.call_exception_handler(
                {"message": message, "exception": error, "handle": ready.handle}
            )
        finally:
            # The traceback of a failed task refers to this frame. If this frame
            # referred to the task, the task would live until the next garbage
            # collection, and asyncio would report its error only then.
            del ready

    def _itf_start_round(self) -> None:
        """Take the scheduled callbacks and draw their order.

        Callbacks that do not resume a task stay in order, and before the tasks that
        were scheduled after them. asyncio documents this order, and its transports and
        subprocesses rely on it.
        """
        plain: list[_ReadyCallback] = []
        # tasks[i] are the task callbacks that were scheduled after i plain callbacks.
        tasks: list[list[_ReadyCallback]] = [[]]
        while self._itf_scheduled:
            ready = self._itf_scheduled.popleft()
            if _task_of(ready) is None:
                plain.append(ready)
                tasks.append([])
            else:
                tasks[-1].append(ready)
        order, candidates = self._itf_round, list[_ReadyCallback]()
        for number, group in enumerate(tasks):
            # asyncio keeps tasks in sets. It cancels the tasks of a group in an order
            # that differs between processes; sorting them makes the draw repeatable.
            candidates += sorted(group, key=self._itf_task_number)
            remaining = len(plain) - number
            while (pick := self._itf_pick(len(candidates) + remaining)) < len(candidates):
                candidates[pick], candidates[-1] = candidates[-1], candidates[pick]
                order.append(candidates.pop())
            if remaining:
                order.append(plain[number])
        order.reverse()

    def _itf_pick(self, count: int) -> int:
        # Not random.randrange: only random() returns the same numbers on every version.
        return int(self._itf_random.random() * count) if count > 1 else 0

    def _itf_task_number(self, ready: _ReadyCallback) -> int:
        """Return the number of the task that a callback resumes."""
        task = _task_of(ready)
        return 0 if task is None else self._itf_task_numbers.get(task, 0)


def _task_of(ready: _ReadyCallback) -> asyncio.Task[Any] | None:
    """Return the task that a callback resumes; None for any other callback."""
    owner = getattr(ready.callback, "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None


class ShuffledVirtualLoop(ShuffledLoop, VirtualLoop):
    """A `ShuffledLoop` with a virtual clock."""
