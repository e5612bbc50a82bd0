"""The ``with`` that takes a sample, used once or again, inside itself, by many at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from itf.exceptions import TimingError
from itf.measures.samples import SUSPENDED, Cell

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
    """What `PerformanceMonitor.measure` gives: a context manager, and a decorator.

    It may be used again, also inside itself, and by several threads and tasks
    at once.  Time suspended is told apart where it is entered by ``async with``,
    and where it decorates a coroutine function.

    Thread safety: every method, from any thread.
    """

    # There is no __init__: calling one would cost as much as all the rest.
    __slots__ = ("_cell", "_start")

    _cell: Cell
    # None while nobody is inside.
    _start: int | _Starts | None

    @classmethod
    def of(cls, cell: Cell) -> Timing:
        """Return one whose samples go to this cell."""
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
        cell.end = end
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
        from itf.measures.tasks import begin_block

        await begin_block(self)
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from itf.measures.tasks import end_block

        suspended = end_block(self)
        self.__exit__(kind, error, traceback)
        if suspended is not None:
            self._cell.recorder.add(self._cell.operation, SUSPENDED, suspended)

    def __call__(self, function: _F) -> _F:
        """Decorate a function: each of its calls is timed, a generator's from first to last."""
        from itf.measures.decorating import timed

        return timed(self.fresh, function)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).of, (self._cell,))

    def fresh(self) -> Timing:
        """Return another one for the same operation."""
        return self.of(self._cell)


def here() -> tuple[int, object]:
    """Return the running thread and task, as far as they are told apart."""
    return threading.get_ident(), current_task()


def current_task() -> object:
    """Return the running asyncio task; None where there is none."""
    # Where nobody has imported asyncio there is no task.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except (RuntimeError, AttributeError):
        return None  # no running loop; or asyncio is only half imported, in another thread
