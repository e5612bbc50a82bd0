"""The shared memory of an environment: one mapped file, and a directory of its regions.

The file has no name, so the kernel deletes it when the last process closes it,
also after a SIGKILL.  All primitives lie in this file, so a primitive needs no
file descriptor of its own.  Pages that no process has written take no memory.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from itf.descriptors import Descriptor, anonymous_file
from itf.exceptions import WorkerError
from itf.file_lock import try_lock_byte, unlock_byte

__all__ = [
    "MEMBER_TABLES",
    "PROCESS_SLOTS",
    "THREAD_SLOTS",
    "Entry",
    "SegmentUser",
    "SharedSegment",
    "read_text",
    "write_text",
]

__unittest = True

_Result = TypeVar("_Result")

PROCESS_SLOTS: Final = 256
"""Maximum number of processes that use one environment at the same time."""

THREAD_SLOTS: Final = 512
"""Maximum number of threads, over all processes, that use its primitives at the same time."""

# Bytes of address space: room for more than 2000 locks of 25 KiB.  Only pages that
# are written take memory.
_SIZE: Final = 64 << 20

# Offset of a byte for `itf.file_lock`: the process that has locked this byte may change
# the directory and the tables.  The value of the byte is not used.
_ALLOCATION: Final = 0

# Header: offset of the start of free space, and the number of directory entries.
_FREE: Final = 512
_COUNT: Final = 520

_DIRECTORY: Final = 4096
_ENTRY: Final = struct.Struct("=BxxxI")
_ENTRY_SIZE: Final = 96
_MAX_ENTRIES: Final = 4096

MEMBER_TABLES: Final = 400 << 10
"""Offset of the tables of `itf.sync.members`; allocated regions come after them."""

_START: Final = 2 << 20

# Bytes of a cache line.  Regions do not share cache lines, so that frequent writes to
# one region do not slow reads of another.
_ALIGN: Final = 64

# Seconds to wait for another thread or process in `exclusive`, which usually takes
# microseconds.  If it takes longer, that process is probably stopped inside.
_PATIENCE: Final = 60.0


class Entry(NamedTuple):
    """A directory entry: a region's number, kind and offset in bytes, and a label for messages."""

    number: int
    kind: int
    offset: int
    label: str


def write_text(memory: memoryview, offset: int, size: int, text: str) -> None:
    """Write a text into a field, cut to the field's size.

    The write is not atomic: a concurrent reader may get a mixture of the old text
    and the new one.
    """
    data = text.encode("utf-8", "replace")[: min(size - 1, 255)]
    memory[offset + 1 : offset + 1 + len(data)] = data
    memory[offset] = len(data)


def read_text(memory: memoryview, offset: int) -> str:
    """Return the text in a field."""
    length = memory[offset]
    return bytes(memory[offset + 1 : offset + 1 + length]).decode("utf-8", "replace")


def _take(lock: threading.Lock, patience: float, taken: list[bool]) -> None:
    """Append to `taken` whether the lock was acquired.

    A signal handler that raises cannot run between the acquisition and the append,
    because both happen in one call of a C function.
    """
    taken.extend(map(lock.acquire, (True,), (patience,)))


