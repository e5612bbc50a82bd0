"""The samples of worker processes, in memory that outlives them.

One file without a name, which all processes of a monitor have open.  A process
has a block in it for each operation that it times, writes to that block alone,
and makes each sample valid by one store.  So a process that is killed at any
instant has lost nothing but the sample that it was writing, and its parent
need not do anything to have the others.

A process holds a lock of the kernel on each of its blocks, which ends with it.
A block that nobody holds is taken over, with all that is in it, by the next
process that times the same operation: a thousand workers one after the other
take no more room than one.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
import weakref
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

from itf.exceptions import TimingError
from itf.measures.histogram import Histogram, Settled, bucket_of
from itf.measures.samples import PEAK, RETAINED, SUSPENDED, TIME, OperationSamples

__all__ = ["Descriptor", "SampleFile"]

__unittest = True

# Each part of the file begins at a page, which is the least that is mapped.
_PAGE: Final = mmap.ALLOCATIONGRANULARITY

# The first page: by how many resets the samples have been forgotten.
_EPOCH: Final = 0

# A block: magic, the size of its head, of which series it is, the length of
# the name; then numbers that change; then the name.
_HEAD: Final = struct.Struct("=QQII")
_MAGIC: Final = 0x6974665F74696D65  # "itf_time"
_SERIES: Final = (TIME, SUSPENDED, PEAK, RETAINED)
_NUMBERS: Final = struct.Struct("=QQQQQ")
_NUMBERS_AT: Final = 32
_NAME_AT: Final = _NUMBERS_AT + _NUMBERS.size
# Which of the two copies is valid (an even number is the first), how many
# samples there are, the epoch they are of, the first start, and the last end.
_VERSION, _COUNT, _BLOCK_EPOCH, _FIRST, _END = range(5)

# After the head: the samples that are in no copy yet.
_RING: Final = 1024
_RING_SIZE: Final = 8 * _RING

# A copy: up to which sample it goes, total, squares (16 bytes), least, most,
# and how many there are in each bucket: 0, and those from 1 on.
_COPY: Final = struct.Struct("=Qq16sqq")
_BUCKETS_AT: Final = 64
_ONE: Final = bucket_of(1)
_LAST: Final = bucket_of(2.0**63)
_BUCKETS: Final = 2 + _LAST - _ONE
_COPY_SIZE: Final = -(-(_BUCKETS_AT + 8 * _BUCKETS) // _PAGE) * _PAGE
_BODY: Final = -(-_RING_SIZE // _PAGE) * _PAGE + 2 * _COPY_SIZE

_LARGEST: Final = 2**63 - 1

# The bytes whose locks stand for rights are behind all that is ever written:
# whoever has the first may make a block, and its own byte is each block's life.
_LOCKS: Final = 1 << 50

# How long, in seconds, to wait for one who makes a block, which takes
# microseconds: if it takes longer, it is stopped in the middle of it.
_PATIENCE: Final = 60.0


class Descriptor(Protocol):
    """A file descriptor with an owner."""

    number: int

    def close(self) -> None:
        """Close it."""


class _Place(NamedTuple):
    """Where a block is, and what it is for."""

    offset: int
    head: int
    operation: str
    series: str


class _Sample(NamedTuple):
    """A sample that is to be written."""

    key: tuple[str, str]
    value: int
    first: int
    end: int


class SampleFile:
    """The samples of all processes of a monitor but the one that it belongs to.

    Args:
        descriptor: Of an empty file, or of one that another process has made to this.

    Thread safety: every method, from any thread.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        number = descriptor.number
        if os.fstat(number).st_size < _PAGE:
            os.ftruncate(number, _PAGE)
        self._writers: dict[tuple[str, str], _Writer] = {}
        # Held while what is pending is written.
        self._lock = threading.RLock()
        self._pending: list[_Sample] = []
        self._is_writing = False
        # Other descriptors of the same file: closing one of them would drop
        # all locks that this process has on it.
        self.spare: list[Descriptor] = []
        self._map = mmap.mmap(number, _PAGE)
        self._epoch = memoryview(self._map)[_EPOCH : _EPOCH + 8].cast("Q")
        _files[_identity(number)] = self

    @classmethod
    def of(cls, descriptor: Descriptor) -> SampleFile:
        """Return the one object that this process has for a file."""
        known = _files.get(_identity(descriptor.number))
        if known is None:
            return cls(descriptor)
        known.spare.append(descriptor)
        return known

    def close(self) -> None:
        """Let go of the file, which is gone with the last process that has it open."""
        self._epoch.release()
        self._map.close()
        self.descriptor.close()

    def forked(self) -> None:
        """Take note that this is a new process, which has no blocks."""
        self._lock = threading.RLock()
        self._writers, self._pending, self._is_writing = {}, [], False

    @property
    def epoch(self) -> int:
        """How often the samples have been forgotten."""
        return int(self._epoch[0])

    def begin_anew(self) -> None:
        """Have all samples so far forgotten."""
        self._epoch[0] += 1

    def add(self, operation: str, series: str, value: int, first: int = 0, end: int = 0) -> None:
        """Add a sample.

        Args:
            operation: Of what.
            series: Of which series of it.
            value: The sample.
            first: When it began; 0 if that is not told.
            end: When it ended.
        """
        self._pending.append(_Sample((operation, series), value, first, end))
        with self._lock:
            # A signal's handler may take a sample in the middle of this: the
            # lock lets it in, and the loop below finds what it has left.
            if self._is_writing:
                return
            self._is_writing = True
            try:
                while self._pending:
                    sample = self._pending.pop(0)
                    writer = self._writers.get(sample.key)
                    if writer is None:
                        writer = _Writer(self, self._claim(*sample.key))
                        self._writers[sample.key] = writer
                    writer.write(sample.value, sample.first, sample.end)
            finally:
                self._is_writing = False

    def _claim(self, operation: str, series: str) -> _Place:
        own = {writer.place.offset for writer in self._writers.values()}
        with self._exclusive():
            for place in self._places():
                if (place.operation, place.series) != (operation, series):
                    continue
                # The kernel would give us again what we have already.
                if place.offset not in own and self._try_byte(_LOCKS + place.offset):
                    return place
            return self._make(operation, series)

    def _make(self, operation: str, series: str) -> _Place:
        name = operation.encode("utf-8", "surrogatepass")
        head = -(-(_NAME_AT + len(name)) // _PAGE) * _PAGE
        number = self.descriptor.number
        # What one who died in the middle of this has left is stepped over.
        offset = -(-os.fstat(number).st_size // _PAGE) * _PAGE
        os.ftruncate(number, offset + head + _BODY)
        text = _HEAD.pack(0, head, _SERIES.index(series), len(name))
        os.pwrite(number, text.ljust(_NUMBERS_AT, b"\0") + bytes(_NUMBERS.size) + name, offset)
        # Last, for now all the rest is there.
        os.pwrite(number, struct.pack("=Q", _MAGIC), offset)
        place = _Place(offset, head, operation, series)
        if not self._try_byte(_LOCKS + offset):
            raise TimingError(f"cannot have a new block for {operation!r}: another process has it")
        return place

    def _places(self) -> Iterator[_Place]:
        number = self.descriptor.number
        size = os.fstat(number).st_size
        offset = _PAGE
        while offset < size:
            start = os.pread(number, _HEAD.size, offset)
            magic, head, series, length = _HEAD.unpack(start.ljust(_HEAD.size, b"\0"))
            if magic != _MAGIC:
                offset += _PAGE
                continue
            name = os.pread(number, length, offset + _NAME_AT).decode("utf-8", "surrogatepass")
            yield _Place(offset, head, name, _SERIES[series])
            offset += head + _BODY

    def read(self) -> dict[str, OperationSamples]:
        """Return the samples of all processes, also of those that are dead."""
        found: dict[str, OperationSamples] = {}
        for place in self._places():
            read = self._read(place)
            if read is None or not read[0].count:
                continue
            histogram, first, end = read
            samples = found.setdefault(place.operation, OperationSamples())
            samples.of(place.series).merge(histogram)
            if place.series == TIME:
                samples.ran(first, end)
        return found

    def _read(self, place: _Place) -> tuple[Histogram, int, int] | None:
        number = self.descriptor.number
        while True:
            data = os.pread(number, place.head + _BODY, place.offset)
            version, count, epoch, first, end = _NUMBERS.unpack_from(data, _NUMBERS_AT)
            # If a copy was written meanwhile, the ring holds newer samples by now.
            after = os.pread(number, 8, place.offset + _NUMBERS_AT)
            if after == data[_NUMBERS_AT : _NUMBERS_AT + 8]:
                break
        if epoch != self.epoch:
            return None
        copies = place.head + _BODY - 2 * _COPY_SIZE
        upto, histogram = _unpack_copy(data, copies + (version & 1) * _COPY_SIZE)
        ring = memoryview(data)[place.head : place.head + _RING_SIZE].cast("q")
        histogram.add([ring[sample % _RING] for sample in range(upto, count)])
        return histogram, first, end

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        deadline = time.monotonic() + _PATIENCE
        while not self._try_byte(_LOCKS):
            if time.monotonic() > deadline:
                raise TimingError(
                    f"another process has been about to store a timing for {_PATIENCE:g} s; "
                    "is it paused?"
                )
            time.sleep(0.0002)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor.number, fcntl.LOCK_UN, 1, _LOCKS)

    def _try_byte(self, byte: int) -> bool:
        try:
            fcntl.lockf(self.descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):  # EAGAIN here, EACCES there
            return False
        return True


class _Writer:
    """A block that belongs to this process; one thread at a time may write to it."""

    def __init__(self, file: SampleFile, place: _Place) -> None:
        self.place = place
        self._file = file
        # Its own mapping: a later block does not move it.
        self._map = mmap.mmap(file.descriptor.number, place.head + _BODY, offset=place.offset)
        view = memoryview(self._map)
        self._numbers = view[_NUMBERS_AT : _NUMBERS_AT + _NUMBERS.size].cast("Q")
        self._ring = view[place.head : place.head + _RING_SIZE].cast("q")
        copies = place.head + _BODY - 2 * _COPY_SIZE
        self._copies = [view[copies:][:_COPY_SIZE], view[copies + _COPY_SIZE :][:_COPY_SIZE]]
        self._upto, self._histogram = _unpack_copy(self._copies[self._numbers[_VERSION] & 1], 0)

    def write(self, value: int, first: int, end: int) -> None:
        """Write a sample."""
        numbers = self._numbers
        epoch = self._file.epoch
        if numbers[_BLOCK_EPOCH] != epoch:
            self._begin_anew(epoch)
        count = numbers[_COUNT]
        if count - self._upto >= _RING:
            self._fold(count)
        self._ring[count % _RING] = max(-_LARGEST, min(value, _LARGEST))
        if end:
            numbers[_FIRST] = min(first, numbers[_FIRST] or first)
            numbers[_END] = max(end, numbers[_END])
        numbers[_COUNT] = count + 1

    def _fold(self, count: int) -> None:
        ring = self._ring
        self._histogram.add([ring[sample % _RING] for sample in range(self._upto, count)])
        self._store(count)

    def _begin_anew(self, epoch: int) -> None:
        # Until the last store it is all of an epoch that nobody reads any more.
        self._histogram = Histogram()
        self._numbers[_FIRST] = self._numbers[_END] = 0
        self._store(self._numbers[_COUNT])
        self._numbers[_BLOCK_EPOCH] = epoch

    def _store(self, count: int) -> None:
        """Write the copy that is not valid, and make it the valid one."""
        version = self._numbers[_VERSION] + 1
        _pack_copy(self._copies[version & 1], count, self._histogram)
        self._numbers[_VERSION] = version
        self._upto = count


def _pack_copy(copy: memoryview, upto: int, histogram: Histogram) -> None:
    total, squares, least, most, buckets = histogram.settled()
    counts = array("Q", bytes(8 * _BUCKETS))
    for bucket, count in buckets.items():
        # What is below 1 counts with 0: of bytes retained, nobody asks for percentiles.
        counts[bucket - _ONE + 1 if _ONE <= bucket <= _LAST else 0] += count
    total = max(-_LARGEST, min(total, _LARGEST))
    wide = min(squares, 2**128 - 1).to_bytes(16, "little")
    _COPY.pack_into(copy, 0, upto, total, wide, least, most)
    copy[_BUCKETS_AT : _BUCKETS_AT + 8 * _BUCKETS] = memoryview(counts).cast("B")


def _unpack_copy(data: Any, offset: int) -> tuple[int, Histogram]:
    upto, total, squares, least, most = _COPY.unpack_from(data, offset)
    start = offset + _BUCKETS_AT
    counts = memoryview(data)[start : start + 8 * _BUCKETS].cast("Q")
    buckets = {
        place + _ONE - 1 if place else 0: count for place, count in enumerate(counts) if count
    }
    settled = Settled(total, int.from_bytes(squares, "little"), least, most, buckets)
    return upto, Histogram.of(settled)


# By the identity of the file, see `SampleFile.spare`.
_files: weakref.WeakValueDictionary[tuple[int, int], SampleFile] = weakref.WeakValueDictionary()


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
