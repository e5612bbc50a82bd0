"""A few numbers in shared memory that change all at once, or not at all."""

from __future__ import annotations

import struct
from typing import Any, Final

from itf.sync.members import MemberTable
from itf.sync.segment import SegmentUser

__all__ = ["NUMBERS", "DoubleBufferedRecord"]

__unittest = True

NUMBERS: Final = 6
"""The kind, in the directory, of what nobody has a part of his own in."""

# The version, and the two copies, of which an even version means the first.
_FIRST: Final = 64


class DoubleBufferedRecord(SegmentUser):
    """A few numbers in shared memory that change all at once, or not at all.

    There are two copies.  The one that is not in use is written, and then one
    store of the version says that it is.  A writer that is killed at any
    instant has changed either all or nothing.

    Only one at a time may write (have a lock for that); reading needs none.

    Args:
        roster: Who may use it.
        label: What it is, for the directory.
        layout: Its numbers, as for `struct`.
        values: The first ones.
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
        """Return the numbers, all of one version."""
        version = self._version
        while True:
            now = version[0]
            values = self._struct.unpack_from(self._copies[now & 1])
            # If one was written meanwhile, the next one may be in the making,
            # and that is where we have read.
            if version[0] == now:
                return values

    def write(self, *values: int) -> None:
        """Change the numbers."""
        following = self._version[0] + 1
        self._struct.pack_into(self._copies[following & 1], 0, *values)
        self._version[0] = following
