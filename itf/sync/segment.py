"""One piece of memory that all processes of an environment share, and what lies where in it.

It is one file without a name, mapped whole: whatever dies, nothing of it is
left on the machine, and a primitive in it costs no descriptor of its own.
Pages that nobody has written take no memory.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from itf.exceptions import WorkerError

__all__ = [
    "MEMBER_TABLES",
    "PROCESS_SLOTS",
    "THREAD_SLOTS",
    "AnonymousFile",
    "Entry",
    "SegmentUser",
    "SharedSegment",
    "read_text",
    "write_text",
]

__unittest = True

_Result = TypeVar("_Result")

PROCESS_SLOTS: Final = 256
"""How many processes may take part in one environment at a time."""

THREAD_SLOTS: Final = 512
"""How many threads of all these processes may use its primitives at a time."""

# More than two thousand locks of 25 KiB; only what is used takes memory.
_SIZE: Final = 64 << 20

# The bytes that stand for a right: who has one of them under lockf has the right.
_ALLOCATION: Final = 0

# The header: where free space begins, and how many entries the directory has.
_FREE: Final = 512
_COUNT: Final = 520

_DIRECTORY: Final = 4096
_ENTRY: Final = struct.Struct("=BxxxI")
_ENTRY_SIZE: Final = 96
_MAX_ENTRIES: Final = 4096

MEMBER_TABLES: Final = 400 << 10
"""Where the roster's own tables are; what is allocated comes after them."""

_START: Final = 2 << 20

# A cache line: what one process writes often does not slow what another one reads.
_ALIGN: Final = 64

# How long to wait for those who hold the allocation for some microseconds: if
# it takes longer, somebody is stopped in the middle of it.
_PATIENCE: Final = 60.0


class Entry(NamedTuple):
    """What the directory knows of a region: its number, its kind, where it is, what it is for."""

    number: int
    kind: int
    offset: int
    label: str


