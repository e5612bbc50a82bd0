"""The samples of worker processes, in a file that keeps them when a process is killed.

The file has no name; all processes of a monitor have it open. Each process owns one
block for each operation that it times, and writes only to its own blocks (see
`sample_block`). The test's process reads the blocks; no message is exchanged.

A process holds a lock of the kernel on each of its blocks. The kernel releases the
lock when the process ends. The next process that times the same operation takes over
the block with all its samples. So a thousand workers that run one after the other need
as much memory as one.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

from itf.exceptions import TimingError
from itf.file_lock import try_lock_byte, unlock_byte
from itf.performance.operation_samples import TIME, OperationSamples
from itf.performance.sample_block import (
    PAGE,
    BlockLocation,
    BlockWriter,
    append_block,
    block_at,
    read_block,
)

__all__ = ["Descriptor", "SampleFile"]

__unittest = True

# Offset of the epoch in the first page of the file: the number of resets.
_EPOCH: Final = 0

# Byte offsets for the kernel's locks, far beyond the end of the file. A lock at _LOCKS
# is the right to append a block; a lock at _LOCKS + offset owns the block at the offset.
_LOCKS: Final = 1 << 50

# Seconds to wait for a process that appends a block. Appending takes microseconds; a
# process that takes longer is stopped in the middle of it.
_APPEND_TIMEOUT: Final = 60.0

# Seconds between two attempts to get that lock.
_APPEND_POLL: Final = 0.0002


class Descriptor(Protocol):
    """A file descriptor with an owner that closes it."""

    number: int

    def close(self) -> None:
        """Close the descriptor."""


class _Sample(NamedTuple):
    """A sample that is to be written; its times by `time.perf_counter_ns`, or 0."""

    key: tuple[str, str]
    value: int
    start: int
    end: int


class SampleFile:
    """The samples of all processes of one monitor, except those of the test's process.

    Args:
        descriptor: Of an empty file, or of a file that another process has passed to
            this one.

    Attributes:
        spare_descriptors: More descriptors of the same file. They stay open: closing
            any descriptor of a file releases all locks that the process has on the file.

    Thread safety: all methods, from any thread.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        number = descriptor.number
        if os.fstat(number).st_size < PAGE:
            os.ftruncate(number, PAGE)
        self._writers: dict[tuple[str, str], BlockWriter] = {}
        # Held while samples of _pending are written.
        self._lock = threading.RLock()
        self._pending: list[_Sample] = []
        self._is_writing = False
        self.spare_descriptors: list[Descriptor] = []
        self._map = mmap.mmap(number, PAGE)
        self._epoch = memoryview(self._map)[_EPOCH : _EPOCH + 8].cast("Q")
        _files[_identity(number)] = self

    @classmethod
    def of(cls, descriptor: Descriptor) -> SampleFile:
        """Return the object for a file. A process has one object for each file."""
        known = _files.get(_identity(descriptor.number))
        if known is None:
            return cls(descriptor)
        known.spare_descriptors.append(descriptor)
        return known

    def close(self) -> None:
        """Close the file. It is deleted when the last process has closed it."""
        self._epoch.release()
        self._map.close()
        self.descriptor.close()

    def after_fork(self) -> None:
        """Forget the blocks of the parent process, in a forked child."""
        self._lock = threading.RLock()
        self._writers, self._pending, self._is_writing = {}, [], False

    @property
    def epoch(self) -> int:
        """Number of resets. Samples of an older epoch do not count any more."""
        return int(self._epoch[0])

    def start_new_epoch(self) -> None:
        """Drop all samples of all processes."""
        self._epoch[0] += 1

    def add(self, operation: str, quantity: str, value: int, start: int = 0, end: int = 0) -> None:
        """Add a sample.

        Args:
            operation: The name of the operation.
            quantity: What was measured; one of `operation_samples.QUANTITIES`.
            value: The sample, in the unit of the quantity.
            start: When it began, by `time.perf_counter_ns`; 0 if unknown.
            end: When it ended.
        """
        self._pending.append(_Sample((operation, quantity), value, start, end))
        with self._lock:
            # The lock is reentrant: a signal handler may interrupt the loop below and
            # add a sample. The loop then also writes that sample.
            if self._is_writing:
                return
            self._is_writing = True
            try:
                while self._pending:
                    sample = self._pending.pop(0)
                    writer = self._writers.get(sample.key)
                    if writer is None:
                        location = self._claim_block(*sample.key)
                        writer = BlockWriter(self.descriptor.number, location)
                        self._writers[sample.key] = writer
                    writer.write(sample.value, sample.start, sample.end, self.epoch)
            finally:
                self._is_writing = False

    def _claim_block(self, operation: str, quantity: str) -> BlockLocation:
        """Take over a block without an owner, or append one."""
        own = {writer.location.offset for writer in self._writers.values()}
        with self._append_lock():
            for location in self._blocks():
                if (location.operation, location.quantity) != (operation, quantity):
                    continue
                # The kernel grants a lock again that this process has already.
                if location.offset not in own and try_lock_byte(
                    self.descriptor.number, _LOCKS + location.offset
                ):
                    return location
            location = append_block(self.descriptor.number, operation, quantity)
            if not try_lock_byte(self.descriptor.number, _LOCKS + location.offset):
                raise TimingError(
                    f"failed to lock a new block for {operation!r}: another process locked it"
                )
            return location

    def _blocks(self) -> Iterator[BlockLocation]:
        number = self.descriptor.number
        size = os.fstat(number).st_size
        offset = PAGE
        while offset < size:
            location = block_at(number, offset)
            if location is None:
                offset += PAGE
                continue
            yield location
            offset += location.size

    def read(self) -> dict[str, OperationSamples]:
        """Return the samples of all processes, of ended processes too."""
        found: dict[str, OperationSamples] = {}
        for location in self._blocks():
            block = read_block(self.descriptor.number, location, self.epoch)
            if block is None or not block[0].count:
                continue
            histogram, first_start, last_end = block
            samples = found.setdefault(location.operation, OperationSamples())
            samples.histogram(location.quantity).merge(histogram)
            if location.quantity == TIME:
                samples.extend_period(first_start, last_end)
        return found

    @contextmanager
    def _append_lock(self) -> Iterator[None]:
        deadline = time.monotonic() + _APPEND_TIMEOUT
        while not try_lock_byte(self.descriptor.number, _LOCKS):
            if time.monotonic() > deadline:
                raise TimingError(
                    f"failed to store a timing within {_APPEND_TIMEOUT:g} s: another process "
                    "has locked the file; resume that process if it is paused"
                )
            time.sleep(_APPEND_POLL)
        try:
            yield
        finally:
            unlock_byte(self.descriptor.number, _LOCKS)


# By device and inode; see `SampleFile.spare_descriptors`.
_files: weakref.WeakValueDictionary[tuple[int, int], SampleFile] = weakref.WeakValueDictionary()


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
