"""A queue between processes that stays consistent if any process is killed at any instant.

The queue is a log in a file without a name: `put` appends a message, `get` reads the
next one.  Two `DoubleBufferedRecord` objects hold the end of the log and the
position of the next message.  A message exists only once the record says so; bytes
that a killed process has written before that are overwritten.

A position counts bytes since the queue was made, and never decreases.  The start of
the file has a position too.  When the log is empty, this position is advanced, so
that the file is used from its beginning again.

`put` and `get` have a lock each, so that neither waits for the other.
"""

from __future__ import annotations

import mmap
import os
import queue
import struct
from multiprocessing import context, reduction
from typing import Any, Final

from itf.descriptors import Descriptor, anonymous_file
from itf.exceptions import WorkerTimeoutError
from itf.sync.deadline import (
    DEFAULT_TIMEOUT,
    Deadline,
    check_name,
)
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from itf.sync.record import NUMBERS, DoubleBufferedRecord
from itf.sync.segment import SegmentUser
from itf.sync.serialization import dumps, loads
from itf.sync.wakeup import WakeUp
from itf.validation import check_integer, check_timeout

__all__ = ["SharedQueue"]

__unittest = True

# Indexes into the notes: the position of the message that is being written, plus 1
# (0 is none), and the number of partial messages so far.
_WRITING: Final = 0
_PARTIAL: Final = 1

_LENGTH: Final = struct.Struct("=Q")  # twice the length, plus 1 if it was pickled

# Bytes.  For shorter messages, one system call and a copy of the message take less time
# than two system calls.
_JOINED: Final = 16 << 10

# Bytes at the start of the file that are mapped.  Messages there need no system call.
_WINDOW: Final = 1 << 20

# Bytes.  An empty log that is longer than this continues at the start of its file, so
# that it stays in the window and in the processor's cache.
_RESTART: Final = 128 << 10

# Bytes.  A longer file is truncated when the log continues at its start.  The pages of a
# shorter file are kept, because new pages take time.
_KEPT: Final = 16 << 20

# Bytes that must have been read before their memory is freed while the log is not empty.
_RECLAIMED: Final = 8 << 20