class SharedSegment:
    """The shared memory of one environment, with its directory of regions.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        self._open(anonymous_file("itf-members", _SIZE))
        self.longs(_FREE, 1)[0] = _START

    def _open(self, file: Descriptor) -> None:
        self._file = file
        self.descriptor = file.number
        # Further descriptors of the same file.  They stay open as long as this one,
        # because closing any of them releases all record locks of this process.
        self.spare: list[Descriptor] = []
        self._map = mmap.mmap(file.number, _SIZE)
        self.memory = memoryview(self._map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.closed = False
        # record locks belong to a process; these locks exclude its other threads.
        self._threads_lock = threading.Lock()
        self._byte_locks: dict[int, threading.Lock] = {}
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()

    def longs(self, offset: int, count: int) -> memoryview:
        """Return a view of 8-byte numbers; each number is written in one store."""
        return self.memory[offset : offset + 8 * count].cast("Q")

    def words(self, offset: int, count: int) -> memoryview:
        """Return a view of 4-byte numbers; each number is written in one store."""
        return self.memory[offset : offset + 4 * count].cast("I")

    def close(self) -> None:
        """Detach the registered users, close the descriptors, and unmap the memory."""
        if self.closed:
            return
        self.closed = True
        for user in list(self._users):
            user.detach()
        mapped = self._map
        del self.memory, self._map
        # A thread in the middle of a wait still has a view of the memory.  Closing
        # raises BufferError then, and the memory is unmapped with the last view.
        with suppress(BufferError):
            mapped.close()
        for file in (self._file, *self.spare):
            file.close()

    def check_open(self) -> None:
        """Raise a WorkerError if the environment has ended."""
        if self.closed:
            raise WorkerError("the environment of this object has ended; use it inside the `with`")

    @contextmanager
    def exclusive(self, byte: int = _ALLOCATION) -> Iterator[None]:
        """Exclude all other threads of all processes during the ``with``.

        If the process dies inside, the kernel releases its record lock.

        Raises:
            WorkerError: Another thread or process has been inside for a minute.
        """
        deadline = time.monotonic() + _PATIENCE
        taken: list[bool] = []
        try:
            _take(self._threads_lock, _PATIENCE, taken)
            if not taken[0]:
                raise WorkerError("another thread does not release the member table")
            while not self.try_lock_byte(byte):
                if time.monotonic() > deadline:
                    raise WorkerError(
                        "another process does not release the member table; is it paused?"
                    )
                time.sleep(0.0002)
            yield
        finally:
            if taken and taken[0]:
                try:
                    # Also if this process has not locked the byte: none of its other
                    # threads has, because they need `_threads_lock` for that.
                    if not self.closed:
                        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, byte)
                finally:
                    self._threads_lock.release()

    def try_exclusive(self, byte: int, action: Callable[[], _Result]) -> _Result | None:
        """Call a function with all other threads of all processes excluded, without a wait.

        This is not a context manager, because an exception of a signal handler can
        interrupt a context manager just before it releases its lock.

        Args:
            byte: Offset of the object that the action is about.
            action: The function to call.

        Returns:
            What the function returned; None, without a call, if another thread or
            process is inside.
        """
        lock = self._byte_locks.setdefault(byte, threading.Lock())
        taken: list[bool] = []
        try:
            _take(lock, 0, taken)
            if taken[0] and self.try_lock_byte(byte):
                return action()
            return None
        finally:
            if taken and taken[0]:
                try:
                    # Whether this process has locked the byte or not: none of its
                    # other threads has.  Not `unlock_byte`: an exception of a signal
                    # handler could interrupt that function before it unlocks.
                    if not self.closed:
                        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, byte)
                finally:
                    lock.release()

    def try_lock_byte(self, byte: int, *, shared: bool = False) -> bool:
        """Lock a byte of the file; return False if another process has locked it."""
        self.check_open()
        return try_lock_byte(self.descriptor, byte, shared=shared)

    def unlock_byte(self, byte: int) -> None:
        """Unlock a byte of the file."""
        if not self.closed:
            unlock_byte(self.descriptor, byte)

    def allocate(self, kind: int, size: int, label: str) -> Entry:
        """Allocate a region of zero bytes, and return its new directory entry."""
        self.check_open()
        with self.exclusive():
            offset = self.longs(_FREE, 1)[0]
            number = self.words(_COUNT, 1)[0]
            end = offset + -(-size // _ALIGN) * _ALIGN
            if end > _SIZE or number >= _MAX_ENTRIES:
                raise WorkerError(
                    f"no room for {label}: this environment has {number} shared objects already"
                )
            entry = _DIRECTORY + _ENTRY_SIZE * number
            _ENTRY.pack_into(self.memory, entry, kind, offset)
            write_text(self.memory, entry + 8, _ENTRY_SIZE - 8, label)
            # A process that dies between these two lines wastes the region's bytes,
            # and does no other harm.
            self.longs(_FREE, 1)[0] = end
            self.words(_COUNT, 1)[0] = number + 1
            return Entry(number, kind, offset, label)

    def entry(self, number: int) -> Entry:
        """Return the directory entry with this number."""
        entry = _DIRECTORY + _ENTRY_SIZE * number
        kind, offset = _ENTRY.unpack_from(self.memory, entry)
        return Entry(number, kind, offset, read_text(self.memory, entry + 8))

    def entries(self, kind: int) -> list[Entry]:
        """Return the directory entries of all regions of one kind."""
        entries = [self.entry(number) for number in range(self.words(_COUNT, 1)[0])]
        return [entry for entry in entries if entry.kind == kind]

    def register(self, user: Any) -> None:
        """Register an object that uses the memory.

        Its ``detach()`` is called when the segment is closed, and its
        ``reset_after_fork()`` in a forked child.  The reference to it is weak.
        """
        self._users.add(user)

    def reset_after_fork(self) -> None:
        """Reset the state of this process, which is a forked child and holds no locks."""
        self._threads_lock = threading.Lock()
        self._byte_locks = {}
        for user in list(self._users):
            user.reset_after_fork()


class SegmentUser:
    """Base class of the primitives in a segment.

    When the segment is closed, the attributes named in `_views` are deleted.  Using
    one of them afterwards raises a WorkerError that says that the environment has ended.
    """

    _table: Any
    _views: ClassVar[tuple[str, ...]] = ()

    def detach(self) -> None:
        """Delete the views of the memory, because the environment has ended."""
        for name in self._views:
            self.__dict__.pop(name, None)

    def reset_after_fork(self) -> None:
        """Reset the state of a forked child; there is none here."""

    def __getattr__(self, name: str) -> Any:
        # Python calls this only for missing attributes, so it costs nothing while the
        # segment is open.
        if name in type(self)._views and "_table" in self.__dict__:
            self._table.check_open()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
