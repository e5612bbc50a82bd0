"""The samples of operations: where each arrives, and what becomes of it.

Taking a sample must cost next to nothing, also where eight threads take one of
the same operation at once.  So it is one `list.append`, which is atomic and
needs no lock; whoever finds a thousand samples in the list puts them into the
histogram, and if somebody is about that already, goes on instead of waiting.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from itf.forks import lock_of
from itf.measures.histogram import Histogram
from itf.texts import safe_repr

if TYPE_CHECKING:
    from itf.measures.shared import SampleFile

__all__ = [
    "PEAK",
    "RETAINED",
    "SUSPENDED",
    "TIME",
    "Cell",
    "OperationSamples",
    "Recorder",
    "check_operation",
    "known",
]

__unittest = True

TIME: Final = "time"
SUSPENDED: Final = "suspended"
PEAK: Final = "peak"
RETAINED: Final = "retained"

# Large enough that the histogram is a small part of a sample's cost, small
# enough that whoever fills it is held up for some 0.1 ms only.
_BATCH: Final = 1024


class OperationSamples:
    """What is known of one operation: a histogram for each thing measured, and when it ran.

    Attributes:
        series: By name: `TIME` and `SUSPENDED` in ns, `PEAK` and `RETAINED` in bytes.
        first: When the first sample began, by `time.perf_counter_ns`; None if unknown.
        end: When the last one ended.
        span: Nanoseconds of other runs, whose clock was another.
    """

    __slots__ = ("end", "first", "series", "span")

    def __init__(self) -> None:
        self.series: dict[str, Histogram] = {}
        self.first: int | None = None
        self.end = 0
        self.span = 0

    def of(self, series: str) -> Histogram:
        """Return the histogram of this name, an empty one if there was none."""
        return self.series.setdefault(series, Histogram())

    def ran(self, first: int, end: int) -> None:
        """Take note that samples were taken between these two moments."""
        self.first = first if self.first is None else min(self.first, first)
        self.end = max(self.end, end)

    @property
    def elapsed(self) -> int:
        """How many nanoseconds lie between the first start and the last end."""
        return self.span + (0 if self.first is None else max(0, self.end - self.first))

    def merge(self, other: OperationSamples) -> None:
        """Add another's samples, which were taken by the same clock."""
        for name, histogram in other.series.items():
            self.of(name).merge(histogram)
        if other.first is not None:
            self.ran(other.first, other.end)
        self.span += other.span


class Cell:
    """Where the samples of one operation, or of one more series of it, arrive.

    Attributes:
        add: Takes a sample.  At home it is the `append` of ``samples``.
        samples: Those that are not in the histogram yet.
        limit: How many of them there may be before `fold` is called; 1 at
            first, so that the first sample of all can be told.
        end: When the last sample ended.
    """

    __slots__ = (
        "_histogram",
        "_is_folding",
        "add",
        "end",
        "first",
        "limit",
        "operation",
        "recorder",
        "samples",
        "series",
    )

    def __init__(self, recorder: Recorder, operation: str, series: str = TIME) -> None:
        self.recorder = recorder
        self.operation = operation
        self.series = series
        self.clear()

    def clear(self) -> None:
        """Forget all samples."""
        self.samples: list[int] = []
        self.add: Callable[[int], object] = self.samples.append
        self.limit = 1
        self.end = 0
        self.first: int | None = None
        self._histogram = Histogram()
        self._is_folding = False

    def forked(self) -> None:
        """Take note that this is a new process: whoever was folding is not in it."""
        self._is_folding = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Part of a decorated function, say, that is sent to a worker.
        return (_cell_of, (self.recorder.monitor, self.operation))

    def fold(self, *, tell: bool = True) -> None:
        """Put a batch of samples into the histogram, unless somebody is about it.

        Args:
            tell: Whether to tell the recorder if one is the first of all.
        """
        recorder = self.recorder
        told = None
        lock = recorder.lock
        if not lock.acquire(blocking=False):
            self.limit = len(self.samples) + _BATCH
            return
        try:
            if self.first is None and self.samples:
                told = self.samples[0]
            self.take_in(_BATCH)
        finally:
            lock.release()
        if tell and told is not None and self.series == TIME:
            recorder.on_first(self.operation, told)

    def take_in(self, count: int | None = None) -> Histogram:
        """Put samples into the histogram, and return that; called with the lock held."""
        # The collector may run a `__del__` in here that takes a sample as well,
        # or reads them: the lock is its own thread's, and does not stop it.
        if self._is_folding:
            return self._histogram
        self._is_folding = True
        try:
            samples = self.samples[:count]
            del self.samples[: len(samples)]
            if samples and self.first is None:
                self.first = self.end - samples[0]
                self.recorder.order.setdefault(self.operation)
            self._histogram.add(samples)
            self.limit = _BATCH if self.first is not None else 1
        finally:
            self._is_folding = False
        return self._histogram