class AnonymousFile:
    """A file that is in no directory, and gone with its last descriptor, which goes with this.

    Attributes:
        descriptor: The descriptor.
    """

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls, label: str, size: int) -> AnonymousFile:
        """Return a new file of zeros."""
        if hasattr(os, "memfd_create"):
            file = cls(os.memfd_create(label, os.MFD_CLOEXEC))
        else:
            descriptor, path = tempfile.mkstemp(prefix="itf-")
            os.unlink(path)
            file = cls(descriptor)
        os.ftruncate(file.descriptor, size)
        return file

    def close(self) -> None:
        """Close the descriptor."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self, close: Callable[[int], object] = os.close) -> None:
        # By a name that is bound here: when Python ends, a module that was
        # imported lazily cannot be imported any more.
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            close(descriptor)


def write_text(memory: memoryview, offset: int, size: int, text: str) -> None:
    """Write a text into a field, cut to its size; a reader may see half of it, and decodes that."""
    data = text.encode("utf-8", "replace")[: min(size - 1, 255)]
    memory[offset + 1 : offset + 1 + len(data)] = data
    memory[offset] = len(data)


def read_text(memory: memoryview, offset: int) -> str:
    """Return the text in a field."""
    length = memory[offset]
    return bytes(memory[offset + 1 : offset + 1 + length]).decode("utf-8", "replace")


def _take(lock: threading.Lock, patience: float, taken: list[bool]) -> None:
    """Acquire a lock, and note whether that was done, in one call that nothing interrupts."""
    taken.extend(map(lock.acquire, (True,), (patience,)))


class SharedSegment:
    """The shared memory of one environment.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        self._open(AnonymousFile.create("itf-roster", _SIZE))
        self.longs(_FREE, 1)[0] = _START

    def _open(self, file: AnonymousFile) -> None:
        self._file = file
        self.descriptor = file.descriptor
        # A second descriptor of the same file must stay open as long as this
        # one: closing any of them drops all lockf locks of this process.
        self.spare: list[AnonymousFile] = []
        self._map = mmap.mmap(file.descriptor, _SIZE)
        self.memory = memoryview(self._map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.closed = False
        # Beside the lockf locks, which belong to the whole process.
        self._threads_lock = threading.Lock()
        self._byte_locks: dict[int, threading.Lock] = {}
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()

    def longs(self, offset: int, count: int) -> memoryview:
        """Return a view of 8-byte numbers, each of which is written in one store."""
        return self.memory[offset : offset + 8 * count].cast("Q")

    def words(self, offset: int, count: int) -> memoryview:
        """Return a view of 4-byte numbers, each of which is written in one store."""
        return self.memory[offset : offset + 4 * count].cast("I")

    def close(self) -> None:
        """Let go of the memory; those who still hold a view of it keep it until they do not."""
        if self.closed:
            return
        self.closed = True
        for user in list(self._users):
            user.detach()
        mapped = self._map
        del self.memory, self._map
        # Who still has a view, such as a thread in the middle of a wait, keeps
        # the memory until it has left.
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
        """Be the only thread of all processes inside; the kernel ends that with the process.

        Raises:
            WorkerError: Somebody else has been inside for a minute.
        """
        deadline = time.monotonic() + _PATIENCE
        taken: list[bool] = []
        try:
            _take(self._threads_lock, _PATIENCE, taken)
            if not taken[0]:
                raise WorkerError("another thread does not let go of the roster")
            while not self.try_lock_byte(byte):
                if time.monotonic() > deadline:
                    raise WorkerError(
                        "another process does not let go of the roster; is it paused?"
                    )
                time.sleep(0.0002)
            yield
        finally:
            if taken and taken[0]:
                try:
                    # Got or not: no other thread of this process has it.
                    if not self.closed:
                        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, byte)
                finally:
                    self._threads_lock.release()

    def try_exclusive(self, byte: int, action: Callable[[], _Result]) -> _Result | None:
        """Do something as the only thread of all processes; return None if another one is at it.

        Not a context manager, because an exception can interrupt one just before
        its end.  This method lets others go on in any case.

        Args:
            byte: Offset of the object that the action is about.
            action: The function to call.
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
                    # other threads has.  Not `free_byte`, because an exception
                    # could interrupt its start.
                    if not self.closed:
                        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, byte)
                finally:
                    lock.release()

    def try_lock_byte(self, byte: int, *, shared: bool = False) -> bool:
        """Lock a byte of the file, unless another process has it."""
        self.check_open()
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.lockf(self.descriptor, kind | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):  # EAGAIN here, EACCES there
            return False
        return True

    def unlock_byte(self, byte: int) -> None:
        """Unlock a byte of the file."""
        if not self.closed:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, byte)

    def allocate(self, kind: int, size: int, label: str) -> Entry:
        """Return a new region of zeros, entered in the directory."""
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
            # Who dies between the two has wasted some bytes, nothing else.
            self.longs(_FREE, 1)[0] = end
            self.words(_COUNT, 1)[0] = number + 1
            return Entry(number, kind, offset, label)

    def entry(self, number: int) -> Entry:
        """Return what the directory knows of a region."""
        entry = _DIRECTORY + _ENTRY_SIZE * number
        kind, offset = _ENTRY.unpack_from(self.memory, entry)
        return Entry(number, kind, offset, read_text(self.memory, entry + 8))

    def entries(self, kind: int) -> list[Entry]:
        """Return the regions of one kind."""
        entries = [self.entry(number) for number in range(self.words(_COUNT, 1)[0])]
        return [entry for entry in entries if entry.kind == kind]

    def register(self, user: Any) -> None:
        """Have ``detach()`` called when the memory is let go of, ``forked()`` in a forked child."""
        self._users.add(user)

    def reset_after_fork(self) -> None:
        """Take note that this is a new process, which holds no lock."""
        self._threads_lock = threading.Lock()
        self._byte_locks = {}
        for user in list(self._users):
            user.reset_after_fork()


class SegmentUser:
    """What lives in an arena: loses its views when that ends, and tells who uses it then."""

    _table: Any
    _views: ClassVar[tuple[str, ...]] = ()

    def detach(self) -> None:
        """Let go of the memory; the environment has ended."""
        for name in self._views:
            self.__dict__.pop(name, None)

    def reset_after_fork(self) -> None:
        """Take note that this is a new process."""

    def __getattr__(self, name: str) -> Any:
        # Only for what is not there: it costs nothing while it is.
        if name in type(self)._views and "_table" in self.__dict__:
            self._table.check_open()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
