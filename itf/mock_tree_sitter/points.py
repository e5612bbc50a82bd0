"""Where something is in a source, and where it is after the source was edited."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, SupportsIndex

__all__ = ["Edit", "Point", "Range", "point_of"]

__unittest = True


class Edit(NamedTuple):
    """A piece of the source that became another."""

    start_byte: int
    old_end_byte: int
    new_end_byte: int
    start_point: Point
    old_end_point: Point
    new_end_point: Point

    @classmethod
    def of(cls, start: int, old_end: int, new_end: int, *points: Any) -> Edit:
        """Return one, its points being as somebody gave them."""
        return cls(start, old_end, new_end, *map(point_of, points))

    def shift(self, byte: int, point: Point) -> tuple[int, Point]:
        """Return where a place is that lay behind the old piece."""
        row, column = point.row, point.column
        if row == self.old_end_point.row:
            column += self.new_end_point.column - self.old_end_point.column
        row += self.new_end_point.row - self.old_end_point.row
        return byte + self.new_end_byte - self.old_end_byte, Point(row, column)

    def apply(self, byte: int, point: Point) -> tuple[int, Point]:
        """Return where a place is now; one in the old piece is at the end of the new one."""
        if byte >= self.old_end_byte:
            return self.shift(byte, point)
        if byte > self.start_byte:
            return self.new_end_byte, self.new_end_point
        return byte, point


class Point(tuple[int, int]):
    """A place in a source: row, and column in bytes, both from 0.

    Example:
        >>> Point(2, 4).row
        2
        >>> Point(2, 4) == (2, 4)
        True
    """

    __slots__ = ()

    def __new__(cls, row: SupportsIndex, column: SupportsIndex) -> Point:
        """Take a row and a column, which are whole numbers."""
        return super().__new__(cls, (operator.index(row), operator.index(column)))

    @property
    def row(self) -> int:
        """The line, from 0."""
        return self[0]

    @property
    def column(self) -> int:
        """The byte in the line, from 0."""
        return self[1]

    def edit(  # noqa: PLR0917 - as tree-sitter has it
        self,
        start_byte: int,
        old_end_byte: int,
        new_end_byte: int,
        start_point: tuple[int, int],
        old_end_point: tuple[int, int],
        new_end_point: tuple[int, int],
    ) -> tuple[Point, int]:
        """Return where this point is after an edit that begins at it, and at which byte."""
        edit = Edit.of(
            start_byte, old_end_byte, new_end_byte, start_point, old_end_point, new_end_point
        )
        byte, point = edit.apply(start_byte, self)
        return point, byte

    def __getnewargs__(self) -> tuple[int, int]:
        return self[0], self[1]

    def __repr__(self) -> str:
        return f"<Point row={self[0]}, column={self[1]}>"


class Range:
    """From one place in a source to another.

    Attributes:
        start_point: Where it begins.
        end_point: Where it ends.
        start_byte: The byte at which it begins.
        end_byte: The byte at which it ends; that one is no longer in it.

    Raises:
        ValueError: It ends before it begins.
        TypeError: A point is not two whole numbers.
    """

    __slots__ = ("_bytes", "_points")

    def __init__(
        self,
        start_point: tuple[int, int],
        end_point: tuple[int, int],
        start_byte: int,
        end_byte: int,
    ) -> None:
        start, end = point_of(start_point), point_of(end_point)
        begin, stop = operator.index(start_byte), operator.index(end_byte)
        if end < start:
            raise ValueError(f"Invalid point range: {tuple(start)} to {tuple(end)}")
        if stop < begin:
            raise ValueError(f"Invalid byte range: {begin} to {stop}")
        self._points = (start, end)
        self._bytes = (begin, stop)

    @property
    def start_point(self) -> Point:
        """Where it begins."""
        return self._points[0]

    @property
    def end_point(self) -> Point:
        """Where it ends."""
        return self._points[1]

    @property
    def start_byte(self) -> int:
        """The byte at which it begins."""
        return self._bytes[0]

    @property
    def end_byte(self) -> int:
        """The byte at which it ends."""
        return self._bytes[1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Range):
            return NotImplemented
        return (self._points, self._bytes) == (other._points, other._bytes)

    def __hash__(self) -> int:
        return hash((self._points, self._bytes))

    def __repr__(self) -> str:
        start, end = map(tuple, self._points)
        return (
            f"<Range start_point={start}, end_point={end}, "
            f"start_byte={self.start_byte}, end_byte={self.end_byte}>"
        )


def point_of(value: Any) -> Point:
    """Return a point that somebody gave as one, or as a row and a column.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, Point):
        return value
    if not isinstance(value, tuple | list) or len(value) != len(("row", "column")):
        raise TypeError(f"a point is a row and a column, not {type(value).__name__}")
    return Point(*value)
