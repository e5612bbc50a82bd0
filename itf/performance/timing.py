"""Context manager that times a block and stores the duration as a sample."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from itf.exceptions import TimingError
from itf.performance.decorator import timed
from itf.performance.samples import SampleBuffer

__all__ = ["Timing", "current_task", "here"]

__unittest = True

_F = TypeVar("_F", bound=Callable[..., Any])


class Timing:
    """Context manager and decorator, returned by `PerformanceMonitor.measure`.

    An object may be used several times, also inside itself, and by several threads and
    asyncio tasks at once. An ``async with`` block and a decorated coroutine function are
    timed as a whole: from start to end, the time in which the task is suspended included.

    Thread safety: all methods, from any thread.
    """

    # There is no __init__, because calling one would double the cost of a sample.
    __slots__ = ("_buffer", "_fast_slot", "_first_start", "_other_starts")

    _buffer: SampleBuffer
    # Has one item while the fast slot is free, otherwise none. A thread takes the slot by
    # `pop`, which is atomic, also without the GIL: a second thread gets an IndexError.
    _fast_slot: list[None]
    # When the block in the fast slot was entered. Only its own thread sets this.
    _first_start: int | None
    # When all other running blocks were entered, by thread and task, the innermost last.
    # None until there are any. Only changed while the recorder's lock is held.
    _other_starts: dict[tuple[int, object], list[int]] | None

    @classmethod
    def of(cls, buffer: SampleBuffer) -> Self:
        """Return a timing whose samples go to this buffer."""
        timing = cls()
        timing._buffer = buffer
        timing._fast_slot = [None]
        timing._first_start = timing._other_starts = None
        return timing

    def __enter__(self) -> None:
        now = time.perf_counter_ns()
        # A thread that has an entry in _other_starts must not use the fast slot for an
        # inner block: __exit__ looks into _other_starts first.
        if self._other_starts:
            self._enter_slowly(now)
            return
        try:
            self._fast_slot.pop()
        except IndexError:
            self._enter_slowly(now)
        else:
            self._first_start = now

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        end = time.perf_counter_ns()
        # A thread with an entry in _other_starts sees at least its own entry here. So if
        # there is no entry, this thread has the fast slot, whatever other threads do.
        start = self._pop_start() if self._other_starts else self._leave_fast_slot()
        buffer = self._buffer
        buffer.last_end = end
        buffer.add(end - start)
        if len(buffer.samples) >= buffer.limit:
            buffer.fold()

    def _enter_slowly(self, now: int) -> None:
        with self._buffer.recorder.lock:
            if self._other_starts is None:
                self._other_starts = {}
            self._other_starts.setdefault(here(), []).append(now)

    def _pop_start(self) -> int:
        """Return the start of the innermost block of this thread and task, and remove it."""
        with self._buffer.recorder.lock:
            others = self._other_starts or {}
            key = here()
            if key not in others:
                if self._first_start is not None or not others:
                    return self._leave_fast_slot()
                # A generator entered the block in another thread than this one.
                key = next(reversed(others))
            starts = others[key]
            start = starts.pop()
            if not starts:
                del others[key]
            return start

    def _leave_fast_slot(self) -> int:
        start = self._first_start
        if start is None:
            raise TimingError(
                f"measure({self._buffer.operation!r}) was left without having been entered; "
                "use it in a `with`"
            )
        self._first_start = None
        self._fast_slot.append(None)
        return start

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Return a function that times each call; of a generator, from first to last item."""
        return timed(self.new, function)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).of, (self._buffer,))

    def new(self) -> Self:
        """Return a new timing for the same operation."""
        return self.of(self._buffer)


def here() -> tuple[int, object]:
    """Return a key for the current thread and its current asyncio task."""
    return threading.get_ident(), current_task()


def current_task() -> object:
    """Return the current asyncio task; None outside of a task."""
    # Without an import of asyncio there is no task. This module does not import it,
    # because plain tests do not need it.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except (RuntimeError, AttributeError):
        # No loop is running in this thread; or another thread is importing asyncio.
        return None
