"""Layout of a block in the file with the samples of worker processes.

A block holds the samples of one quantity of one operation. One process at a time
writes to it; any process may read it at any time, also while it is being written.

A block consists of

- the header: magic number, sizes, name of the operation, and five counters;
- a ring buffer with the newest samples;
- two copies of the histogram of all older samples. While one copy is overwritten,
  the other one is valid (double buffering).

Each sample becomes valid by a single store of 8 bytes, that of the counter. A process
that is killed at any time loses only the sample that it was writing.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from typing import Any, Final, NamedTuple

from itf.performance.histogram import Histogram, HistogramState, bucket_of
from itf.performance.operation_samples import QUANTITIES

__all__ = [
    "PAGE",
    "BlockLocation",
    "BlockWriter",
    "append_block",
    "block_at",
    "read_block",
]

__unittest = True

# Each part of the file begins at a multiple of this, the unit in which files are mapped.
PAGE: Final = mmap.ALLOCATIONGRANULARITY

# Start of the header: magic number, size of the header, index of the quantity, length of
# the name in bytes. Then the counters at _COUNTERS_AT, then the name at _NAME_AT.
_HEADER: Final = struct.Struct("=QQII")
_MAGIC: Final = 0x6974665F74696D65  # "itf_time"
_COUNTERS: Final = struct.Struct("=QQQQQ")
_COUNTERS_AT: Final = 32
_NAME_AT: Final = _COUNTERS_AT + _COUNTERS.size

# Indexes of the counters. VERSION: an even number means that the first copy is valid.
# COUNT: number of samples. EPOCH: the number of resets before the samples were taken.
# FIRST, LAST: start of the first sample and end of the last one.
_VERSION, _COUNT, _EPOCH, _FIRST, _LAST = range(5)

# Number of samples in the ring buffer.
_RING: Final = 1024
_RING_SIZE: Final = 8 * _RING

# Start of a copy: number of samples in the histogram, then total, sum of squares (16
# bytes), minimum and maximum. Then the number of samples in each bucket: one entry for
# all values below 1, and one for each bucket from that of 1 to that of 2**63.
_COPY: Final = struct.Struct("=Qq16sqq")
_BUCKETS_AT: Final = 64
_FIRST_BUCKET: Final = bucket_of(1)
_LAST_BUCKET: Final = bucket_of(2.0**63)
_BUCKETS: Final = 2 + _LAST_BUCKET - _FIRST_BUCKET
_COPY_SIZE: Final = -(-(_BUCKETS_AT + 8 * _BUCKETS) // PAGE) * PAGE

# Size of a block without its header.
_BODY: Final = -(-_RING_SIZE // PAGE) * PAGE + 2 * _COPY_SIZE

_LARGEST: Final = 2**63 - 1


class BlockLocation(NamedTuple):
    """Where a block is, and what it is for; sizes in bytes."""

    offset: int
    header_size: int
    operation: str
    quantity: str

    @property
    def size(self) -> int:
        """Size of the whole block."""
        return self.header_size + _BODY


def append_block(descriptor: int, operation: str, quantity: str) -> BlockLocation:
    """Append an empty block to a file. The caller keeps other processes from doing so."""
    name = operation.encode("utf-8", "surrogatepass")
    header_size = -(-(_NAME_AT + len(name)) // PAGE) * PAGE
    # A process that was killed in here may have left a part of a block: skip it.
    offset = -(-os.fstat(descriptor).st_size // PAGE) * PAGE
    os.ftruncate(descriptor, offset + header_size + _BODY)
    header = _HEADER.pack(0, header_size, QUANTITIES.index(quantity), len(name))
    os.pwrite(descriptor, header.ljust(_COUNTERS_AT, b"\0") + bytes(_COUNTERS.size) + name, offset)
    # The magic number is written last. It makes the block valid.
    os.pwrite(descriptor, struct.pack("=Q", _MAGIC), offset)
    return BlockLocation(offset, header_size, operation, quantity)


def block_at(descriptor: int, offset: int) -> BlockLocation | None:
    """Return the block that begins at an offset; None if no valid block begins there."""
    data = os.pread(descriptor, _HEADER.size, offset)
    magic, header_size, quantity, length = _HEADER.unpack(data.ljust(_HEADER.size, b"\0"))
    if magic != _MAGIC:
        return None
    name = os.pread(descriptor, length, offset + _NAME_AT).decode("utf-8", "surrogatepass")
    return BlockLocation(offset, header_size, name, QUANTITIES[quantity])


def read_block(
    descriptor: int, location: BlockLocation, epoch: int
) -> tuple[Histogram, int, int] | None:
    """Return the samples of a block, the start of the first and the end of the last one.

    Args:
        descriptor: The file.
        location: The block.
        epoch: The current epoch. A block of an older epoch was reset: returns None.
    """
    while True:
        data = os.pread(descriptor, location.size, location.offset)
        version, count, block_epoch, first, last = _COUNTERS.unpack_from(data, _COUNTERS_AT)
        # If the version has changed, the writer has moved samples from the ring buffer to
        # a copy meanwhile, and may have overwritten them in the ring: read again.
        version_now = os.pread(descriptor, 8, location.offset + _COUNTERS_AT)
        if version_now == data[_COUNTERS_AT : _COUNTERS_AT + 8]:
            break
    if block_epoch != epoch:
        return None
    copies = location.size - 2 * _COPY_SIZE
    folded, histogram = _unpack_copy(data, copies + (version & 1) * _COPY_SIZE)
    start = location.header_size
    ring = memoryview(data)[start : start + _RING_SIZE].cast("q")
    histogram.add([ring[sample % _RING] for sample in range(folded, count)])
    return histogram, first, last


class BlockWriter:
    """Writes samples to a block. This process must own the block.

    Thread safety: none; the caller holds a lock.
    """

    def __init__(self, descriptor: int, location: BlockLocation) -> None:
        self.location = location
        # A mapping of its own, which stays valid when the file grows.
        self._map = mmap.mmap(descriptor, location.size, offset=location.offset)
        view = memoryview(self._map)
        self._counters = view[_COUNTERS_AT : _COUNTERS_AT + _COUNTERS.size].cast("Q")
        self._ring = view[location.header_size : location.header_size + _RING_SIZE].cast("q")
        copies = location.size - 2 * _COPY_SIZE
        self._copies = [view[copies:][:_COPY_SIZE], view[copies + _COPY_SIZE :][:_COPY_SIZE]]
        # Number of samples in the histogram, and the histogram.
        valid_copy = self._copies[self._counters[_VERSION] & 1]
        self._folded, self._histogram = _unpack_copy(valid_copy, 0)

    def write(self, value: int, start: int, end: int, epoch: int) -> None:
        """Write a sample.

        Args:
            value: The sample.
            start: When the sample began; ignored if ``end`` is 0.
            end: When the sample ended; 0 if that is unknown.
            epoch: The current epoch; the samples of an older one are dropped.
        """
        counters = self._counters
        if counters[_EPOCH] != epoch:
            self._start_epoch(epoch)
        count = counters[_COUNT]
        if count - self._folded >= _RING:
            self._fold(count)
        self._ring[count % _RING] = max(-_LARGEST, min(value, _LARGEST))
        if end:
            counters[_FIRST] = min(start, counters[_FIRST] or start)
            counters[_LAST] = max(end, counters[_LAST])
        counters[_COUNT] = count + 1

    def _fold(self, count: int) -> None:
        """Move all samples of the ring buffer to the histogram."""
        ring = self._ring
        self._histogram.add([ring[sample % _RING] for sample in range(self._folded, count)])
        self._store(count)

    def _start_epoch(self, epoch: int) -> None:
        # The epoch is stored last: until then, readers ignore the whole block.
        self._histogram = Histogram()
        self._counters[_FIRST] = self._counters[_LAST] = 0
        self._store(self._counters[_COUNT])
        self._counters[_EPOCH] = epoch

    def _store(self, count: int) -> None:
        """Write the histogram to the copy that is not valid, then make this copy valid."""
        version = self._counters[_VERSION] + 1
        _pack_copy(self._copies[version & 1], count, self._histogram)
        self._counters[_VERSION] = version
        self._folded = count


def _pack_copy(copy: memoryview, folded: int, histogram: Histogram) -> None:
    state = histogram.state()
    counts = array("Q", bytes(8 * _BUCKETS))
    for bucket, count in state.buckets.items():
        # Values below 1 share one entry. Only retained bytes can be negative, and they
        # have no percentiles.
        is_in_range = _FIRST_BUCKET <= bucket <= _LAST_BUCKET
        counts[bucket - _FIRST_BUCKET + 1 if is_in_range else 0] += count
    total = max(-_LARGEST, min(state.total, _LARGEST))
    squares = min(state.squares, 2**128 - 1).to_bytes(16, "little")
    _COPY.pack_into(copy, 0, folded, total, squares, state.minimum, state.maximum)
    copy[_BUCKETS_AT : _BUCKETS_AT + 8 * _BUCKETS] = memoryview(counts).cast("B")


def _unpack_copy(data: Any, offset: int) -> tuple[int, Histogram]:
    folded, total, squares, minimum, maximum = _COPY.unpack_from(data, offset)
    start = offset + _BUCKETS_AT
    counts = memoryview(data)[start : start + 8 * _BUCKETS].cast("Q")
    buckets = {
        index + _FIRST_BUCKET - 1 if index else 0: count
        for index, count in enumerate(counts)
        if count
    }
    state = HistogramState(total, int.from_bytes(squares, "little"), minimum, maximum, buckets)
    return folded, Histogram.from_state(state)