class Recorder:
    """The samples of all operations of one monitor, in this process and those that it shares with.

    Args:
        monitor: Whose samples they are; it has this as ``recorder``.
        on_first: Called with an operation and a sample in ns when it is the first of a process.
        make_file: Makes what is shared with other processes.

    Attributes:
        cells: The cells for times, by operation; never another dict.
        more: The cells for other series.
        order: The operations in the order of their first end.
        running: What was started by hand and has not ended; the starts of each
            (operation, thread, task) in ns, the innermost last.  A key belongs
            to one thread, which alone changes its list.  The objects, not an id
            or a name, which the next thread or task may have as well.
        file: What is shared with other processes, once there are any.

    Thread safety: every method, from any thread.
    """

    def __init__(
        self,
        monitor: Any,
        on_first: Callable[[str, int], object],
        make_file: Callable[[], SampleFile],
    ) -> None:
        self.monitor = monitor
        self.on_first = on_first
        self.make_file = make_file
        self.cells: dict[str, Cell] = {}
        self.more: dict[tuple[str, str], Cell] = {}
        self.order: dict[str, None] = {}
        self.running: dict[tuple[str, threading.Thread, object], list[int]] = {}
        self.file: SampleFile | None = None
        self.is_worker = False
        self._others: dict[str, OperationSamples] = {}
        self._born = 0
        _recorders.add(self)

    @property
    def lock(self) -> threading.RLock:
        """Held while samples go into a histogram, or are read."""
        return lock_of(self)

    def cell(self, operation: object) -> Cell:
        """Return the cell for the times of an operation."""
        name = check_operation(operation)
        return self.cells.get(name) or self._new_cell(self.cells, name, Cell(self, name))

    def add(self, operation: str, series: str, value: int) -> None:
        """Take a sample of another series than the time."""
        key = (operation, series)
        cell = self.more.get(key) or self._new_cell(self.more, key, Cell(self, operation, series))
        cell.add(value)
        if len(cell.samples) >= cell.limit:
            cell.fold()

    def _new_cell(self, cells: dict[Any, Cell], key: Any, cell: Cell) -> Cell:
        if self.is_worker:
            self._redirect(cell)
        return cells.setdefault(key, cell)  # atomic: two that come first get the same

    # Reading

    def read(self) -> dict[str, OperationSamples]:
        """Return all samples so far, those of worker processes included, in order of first end."""
        with self.lock:
            found: dict[str, OperationSamples] = {}
            for cell in [*self.cells.values(), *self.more.values()]:
                self._read_cell(cell, found)
            away = self.file.read() if self.file is not None else {}
            for others in (self._others, away):
                for operation, samples in others.items():
                    found.setdefault(operation, OperationSamples()).merge(samples)
            order = [*self.order, *(name for name in found if name not in self.order)]
            return {name: found[name] for name in order if name in found}

    @staticmethod
    def _read_cell(cell: Cell, found: dict[str, OperationSamples]) -> None:
        histogram = cell.take_in()
        if not histogram.count:
            return
        samples = found.setdefault(cell.operation, OperationSamples())
        samples.of(cell.series).merge(histogram)
        if cell.series == TIME and cell.first is not None:
            samples.ran(cell.first, cell.end)

    def merge(self, others: dict[str, OperationSamples]) -> None:
        """Add samples that were taken elsewhere."""
        with self.lock:
            for operation, samples in others.items():
                self._others.setdefault(operation, OperationSamples()).merge(samples)
                self.order.setdefault(operation)

    def reset(self) -> None:
        """Forget all samples, those of worker processes included."""
        with self.lock:
            if self.file is not None:
                self.file.begin_anew()
            # Kept, for whoever is in the middle of a `with` has one of them.
            for cell in [*self.cells.values(), *self.more.values()]:
                cell.clear()
            self._others.clear()
            self.order.clear()
            self.running.clear()

    # Other processes

    def share(self) -> SampleFile:
        """Return what is shared with other processes, made at the first call."""
        with self.lock:
            if self.file is None:
                self.file = self.make_file()
            return self.file

    def bring_home(self) -> None:
        """Take over the samples of the worker processes, and share nothing with them any more."""
        _sharing.discard(self)
        with self.lock:
            file, self.file = self.file, None
            if file is not None:
                self.merge(file.read())
                file.close()

    def begin_sharing(self) -> None:
        """Have every process that is forked from now on send its samples home."""
        _sharing.add(self)

    def become_worker(self) -> None:
        """Send the samples of this process home from now on; its parent's are not its own."""
        self.is_worker = True
        # What began before was begun by the parent, which ends it as well.
        self._born = time.perf_counter_ns()
        self._others.clear()
        self.order.clear()
        self.running.clear()
        for cell in [*self.cells.values(), *self.more.values()]:
            cell.clear()
            self._redirect(cell)

    def forked(self) -> None:
        """Take note that this is a new process, with a copy of its own."""
        for cell in [*self.cells.values(), *self.more.values()]:
            cell.forked()

    def _redirect(self, cell: Cell) -> None:
        cell.add = functools.partial(self._send, cell)

    def _send(self, cell: Cell, value: int) -> None:
        file = self.file
        if file is None:
            return  # the monitor has ended, and nobody reads it
        if cell.series != TIME:
            file.add(cell.operation, cell.series, value)
        elif cell.end - value >= self._born:
            file.add(cell.operation, TIME, value, cell.end - value, cell.end)


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()

# Those that a forked process is to send its samples to.
_sharing: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _before_fork() -> None:
    for recorder in list(_sharing):
        recorder.share()


def _after_fork() -> None:
    for recorder in list(_recorders):
        if recorder.file is None:
            recorder.forked()
        else:
            recorder.file.forked()
            recorder.become_worker()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _cell_of(monitor: Any, operation: str) -> Cell:
    """Return the cell for an operation in the process to which a monitor was sent."""
    recorder: Recorder = monitor.recorder
    return recorder.cell(operation)


def check_operation(operation: object) -> str:
    """Return the name of an operation.

    Raises:
        TypeError: It is not a str.
    """
    if not isinstance(operation, str):
        raise TypeError(f"the name of an operation is a str, got {safe_repr(operation)}")
    return operation


def known(operations: Iterable[str]) -> str:
    """Return operations as a message lists them."""
    return ", ".join(map(repr, operations)) or "none"
