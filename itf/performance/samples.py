"""Where the samples of operations arrive, and how they reach a histogram.

Taking a sample must be cheap, also while eight threads time the same operation. So a
sample is one `list.append`, which is atomic in CPython and needs no lock. The thread
that finds 1024 samples in the list moves them to the histogram. If another thread is
doing that already, the thread continues without waiting.
"""

from __future__ import annotations

import functools
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from itf.fork_safety import around_fork, fork_safe_lock
from itf.performance.histogram import Histogram
from itf.performance.operation_samples import TIME, OperationSamples, check_operation

if TYPE_CHECKING:
    from itf.performance.crash_safe_samples import SampleFile

__all__ = ["Recorder", "SampleBuffer"]

__unittest = True

# Number of samples moved to a histogram at once. Large enough that the histogram is a
# small part of the cost of a sample; small enough that moving takes about 0.1 ms.
_BATCH: Final = 1024


class SampleBuffer:
    """Receives the samples of one quantity of one operation.

    Attributes:
        add: Takes a sample. In the test's process this is ``samples.append``.
        samples: The samples that are not in the histogram yet.
        limit: Number of samples at which the caller of `add` must call `fold`. It is 1
            at first, so that the first sample can be reported at once.
        last_end: End of the last sample, by `time.perf_counter_ns`.
        first_start: Start of the first sample; None before the first `fold`.

    Thread safety: `add` and `fold`, from any thread; the other methods need the lock of
    the recorder.
    """

    __slots__ = (
        "_histogram",
        "_is_folding",
        "add",
        "first_start",
        "last_end",
        "limit",
        "operation",
        "quantity",
        "recorder",
        "samples",
    )

    def __init__(self, recorder: Recorder, operation: str, quantity: str = TIME) -> None:
        self.recorder = recorder
        self.operation = operation
        self.quantity = quantity
        self.clear()

    def clear(self) -> None:
        """Drop all samples."""
        self.samples: list[int] = []
        self.add: Callable[[int], object] = self.samples.append
        self.limit = 1
        self.last_end = 0
        self.first_start: int | None = None
        self._histogram = Histogram()
        self._is_folding = False

    def after_fork(self) -> None:
        """Reset what a thread of the parent process may have left half done."""
        self._is_folding = False

    def __reduce__(self) -> tuple[Any, ...]:
        # A decorated function that is sent to a worker refers to its buffer.
        return (_buffer_in_worker, (self.recorder.monitor, self.operation))

    def fold(self, *, report_first: bool = True) -> None:
        """Move a batch of samples to the histogram, unless another thread is doing it.

        Args:
            report_first: Whether to call the recorder's `on_first` if the batch begins
                with the first sample of the operation.
        """
        recorder = self.recorder
        first = None
        lock = recorder.lock
        if not lock.acquire(blocking=False):
            self.limit = len(self.samples) + _BATCH
            return
        try:
            if self.first_start is None and self.samples:
                first = self.samples[0]
            self.fold_locked(_BATCH)
        finally:
            lock.release()
        # Outside the lock: the callback writes to the timeline, which has its own lock.
        if report_first and first is not None and self.quantity == TIME:
            recorder.on_first(self.operation, first)

    def fold_locked(self, count: int | None = None) -> Histogram:
        """Move samples to the histogram and return it. The caller holds the lock.

        Args:
            count: Maximum number of samples; None is all.
        """
        # The lock is reentrant: a finalizer that the garbage collector runs here may
        # take a sample or read the samples in the same thread.
        if self._is_folding:
            return self._histogram
        self._is_folding = True
        try:
            samples = self.samples[:count]
            del self.samples[: len(samples)]
            if samples and self.first_start is None:
                self.first_start = self.last_end - samples[0]
                self.recorder.order.setdefault(self.operation)
            self._histogram.add(samples)
            self.limit = _BATCH if self.first_start is not None else 1
        finally:
            self._is_folding = False
        return self._histogram


