"""The ``with`` that takes a sample, used once or again, inside itself, by many at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from itf.exceptions import TimingError
from itf.measures.samples import SUSPENDED, Cell

__all__ = ["Timing", "current_task", "here"]

__unittest = True

_F = TypeVar("_F", bound=Callable[..., Any])


class Timing:
    """What `PerformanceMonitor.measure` gives: a context manager, and a decorator.

    It may be used again, also inside itself, and by several threads and tasks
    at once.  Time suspended is told apart where it is entered by ``async with``,
    and where it decorates a coroutine function.

    Thread safety: every method, from any thread.
    """

    # There is no __init__: calling one would cost as much as all the rest.
    __slots__ = ("_beside", "_cell", "_first", "_free")

    _cell: Cell
    # One item while nobody has the fast place, else empty.  A thread takes the place by
    # `pop`, which is atomic, also without the GIL: of two threads one gets an IndexError.
    _free: list[None]
    # When the one in the fast place entered; only that one sets it.
    _first: int | None
    # When all others that are inside entered, by thread and task, the innermost last.
    # None until there are any; changed with the recorder's lock held.
    _beside: dict[tuple[int, object], list[int]] | None

    @classmethod
    def of(cls, cell: Cell) -> Self:
        """Return one whose samples go to this cell."""
        timing = cls()
        timing._cell = cell
        timing._free = [None]
        timing._first = timing._beside = None
        return timing

    def __enter__(self) -> None:
        now = time.perf_counter_ns()
        # Who is beside does not take the fast place for an inner `with`.
        if self._beside:
            self._enter_beside(now)
            return
        try:
            self._free.pop()
        except IndexError:
            self._enter_beside(now)
        else:
            self._first = now

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        end = time.perf_counter_ns()
        # Who is beside sees here that somebody is: so if nobody is, the one that
        # leaves has the fast place, whatever other threads do meanwhile.
        start = self._own_start() if self._beside else self._leave_fast_place()
        cell = self._cell
        cell.end = end
        cell.add(end - start)
        if len(cell.samples) >= cell.limit:
            cell.fold()

    def _enter_beside(self, now: int) -> None:
        with self._cell.recorder.lock:
            if self._beside is None:
                self._beside = {}
            self._beside.setdefault(here(), []).append(now)

    def _own_start(self) -> int:
        """Return when this thread and task entered, of several that are inside."""
        with self._cell.recorder.lock:
            beside = self._beside or {}
            key = here()
            if key not in beside:
                if self._first is not None or not beside:
                    return self._leave_fast_place()
                # A generator that goes on in another thread than it began in.
                key = next(reversed(beside))
            starts = beside[key]
            start = starts.pop()
            if not starts:
                del beside[key]
            return start

    def _leave_fast_place(self) -> int:
        start = self._first
        if start is None:
            raise TimingError(
                f"measure({self._cell.operation!r}) was left without having been entered; "
                "use it in a `with`"
            )
        self._first = None
        self._free.append(None)
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

    def fresh(self) -> Self:
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
