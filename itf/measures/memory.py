"""How many bytes a block allocates at its height, and how many it leaves behind."""

from __future__ import annotations

import os
import threading
import tracemalloc
from types import TracebackType
from typing import Final, Self

from itf.measures.samples import PEAK, RETAINED, Cell
from itf.measures.timing import Timing, here

__all__ = ["MemoryTiming"]

__unittest = True


class _Block:
    """An open block: what was allocated when it began, and the most there was since."""

    __slots__ = ("base", "peak")

    def __init__(self, base: int) -> None:
        self.base = base
        self.peak = base


class _Meter:
    """`tracemalloc`, for several blocks at once.

    It knows one peak, which has to be set back for each block that begins:
    so the blocks that are open note the peak before it is.
    """

    def __init__(self) -> None:
        # Held while blocks begin and end, and the peak is read and set back.
        self._lock = threading.RLock()
        self._blocks: list[_Block] = []
        self._was_on = False

    def begin(self) -> _Block:
        with self._lock:
            if not self._blocks:
                self._was_on = tracemalloc.is_tracing()
            if not tracemalloc.is_tracing():
                tracemalloc.start()
            block = _Block(self._note_peak())
            self._blocks.append(block)
            return block

    def end(self, block: _Block) -> tuple[int, int] | None:
        """Return the peak and what was retained; None if somebody has switched tracing off."""
        with self._lock:
            if block not in self._blocks:
                return None  # of the process that this one was forked from
            was_tracing = tracemalloc.is_tracing()
            now = self._note_peak()
            self._blocks.remove(block)
            if not self._blocks and not self._was_on:
                tracemalloc.stop()
            return (block.peak - block.base, now - block.base) if was_tracing else None

    def _note_peak(self) -> int:
        now, peak = tracemalloc.get_traced_memory()
        for block in self._blocks:
            block.peak = max(block.peak, peak)
        tracemalloc.reset_peak()
        return now

    def forked(self) -> None:
        self._lock = threading.RLock()
        if self._blocks and not self._was_on:
            tracemalloc.stop()
        self._blocks = []


_meter: Final = _Meter()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_meter.forked)


class MemoryTiming(Timing):
    """A `Timing` that also takes what the block allocates, as far as Python does it.

    What other threads allocate meanwhile counts as well.
    """

    __slots__ = ("_blocks",)

    _blocks: list[tuple[object, _Block]]

    @classmethod
    def of(cls, cell: Cell) -> Self:
        """Return one whose samples go to this cell."""
        timing = super().of(cell)
        timing._blocks = []
        return timing

    def __enter__(self) -> None:
        # The innermost of this thread and task is the last one that is theirs.
        self._blocks.append((here(), _meter.begin()))
        super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        place = here()
        # A generator may go on in another thread than it began in.
        # Of a copy: other threads may leave and shorten the list meanwhile.
        blocks = [*self._blocks]
        block = next((entry for entry in reversed(blocks) if entry[0] == place), blocks[-1])
        self._blocks.remove(block)
        found = _meter.end(block[1])
        if found is not None:
            recorder, operation = self._cell.recorder, self._cell.operation
            recorder.add(operation, PEAK, found[0])
            recorder.add(operation, RETAINED, found[1])
