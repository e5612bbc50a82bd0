"""Measurement of the memory that a `with` block allocates, by `tracemalloc`."""

from __future__ import annotations

import threading
import tracemalloc
from types import TracebackType
from typing import Final, Self

from itf.fork_safety import after_fork_in_child
from itf.performance.operation_samples import PEAK, RETAINED
from itf.performance.samples import SampleBuffer
from itf.performance.timing import Timing, here

__all__ = ["MemoryTiming"]

__unittest = True


class _Block:
    """A block that is running: bytes allocated at its start, and the maximum since then."""

    __slots__ = ("base", "peak")

    def __init__(self, base: int) -> None:
        self.base = base
        self.peak = base


class _MemoryMeter:
    """Measures several blocks at once with `tracemalloc`.

    `tracemalloc` has one peak, which must be reset when a block starts. Before each
    reset, the peak is recorded in all blocks that are running.

    Thread safety: all methods, from any thread.
    """

    def __init__(self) -> None:
        # Held while blocks start and end, and between reading and resetting the peak.
        self._lock = threading.RLock()
        self._blocks: list[_Block] = []
        # Whether tracemalloc was tracing before the first block.
        self._was_tracing = False

    def start(self) -> _Block:
        """Start a block; start tracemalloc if it is not tracing."""
        with self._lock:
            if not self._blocks:
                self._was_tracing = tracemalloc.is_tracing()
            if not tracemalloc.is_tracing():
                tracemalloc.start()
            block = _Block(self._record_peak())
            self._blocks.append(block)
            return block

    def end(self, block: _Block) -> tuple[int, int] | None:
        """End a block; return its peak and retained bytes, or None if they are unknown."""
        with self._lock:
            if block not in self._blocks:
                return None  # the block was started by the parent process, before a fork
            was_tracing = tracemalloc.is_tracing()
            now = self._record_peak()
            self._blocks.remove(block)
            if not self._blocks and not self._was_tracing:
                tracemalloc.stop()
            # Without tracing, the program itself has stopped tracemalloc in the block.
            return (block.peak - block.base, now - block.base) if was_tracing else None

    def _record_peak(self) -> int:
        now, peak = tracemalloc.get_traced_memory()
        for block in self._blocks:
            block.peak = max(block.peak, peak)
        tracemalloc.reset_peak()
        return now

    def after_fork(self) -> None:
        """Forget the blocks of the parent process, in a forked child."""
        self._lock = threading.RLock()
        if self._blocks and not self._was_tracing:
            tracemalloc.stop()
        self._blocks = []


_meter: Final = _MemoryMeter()

after_fork_in_child(_meter.after_fork)


class MemoryTiming(Timing):
    """A `Timing` that also measures the memory that the block allocates.

    Only memory that Python allocates counts. Memory that other threads allocate while
    the block runs is included.
    """

    __slots__ = ("_blocks",)

    _blocks: list[tuple[object, _Block]]

    @classmethod
    def of(cls, buffer: SampleBuffer) -> Self:
        """Return a timing whose samples go to this buffer."""
        timing = super().of(buffer)
        timing._blocks = []
        return timing

    def __enter__(self) -> None:
        # The last entry of a thread and task is its innermost block.
        self._blocks.append((here(), _meter.start()))
        super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        key = here()
        # A copy, because other threads may leave their blocks meanwhile.
        blocks = [*self._blocks]
        # A generator may have started its block in another thread: then take the last one.
        block = next((entry for entry in reversed(blocks) if entry[0] == key), blocks[-1])
        self._blocks.remove(block)
        measured = _meter.end(block[1])
        if measured is not None:
            recorder, operation = self._buffer.recorder, self._buffer.operation
            recorder.add(operation, PEAK, measured[0])
            recorder.add(operation, RETAINED, measured[1])
