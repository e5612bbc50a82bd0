"""Memory that processes share; the kernel frees it when the last process closes it."""

from __future__ import annotations

import mmap
from multiprocessing import context, reduction
from typing import Any

from itf.descriptors import Descriptor, anonymous_file
from itf.sync.deadline import check_name
from itf.sync.members import MemberTable
from itf.sync.segment import SegmentUser
from itf.validation import check_integer

__all__ = ["SharedMemory"]

__unittest = True


class SharedMemory(SegmentUser):
    r"""Memory for processes, as `multiprocessing.shared_memory.SharedMemory`.

    The memory has no name in the system, so nothing is left behind if a process is killed.

    Example:
        >>> memory = SharedMemory(MemberTable(), "table", 100)
        >>> memory.buf[:3] = b"abc"
        >>> bytes(memory.buf[:4])
        b'abc\x00'

    Args:
        table: The processes that may use it.
        name: Its name, for messages.
        size: Number of bytes, at least 1.

    Attributes:
        name: Its name.
        size: As given.
        buf: The memory, as a memoryview.

    Thread safety: none for the contents of ``buf``; protect them with a lock.
    """

    _views = ("_file", "_map", "buf")

    def __init__(self, table: MemberTable, name: str, size: int) -> None:
        self.name = check_name(name, "shared memory")
        self.size = check_integer("size", size, 1)
        self._table = table
        self._attach(anonymous_file("itf-memory", self.size))

    def _attach(self, file: Descriptor) -> None:
        self._file = file
        self._map = mmap.mmap(file.number, self.size)
        self.buf: memoryview = memoryview(self._map)
        self._table.register(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of {self.size} bytes>"

    def __getstate__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        return self._table, self.name, self.size, reduction.DupFd(self._file.number)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._table, self.name, self.size, descriptor = state
        self._attach(Descriptor(descriptor.detach()))

    def close(self) -> None:
        """Do nothing; the environment closes the memory at its end."""

    def unlink(self) -> None:
        """Do nothing; the memory has no name that could be removed."""
