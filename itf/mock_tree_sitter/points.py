"""Positions in a source, and their adjustment to edits of the source."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, SupportsIndex

__all__ = ["Edit", "Point", "Range", "point_of"]

__unittest = True


class Edit(NamedTuple):
    """Replacement of one piece of the source by another."""

    start_byte: int
    old_end_byte: int
    new_end_byte: int
    start_point: Point
    old_end_point: Point
    new_end_point: Point

    @classmethod
    def of(cls, start: int, old_end: int, new_end: int, *points: Any) -> Edit:
        """Return an edit from bytes and points; a point can be any pair of row and column."""
        return cls(start, old_end, new_end, *map(point_of, points))

    def shift(self, byte: int, point: Point) -> tuple[int, Point]:
        """Return the new position of a position after the replaced piece."""
        row, column = point.row, point.column
        if row == self.old_end_point.row:
            column += self.new_end_point.column - self.old_end_point.column
        row += self.new_end_point.row - self.old_end_point.row
        return byte + self.new_end_byte - self.old_end_byte, Point(row, column)

    def apply(self, byte: int, point: Point) -> tuple[int, Point]:
        """Return the new position of any position.

        A position inside the replaced piece becomes the end of the new piece.
        """
        if byte >= self.old_end_byte:
            return self.shift(byte, point)
        if byte > self.start_byte:
            return self.new_end_byte, self.new_end_point
        return byte, point


class Point(tuple[int, int]):
    """Position in a source: row and column, both from 0; columns count bytes.

    Example:
        >>> Point(2, 4).row
        2
        >>> Point(2, 4) == (2, 4)
        True
    """

    __slots__ = ()

    def __new__(cls, row: SupportsIndex, column: SupportsIndex) -> Point:
        """Create a point from two integers."""
        return super().__new__(cls, (operator.index(row), operator.index(column)))

    @property
    def row(self) -> int:
        """Index of the line, from 0."""
        return self[0]

    @property
    def column(self) -> int:
        """Index of the byte in the line, from 0."""
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
        """Return point and byte of this position after an edit.

        The byte of this position is ``start_byte``.
        """
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
    """Range of a source, in bytes and in points.

    Attributes:
        start_point: Row and column of the first byte.
        end_point: Row and column after the last byte.
        start_byte: Offset of the first byte.
        end_byte: Offset after the last byte.

    Raises:
        ValueError: The end is before the start.
        TypeError: A point is not a pair of integers.
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
        """Row and column of the first byte."""
        return self._points[0]

    @property
    def end_point(self) -> Point:
        """Row and column after the last byte."""
        return self._points[1]

    @property
    def start_byte(self) -> int:
        """Offset of the first byte."""
        return self._bytes[0]

    @property
    def end_byte(self) -> int:
        """Offset after the last byte."""
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
    """Convert a Point or a pair of row and column to a Point.

    Raises:
        TypeError: ``value`` is neither.
    """
    if isinstance(value, Point):
        return value
    if not isinstance(value, tuple | list) or len(value) != len(("row", "column")):
        raise TypeError(f"a point is a row and a column, not {type(value).__name__}")
    return Point(*value)