class Recorder:
    """The samples of one monitor, in this process and in its worker processes.

    Args:
        monitor: The monitor; its attribute ``recorder`` is this object.
        on_first: Called with the operation and the nanoseconds of its first sample in
            this process.
        make_file: Creates the file that is shared with worker processes.

    Attributes:
        time_buffers: The buffers for durations, by operation. Never replaced by another
            dict: the monitor keeps a reference to it.
        other_buffers: The buffers for other quantities, by operation and quantity.
        order: The operations, in the order in which their first samples ended.
        running: Start times of operations that were started by `start_timing`, the
            innermost last, by operation, thread and task. Only the thread of the key
            changes its list. The keys hold the objects: ids and names are reused.
        file: The file shared with worker processes; None until it is needed.
        is_worker: Whether this process is a worker.

    Thread safety: all methods, from any thread.
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
        self.time_buffers: dict[str, SampleBuffer] = {}
        self.other_buffers: dict[tuple[str, str], SampleBuffer] = {}
        self.order: dict[str, None] = {}
        self.running: dict[tuple[str, threading.Thread, object], list[int]] = {}
        self.file: SampleFile | None = None
        self.is_worker = False
        # Samples merged from other monitors and from ended worker processes.
        self._merged: dict[str, OperationSamples] = {}
        # In a worker: when this process began to record, by time.perf_counter_ns.
        self._process_start = 0
        _recorders.add(self)

    @property
    def lock(self) -> threading.RLock:
        """Held while samples are moved to a histogram, read, merged or dropped."""
        return fork_safe_lock(self)

    def time_buffer(self, operation: object) -> SampleBuffer:
        """Return the buffer for the durations of an operation."""
        name = check_operation(operation)
        buffer = self.time_buffers.get(name)
        return buffer or self._add_buffer(self.time_buffers, name, SampleBuffer(self, name))

    def add(self, operation: str, quantity: str, value: int) -> None:
        """Add a sample of another quantity than the duration."""
        key = (operation, quantity)
        buffer = self.other_buffers.get(key) or self._add_buffer(
            self.other_buffers, key, SampleBuffer(self, operation, quantity)
        )
        buffer.add(value)
        if len(buffer.samples) >= buffer.limit:
            buffer.fold()

    def _add_buffer(self, buffers: dict[Any, SampleBuffer], key: Any, new: SampleBuffer) -> Any:
        if self.is_worker:
            self._send_to_file(new)
        # setdefault is atomic: two threads that add the same key get the same buffer.
        return buffers.setdefault(key, new)

    def _all_buffers(self) -> list[SampleBuffer]:
        return [*self.time_buffers.values(), *self.other_buffers.values()]

    # Reading

    def read(self) -> dict[str, OperationSamples]:
        """Return all samples, with those of worker processes, in the order of `order`."""
        with self.lock:
            found: dict[str, OperationSamples] = {}
            for buffer in self._all_buffers():
                self._read_buffer(buffer, found)
            from_workers = self.file.read() if self.file is not None else {}
            for others in (self._merged, from_workers):
                for operation, samples in others.items():
                    found.setdefault(operation, OperationSamples()).merge(samples)
            order = [*self.order, *(name for name in found if name not in self.order)]
            return {name: found[name] for name in order if name in found}

    @staticmethod
    def _read_buffer(buffer: SampleBuffer, found: dict[str, OperationSamples]) -> None:
        histogram = buffer.fold_locked()
        if not histogram.count:
            return
        samples = found.setdefault(buffer.operation, OperationSamples())
        samples.histogram(buffer.quantity).merge(histogram)
        if buffer.quantity == TIME and buffer.first_start is not None:
            samples.extend_period(buffer.first_start, buffer.last_end)

    def merge(self, others: dict[str, OperationSamples]) -> None:
        """Add samples that were taken elsewhere."""
        with self.lock:
            for operation, samples in others.items():
                self._merged.setdefault(operation, OperationSamples()).merge(samples)
                self.order.setdefault(operation)

    def reset(self) -> None:
        """Drop all samples, with those of worker processes."""
        with self.lock:
            if self.file is not None:
                self.file.start_new_epoch()
            # The buffers stay: a `with` block that is running refers to its buffer.
            for buffer in self._all_buffers():
                buffer.clear()
            self._merged.clear()
            self.order.clear()
            self.running.clear()

    # Worker processes

    def share(self) -> SampleFile:
        """Return the file shared with worker processes; create it at the first call."""
        with self.lock:
            if self.file is None:
                self.file = self.make_file()
            return self.file

    def stop_sharing(self) -> None:
        """Merge the samples of the worker processes and close the shared file."""
        _sharing.discard(self)
        with self.lock:
            file, self.file = self.file, None
            if file is not None:
                self.merge(file.read())
                file.close()

    def start_sharing(self) -> None:
        """Collect the samples of every process that is forked from now on."""
        _sharing.add(self)

    def become_worker(self) -> None:
        """Write the samples of this process to the shared file from now on."""
        self.is_worker = True
        # Blocks that the parent process has entered are timed by the parent.
        self._process_start = time.perf_counter_ns()
        self._merged.clear()
        self.order.clear()
        self.running.clear()
        for buffer in self._all_buffers():
            buffer.clear()
            self._send_to_file(buffer)

    def after_fork(self) -> None:
        """Reset the buffers in a forked process that keeps a copy of the samples."""
        for buffer in self._all_buffers():
            buffer.after_fork()

    def _send_to_file(self, buffer: SampleBuffer) -> None:
        buffer.add = functools.partial(self._write, buffer)

    def _write(self, buffer: SampleBuffer, value: int) -> None:
        file = self.file
        if file is None:
            return  # the monitor has ended; nobody can read the sample
        if buffer.quantity != TIME:
            file.add(buffer.operation, buffer.quantity, value)
            return
        start = buffer.last_end - value
        if start >= self._process_start:
            file.add(buffer.operation, TIME, value, start, buffer.last_end)


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()

# Recorders that collect the samples of processes forked from now on.
_sharing: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _before_fork() -> None:
    for recorder in list(_sharing):
        recorder.share()


def _after_fork_in_child() -> None:
    for recorder in list(_recorders):
        if recorder.file is None:
            recorder.after_fork()
        else:
            recorder.file.after_fork()
            recorder.become_worker()


around_fork(before=_before_fork, after_in_child=_after_fork_in_child)


def _buffer_in_worker(monitor: Any, operation: str) -> SampleBuffer:
    """Return the buffer of an operation in the process to which a monitor was sent."""
    recorder: Recorder = monitor.recorder
    return recorder.time_buffer(operation)
