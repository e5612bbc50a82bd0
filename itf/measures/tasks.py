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

    __slots__ = ("since", "suspended", "timing")

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.since: int | None = None
        self.suspended = 0


class _Step(threading.local):
    """Whose step this thread is in; None outside of those that are seen."""

    task: object = None


class _Watch:
    """The wrapper around how asyncio runs a step, there while somebody needs it."""

    def __init__(self) -> None:
        self.blocks: weakref.WeakKeyDictionary[Any, list[_Block]] = weakref.WeakKeyDictionary()
        # Held while the wrapper is put on or taken off.
        self._lock = threading.RLock()
        self._users = 0

    def acquire(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._put_on()

    def _put_on(self) -> None:
        original = self._take_off()
        if original is None:
            return

        def wrapper(handle: Any) -> Any:
            return self._run(original, handle)

        vars(wrapper)[_ORIGINAL] = original
        setattr(asyncio.Handle, _RUN, wrapper)

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._take_off()

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
            if block.since is not None:
                block.suspended += now - block.since
                block.since = None
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
    _watch.acquire()
    try:
        if _step.task is not task:
            # The step that we are in began before anybody looked.
            await _until_next_step()
    except BaseException:
        _watch.release()
        raise
    if _step.task is not task:
        _watch.release()
        return
    _watch.blocks.setdefault(task, []).append(_Block(timing))


def end_block(timing: Timing) -> int | None:
    """End what `begin_block` began; returns how many ns the task stood still, None if unknown."""
    task = current_task()
    # A coroutine that is closed rather than run to its end is in no task any more.
    tasks = [task] if task is not None else list(_watch.blocks)
    for owner in tasks:
        blocks = _watch.blocks.get(owner, [])
        for block in reversed(blocks):
            if block.timing is timing:
                blocks.remove(block)
                if not blocks:
                    del _watch.blocks[owner]
                _watch.release()
                return block.suspended
    return None
