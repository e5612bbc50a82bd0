"""Numbers in shared memory that are updated atomically, by double buffering."""

from __future__ import annotations

import struct
from typing import Any, Final

from itf.sync.members import MemberTable
from itf.sync.segment import SegmentUser

__all__ = ["NUMBERS", "DoubleBufferedRecord"]

__unittest = True

NUMBERS: Final = 6
"""Kind, in the directory, of regions without data for single processes or threads."""

# Offset of the first copy in bytes, and the space after each copy, so that version and
# copies lie in different cache lines.
_FIRST: Final = 64


class DoubleBufferedRecord(SegmentUser):
    """Numbers in shared memory that change all together or not at all.

    The record has two copies and a version; an even version means that the first
    copy is current.  A writer fills the copy that is not current, and then changes
    the version in one store.  A writer that is killed at any instant has changed
    all numbers or none.

    Args:
        table: The processes that may use the record.
        label: Its label in the directory.
        layout: Format of the numbers, as for `struct`.
        values: The initial numbers.

    Thread safety: any thread may read at any time.  Writers need a common lock.
    """

    _views = ("_version", "_copies")

    def __init__(self, table: MemberTable, label: str, layout: str, *values: int) -> None:
        self._table = table
        self._struct = struct.Struct("=" + layout)
        size = _FIRST + 2 * (self._struct.size + _FIRST)
        self._offset = table.allocate(NUMBERS, size, label).offset
        self._attach()
        self.write(*values)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._table, self._struct.format, self._offset

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._table, layout, self._offset = state
        self._struct = struct.Struct(layout)
        self._attach()

    def _attach(self) -> None:
        self._version = self._table.longs(self._offset, 1)
        size = self._struct.size
        first = self._offset + _FIRST
        self._copies = [self._table.memory[at : at + size] for at in (first, first + size + _FIRST)]
        self._table.register(self)

    def read(self) -> tuple[Any, ...]:
        """Return the numbers, all of the same version."""
        version = self._version
        while True:
            now = version[0]
            values = self._struct.unpack_from(self._copies[now & 1])
            # If the version has changed, a second writer may already have written to
            # the copy that was read here.
            if version[0] == now:
                return values

    def write(self, *values: int) -> None:
        """Replace the numbers."""
        following = self._version[0] + 1
        self._struct.pack_into(self._copies[following & 1], 0, *values)
        self._version[0] = following
