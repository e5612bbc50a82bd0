"""How long an asyncio task stood still inside a block, told apart from how long it ran.

asyncio tells nobody when it resumes a task.  It does so in one place, through
`asyncio.Handle._run`, a private name: while a block is open, and only then,
that is wrapped.  Where it is not there, or a loop does not use it (uvloop), a
block has no suspended time; all else of it is the same.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import types
import weakref
from collections.abc import Callable, Generator
from typing import Any, Final

from itf.measures.timing import Timing, current_task

__all__ = ["begin_block", "end_block"]

__unittest = True


# The one name of asyncio's that is not public.
_RUN: Final = "_run"

# Where a wrapper keeps what it has wrapped.
_ORIGINAL: Final = "itf_original"


class _Block:
    """An open ``async with``, and how long its task has stood still in it."""

    __slots__ = ("of_task", "since", "suspended", "timing")

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        # All of the same task, this one included; none before it is seen.
        self.of_task: list[_Block] = []
        # When its task came to a standstill; None while it runs.
        self.since: int | None = None
        self.suspended = 0

    def resume(self, now: int) -> None:
        if self.since is not None:
            self.suspended += now - self.since
            self.since = None


class _Step(threading.local):
    """Whose step this thread is in; None outside of those that are seen."""

    task: object = None


class _Watch:
    """The wrapper around how asyncio runs a step, there while somebody needs it."""

    def __init__(self) -> None:
        self.blocks: weakref.WeakKeyDictionary[Any, list[_Block]] = weakref.WeakKeyDictionary()
        # Held while blocks are opened and closed, and so the wrapper put on or taken off.
        self._lock = threading.RLock()
        # In order.  Their tasks may be gone before they are closed.
        self._open: dict[_Block, None] = {}

    def open(self, timing: Timing) -> _Block:
        block = _Block(timing)
        with self._lock:
            if not self._open:
                self._put_on()
            self._open[block] = None
        return block

    def _put_on(self) -> None:
        original = self._take_off()
        if original is None:
            return

        def wrapper(handle: Any) -> Any:
            return self._run(original, handle)

        vars(wrapper)[_ORIGINAL] = original
        setattr(asyncio.Handle, _RUN, wrapper)

    def close(self, block: _Block) -> None:
        with self._lock:
            self._open.pop(block, None)
            if block in block.of_task:
                block.of_task.remove(block)
            if not self._open:
                self._take_off()

    def find(self, timing: Timing, task: object) -> _Block | None:
        """Return the innermost open block of a timing: of this task, or else of any."""
        own = self.blocks.get(task, []) if task is not None else []
        for block in reversed(own):
            if block.timing is timing:
                return block
        # A coroutine that is closed rather than run to its end is in no task
        # any more, or in somebody else's.
        with self._lock:
            return next((block for block in reversed(self._open) if block.timing is timing), None)

    def _take_off(self) -> Callable[[Any], Any] | None:
        """Put back what is below our wrapper, and return what is there then.

        Where somebody has put theirs above ours, ours stays below it and does
        nothing, until theirs is gone and we come by again.
        """
        found = getattr(asyncio.Handle, _RUN, None)
        while _ORIGINAL in getattr(found, "__dict__", ()):
            found = vars(found)[_ORIGINAL]
            setattr(asyncio.Handle, _RUN, found)
        return found

    def _run(self, original: Callable[[Any], Any], handle: Any) -> Any:
        # As asyncio itself finds the task of a handle, for what it logs in debug mode.
        task = getattr(getattr(handle, "_callback", None), "__self__", None)
        if not asyncio.isfuture(task):
            return original(handle)
        now = time.perf_counter_ns()
        for block in self.blocks.get(task, ()):
            block.resume(now)
        outer, _step.task = _step.task, task
        try:
            return original(handle)
        finally:
            _step.task = outer
            now = time.perf_counter_ns()
            for block in self.blocks.get(task, ()):
                block.since = now

    def forked(self) -> None:
        self._lock = threading.RLock()


_step: Final = _Step()
_watch: Final = _Watch()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.forked)


@types.coroutine
def _until_next_step() -> Generator[None, None, None]:
    yield


async def begin_block(timing: Timing) -> None:
    """Begin to tell apart how long the running task stands still."""
    task = current_task()
    if task is None:
        return
    block = _watch.open(timing)
    try:
        if _step.task is not task:
            # The step that we are in began before anybody looked.
            await _until_next_step()
    except BaseException:
        _watch.close(block)
        raise
    if _step.task is not task:
        _watch.close(block)
        return
    block.of_task = _watch.blocks.setdefault(task, [])
    block.of_task.append(block)


def end_block(timing: Timing) -> int | None:
    """End what `begin_block` began; returns how many ns the task stood still, None if unknown."""
    block = _watch.find(timing, current_task())
    if block is None:
        return None
    _watch.close(block)
    block.resume(time.perf_counter_ns())
    return block.suspended
