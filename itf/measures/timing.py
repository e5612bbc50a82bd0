"""Context manager that times a block and stores the duration as a sample."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from itf.exceptions import TimingError
from itf.measures.decorating import timed
from itf.measures.samples import SampleBuffer

__all__ = ["Timing", "current_task", "here"]

__unittest = True

_F = TypeVar("_F", bound=Callable[..., Any])


class _Starts:
    """When those entered one `Timing` that are inside it at the same time."""

    __slots__ = ("first", "others")

    def __init__(self) -> None:
        # Of the one that was there when the second one came.
        self.first: int | None = None
        # Of all others, by thread and task, the innermost last.
        self.others: dict[tuple[int, object], list[int]] = {}


class Timing:
    """Context manager and decorator, returned by `PerformanceMonitor.measure`.

    An object may be used several times, also inside itself, and by several threads and
    asyncio tasks at once. An ``async with`` block and a decorated coroutine function are
    timed as a whole: from start to end, the time in which the task is suspended included.

    Thread safety: all methods, from any thread.
    """

    # There is no __init__: calling one would cost as much as all the rest.
    __slots__ = ("_cell", "_start")

    _cell: SampleBuffer
    # None while nobody is inside.
    _start: int | _Starts | None

    @classmethod
    def of(cls, cell: SampleBuffer) -> Timing:
        """Return a timing whose samples go to this buffer."""
        timing = cls()
        timing._cell = cell
        timing._start = None
        return timing

    def __enter__(self) -> None:
        now = time.perf_counter_ns()
        # A thread is switched at calls and loops only.  None stands between
        # the look and the store, so that of two threads one sees the other.
        if self._start is not None:
            self._enter_again(now)
            return
        self._start = now

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        end = time.perf_counter_ns()
        try:
            took = end - self._start  # type: ignore[operator]
        except TypeError:
            took = end - self._own_start()
        else:
            self._start = None
        cell = self._cell
        cell.last_end = end
        cell.add(took)
        if len(cell.samples) >= cell.limit:
            cell.fold()

    def _enter_again(self, now: int) -> None:
        with self._cell.recorder.lock:
            starts = self._start
            if not isinstance(starts, _Starts):
                starts = _Starts()
                # The other one may have left meanwhile; again no call between.
                starts.first = self._start  # type: ignore[assignment]
                self._start = starts
            starts.others.setdefault(here(), []).append(now)

    def _own_start(self) -> int:
        """Return when this thread and task entered, of several that are inside."""
        with self._cell.recorder.lock:
            starts = self._start
            if not isinstance(starts, _Starts):
                raise TimingError(
                    f"measure({self._cell.operation!r}) was left without having been entered; "
                    "use it in a `with`"
                )
            key = here()
            own = starts.others.get(key)
            if own:
                start = own.pop()
                if not own:
                    del starts.others[key]
            else:
                start, starts.first = cast(int, starts.first), None
            if starts.first is None and not starts.others:
                self._start = None
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
        return (type(self).of, (self._cell,))

    def new(self) -> Timing:
        """Return a new timing for the same operation."""
        return self.of(self._cell)


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