class SharedQueue(SegmentUser):
    """A queue for processes and threads, as `multiprocessing.Queue`, without a feeder thread.

    Example:
        >>> numbers = SharedQueue(MemberTable(), "numbers")
        >>> numbers.put([1, 2])
        >>> numbers.get()
        [1, 2]

    Args:
        table: The processes that may use it.
        name: Its name, for messages.
        maxsize: Number of items at which ``put`` waits; 0 is no limit.
        default_timeout: Seconds to wait where no timeout is given; None waits forever.

    Attributes:
        name: Its name.
        maxsize: As given.

    Thread safety: every method, from any thread.
    """

    _views = ("_file", "_log", "_window", "_notes")

    def __init__(
        self,
        table: MemberTable,
        name: str,
        maxsize: int = 0,
        *,
        default_timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        self.name = check_name(name, "queue")
        self.maxsize = check_integer("maxsize", maxsize, 0)
        self._default = check_timeout("default_timeout", default_timeout)
        self._table = table
        label = f"queue {name!r}"
        self._putting = SharedLock(table, name, default_timeout=None, label=f"{label} (to put)")
        self._getting = SharedLock(table, name, default_timeout=None, label=f"{label} (to get)")
        self._items = WakeUp(table, f"an item in {label}")
        self._room = WakeUp(table, f"room in {label}")
        # Position of the log's end, number of messages put, position of the file's start.
        self._tail = DoubleBufferedRecord(table, label, "QQQ", 0, 0, 0)
        # Position of the next message, number of messages got, position up to which memory
        # was freed.
        self._head = DoubleBufferedRecord(table, label, "QQQ", 0, 0, 0)
        self._notes_at = table.allocate(NUMBERS, 16, label).offset
        self._attach(anonymous_file("itf-queue", _WINDOW))

    def _attach(self, file: Descriptor) -> None:
        self._file = file
        self._log = file.number
        self._window = mmap.mmap(file.number, _WINDOW)
        self._notes = self._table.longs(self._notes_at, 2)
        self._table.register(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __getstate__(self) -> dict[str, Any]:
        context.assert_spawning(self)
        state = {key: value for key, value in self.__dict__.items() if key not in self._views}
        return {**state, "log": reduction.DupFd(self._log)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        file = Descriptor(state.pop("log").detach())
        self.__dict__.update(state)
        self._attach(file)

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an object into the queue, completely or not at all.

        Args:
            obj: An object that can be pickled.
            block: Whether to wait for room.
            timeout: Seconds to wait for room, by default the queue's default timeout.

        Raises:
            queue.Full: There is no room, and ``block`` is false or ``timeout`` is given.
            WorkerTimeoutError: The default timeout has passed.
        """
        data, pickled = dumps(obj)
        limit = (self._default if timeout is None else timeout) if block else 0.0
        if self._put(data, pickled, limit):
            return
        deadline = Deadline(timeout if block else 0.0, self._default)
        if not self._room.wait_for(lambda: self._put(data, pickled, deadline.left()), deadline):
            if deadline.explicit:
                raise queue.Full
            raise self._timed_out(deadline, "took no item")

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next object of the queue.

        Args:
            block: Whether to wait for an object.
            timeout: Seconds to wait for an object, by default the queue's default timeout.

        Raises:
            queue.Empty: The queue is empty, and ``block`` is false or ``timeout`` is given.
            WorkerTimeoutError: The default timeout has passed.
            Exception: Raised while the object was unpickled.  The object is no longer
                in the queue then.
        """
        limit = (self._default if timeout is None else timeout) if block else 0.0
        item = self._get(limit)
        if item is None:
            deadline = Deadline(timeout if block else 0.0, self._default)

            def get_item() -> bool:
                nonlocal item
                item = self._get(deadline.left())
                return item is not None

            if not self._items.wait_for(get_item, deadline) or item is None:
                if deadline.explicit:
                    raise queue.Empty
                raise self._timed_out(deadline, "had no item")
        return loads(*item)

    def put_nowait(self, obj: Any) -> None:
        """Put an object into the queue; raise `queue.Full` if there is no room."""
        self.put(obj, block=False)

    def get_nowait(self) -> Any:
        """Return the next object; raise `queue.Empty` if there is none."""
        return self.get(block=False)

    def qsize(self) -> int:
        """Return the number of objects in the queue."""
        got = self._head.read()[1]
        return int(self._tail.read()[1] - got)

    def empty(self) -> bool:
        """Return whether the queue is empty."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Return whether the queue has ``maxsize`` objects."""
        return 0 < self.maxsize <= self.qsize()

    @property
    def partial_messages(self) -> int:
        """Number of messages that a process began to write and died before they were complete."""
        with self._putting:
            self._count_partial_message(self._tail.read()[0])
            return int(self._notes[_PARTIAL])

    def close(self) -> None:
        """Do nothing; for code written for `multiprocessing.Queue`, which has a pipe to close."""

    def join_thread(self) -> None:
        """Do nothing; there is no feeder thread, and `put` has already stored the objects."""

    def cancel_join_thread(self) -> None:
        """Do nothing; there is no feeder thread, and `put` has already stored the objects."""

    def _timed_out(self, deadline: Deadline, problem: str) -> WorkerTimeoutError:
        return deadline.error(self._table, f"queue {self.name!r} {problem}")

    def _put(self, data: bytes, pickled: bool, limit: float | None) -> bool:
        """Put a message; return False if there is no room, or the lock was not free in time."""
        if not self._putting.acquire(True, limit):
            return False
        try:
            end, count, start = self._tail.read()
            if self.maxsize and count - self._head.read()[1] >= self.maxsize:
                return False
            if self._notes[_WRITING] > end:
                self._count_partial_message(end)
            if end - start > _RESTART and end == self._head.read()[0]:
                start = self._continue_at_start(end, count, start)
            self._notes[_WRITING] = end + 1
            try:
                self._write(data, pickled, end - start)
                self._tail.write(end + _LENGTH.size + len(data), count + 1, start)
            except BaseException:
                self._notes[_WRITING] = 0  # an exception leaves no partial message
                raise
        finally:
            self._putting.release()
        self._items.notify(1)
        return True

    def _write(self, data: bytes, pickled: bool, offset: int) -> None:
        length = _LENGTH.pack(len(data) << 1 | pickled)
        last = offset + _LENGTH.size + len(data)
        if last <= _WINDOW:
            self._window[offset : offset + _LENGTH.size] = length
            self._window[offset + _LENGTH.size : last] = data
            return
        if len(data) < _JOINED:
            rest = memoryview(length + data)
        else:
            os.pwrite(self._log, length, offset)
            offset, rest = offset + _LENGTH.size, memoryview(data)
        while rest:
            written = os.pwrite(self._log, rest, offset)
            offset, rest = offset + written, rest[written:]

    def _get(self, limit: float | None) -> tuple[bytes, bool] | None:
        """Return the next message; None if there is none, or the lock was not free in time."""
        if not self._getting.acquire(True, limit):
            return None
        try:
            at, count, freed = self._head.read()
            end, _, start = self._tail.read()
            if at == end:
                return None
            data, pickled = self._read(at - start)
            at += _LENGTH.size + len(data)
            if at - max(freed, start + _WINDOW) > _RECLAIMED:
                self._free_pages(max(freed - start, _WINDOW), at - start)
                freed = at
            self._head.write(at, count + 1, freed)
        finally:
            self._getting.release()
        if self.maxsize:
            self._room.notify(1)
        return data, pickled

    def _read(self, offset: int) -> tuple[bytes, bool]:
        first = offset + _LENGTH.size
        if first <= _WINDOW:
            header: bytes = self._window[offset:first]
        else:
            header = os.pread(self._log, _LENGTH.size, offset)
        (number,) = _LENGTH.unpack(header)
        length, pickled = number >> 1, bool(number & 1)
        last = first + length
        if last <= _WINDOW:
            return self._window[first:last], pickled
        data = os.pread(self._log, length, first)
        while len(data) < length:  # Linux reads at most 2 GiB in one call
            data += os.pread(self._log, length - len(data), first + len(data))
        return data, pickled

    def _count_partial_message(self, end: int) -> None:
        """Count the message at the end of the log, if a process has begun it and died."""
        if self._notes[_WRITING] == end + 1:
            self._notes[_WRITING] = 0
            self._notes[_PARTIAL] += 1

    def _continue_at_start(self, end: int, count: int, start: int) -> int:
        """Let an empty log continue at the start of its file; return the start's position."""
        # With the lock for `get`: no thread reads by the old position of the start.
        if not self._getting.acquire(False):
            return start
        try:
            if end - start > _KEPT:
                os.ftruncate(self._log, _WINDOW)
            self._tail.write(end, count, end)
        finally:
            self._getting.release()
        return end

    def _free_pages(self, first: int, last: int) -> None:
        """Free the pages of the file between two offsets, which have been read."""
        if not hasattr(mmap, "MADV_REMOVE"):
            return  # then memory is only freed when the log is empty, in `_continue_at_start`
        page = mmap.PAGESIZE
        first, last = -(-first // page) * page, last // page * page
        with mmap.mmap(self._log, last - first, offset=first) as read:
            read.madvise(mmap.MADV_REMOVE)
