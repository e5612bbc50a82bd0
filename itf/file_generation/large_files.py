"""Content of large files: numbered copies of a template, generated as fast as a disk writes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from itf.file_generation.file_content import encode_content
from itf.safe_repr import safe_repr

__all__ = ["PLACEHOLDER", "NumberedUnits"]

__unittest = True

PLACEHOLDER: Final = "{n}"
"""Text in a template that is replaced by the unit's number."""

# Largest block of units in bytes that is written by one system call.  Larger
# blocks are written faster, but a block should fit into the cache of one
# processor core, because the digits in it are changed in place.  A block grows
# by factors of ten, so its size is between a tenth of this and this.  A unit
# that is larger is a block of its own.
_BLOCK_BYTES: Final = 1024 * 1024

_DIGIT_BYTES: Final = {digit: digit.encode() for digit in "0123456789"}


class NumberedUnits:
    r"""Copies of a template, called units, numbered 0, 1, 2, ... without leading zeros.

    All units whose numbers have equally many digits are equally long.  So a
    block of ten units is made by repeating one unit ten times and overwriting
    one column of digits with ``0123456789``; a block of a hundred is made from
    ten blocks of ten; and so on.  The next block differs from this one in the
    leading digits alone, and those are overwritten with a slice assignment for
    each digit that has changed.

    Args:
        template: Text of a unit with ``{n}`` wherever its number goes.  All
            other braces stay as they are.

    Example:
        >>> units = NumberedUnits("x{n} = {n}\n")
        >>> b"".join(bytes(chunk) for chunk in units.chunks(3))
        b'x0 = 0\nx1 = 1\nx2 = 2\n'

    Raises:
        TypeError: The template is not a str.
        ValueError: The template has no ``{n}``, or a surrogate.
    """

    def __init__(self, template: str) -> None:
        if not isinstance(template, str):
            raise TypeError(f"template must be a str, got {safe_repr(template)}")
        if PLACEHOLDER not in template:
            raise ValueError(
                f"template must contain {PLACEHOLDER} where the number of the unit goes, "
                f"got {safe_repr(template)}"
            )
        content = encode_content("template", template, "remove it")
        self._pieces = content.split(PLACEHOLDER.encode())
        self._length_without_numbers = sum(map(len, self._pieces))

    def _unit_length(self, digits: int) -> int:
        """Return the length in bytes of a unit whose number has so many digits."""
        return self._length_without_numbers + (len(self._pieces) - 1) * digits

    def count_for(self, size: int) -> int:
        """Return the smallest number of units that together have at least a size in bytes."""
        count = 0
        for digits in itertools.count(1):
            length = self._unit_length(digits)
            needed = -(-size // length)  # division, rounded up
            if size <= 0 or count + needed <= 10**digits:
                return count + max(0, needed)
            size -= (10**digits - count) * length
            count = 10**digits
        raise AssertionError("unreachable: itertools.count does not end")

    def chunks(self, count: int) -> Iterator[memoryview]:
        """Yield the first units, in chunks of many units.

        A chunk is a view of a buffer that the next chunk overwrites: use or
        copy it before you request the next.
        """
        first = 0
        for digits in itertools.count(1):
            if first >= count:
                return
            end = min(count, 10**digits)
            yield from self._chunks_of_equal_length(digits, first, end)
            first = end

    def _chunks_of_equal_length(self, digits: int, first: int, end: int) -> Iterator[memoryview]:
        """Yield the units from first to before end, whose numbers all have so many digits."""
        length, offsets = self._unit_length(digits), self._number_offsets(digits)
        block = bytearray(str(first).encode().join(self._pieces))
        units_in_block = 1
        # Number of leading digits that are the same in all units of a block.
        leading = digits
        while leading > 1 and 10 * len(block) <= _BLOCK_BYTES and units_in_block < end - first:
            leading -= 1
            block *= 10
            column = b"".join(digit * units_in_block for digit in _DIGIT_BYTES.values())
            for offset in offsets:
                block[offset + leading :: length] = column
            units_in_block *= 10
        view = memoryview(block)
        columns = {digit: byte * units_in_block for digit, byte in _DIGIT_BYTES.items()}
        in_block = str(first)[:leading]
        for start in range(first, end, units_in_block):
            wanted = str(start)[:leading]
            for position, (old, new) in enumerate(zip(in_block, wanted, strict=True)):
                if old != new:
                    for offset in offsets:
                        block[offset + position :: length] = columns[new]
            in_block = wanted
            # The last block may be needed in part.
            yield view[: min(units_in_block, end - start) * length]

    def _number_offsets(self, digits: int) -> list[int]:
        """Return the offsets in a unit at which its number starts."""
        ends = itertools.accumulate(map(len, self._pieces[:-1]))
        return [end + index * digits for index, end in enumerate(ends)]
