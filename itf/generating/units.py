"""Numbered units, one after another, made at nearly the speed of writing them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from itf.generating.arguments import as_bytes
from itf.texts import safe_repr

__all__ = ["PLACEHOLDER", "NumberedUnits"]

__unittest = True

PLACEHOLDER: Final = "{n}"
"""Where a unit's number goes in a template."""

# What is patched and written at once, at most; a tenth of it, if ten times as
# much is above that.  File systems take the more at once the faster, and what
# is patched should stay in the caches that a processor has to itself.  A unit
# that is larger is a block by itself.
_BLOCK_BYTES: Final = 1024 * 1024

_DIGITS: Final = {digit: digit.encode() for digit in "0123456789"}


class NumberedUnits:
    r"""The units 0, 1, 2, ... of a template, with natural numbers: no leading zeros.

    In a run of units whose numbers have equally many digits, all are equally
    long.  So one of them is made, then ten out of the one, a hundred out of the
    ten, and so on: the digits of a place are one column of bytes.  What is
    different in the next block of so many is the digits before those, and of
    them mostly the last column alone.

    Args:
        template: The text of a unit, with ``{n}`` wherever its number goes; any
            other brace stands for itself.

    Example:
        >>> units = NumberedUnits("x{n} = {n}\n")
        >>> b"".join(bytes(chunk) for chunk in units.chunks(3))
        b'x0 = 0\nx1 = 1\nx2 = 2\n'

    Raises:
        TypeError: The template is no text.
        ValueError: It has no ``{n}``, or is no text that UTF-8 has.
    """

    def __init__(self, template: str) -> None:
        if not isinstance(template, str):
            raise TypeError(f"template must be a str, got {safe_repr(template)}")
        if PLACEHOLDER not in template:
            raise ValueError(
                f"template must have {PLACEHOLDER} where the number of the unit goes, "
                f"got {safe_repr(template)}"
            )
        content = as_bytes("template", template, "take it out")
        self._pieces = content.split(PLACEHOLDER.encode())
        self._fixed = sum(map(len, self._pieces))

    def _length(self, digits: int) -> int:
        return self._fixed + (len(self._pieces) - 1) * digits

    def count_for(self, size: int) -> int:
        """Return the least number of units that have this size in bytes, or more."""
        count = 0
        for digits in itertools.count(1):
            length = self._length(digits)
            needed = -(-size // length)
            if size <= 0 or count + needed <= 10**digits:
                return count + max(0, needed)
            size -= (10**digits - count) * length
            count = 10**digits
        raise AssertionError("unreachable: numbers have no end")

    def chunks(self, count: int) -> Iterator[memoryview]:
        """Yield so many units, many at a time.

        Each chunk is a view of one buffer, and is overwritten for the next.
        """
        first = 0
        for digits in itertools.count(1):
            if first >= count:
                return
            end = min(count, 10**digits)
            yield from self._run(digits, first, end)
            first = end

    def _run(self, digits: int, first: int, end: int) -> Iterator[memoryview]:
        """Yield the units from first to end, whose numbers all have so many digits."""
        length, places = self._length(digits), self._places(digits)
        block = bytearray(str(first).encode().join(self._pieces))
        in_block = 1
        # From this column on, the digits are the same in each block.
        constant = digits
        while constant > 1 and 10 * len(block) <= _BLOCK_BYTES and in_block < end - first:
            constant -= 1
            block *= 10
            digits_down = b"".join(digit * in_block for digit in _DIGITS.values())
            for place in places:
                block[place + constant :: length] = digits_down
            in_block *= 10
        view = memoryview(block)
        columns = {name: digit * in_block for name, digit in _DIGITS.items()}
        shown = str(first)[:constant]
        for start in range(first, end, in_block):
            wanted = str(start)[:constant]
            for column, (old, new) in enumerate(zip(shown, wanted, strict=True)):
                if old != new:
                    for place in places:
                        block[place + column :: length] = columns[new]
            shown = wanted
            yield view[: min(in_block, end - start) * length]

    def _places(self, digits: int) -> list[int]:
        """Return where in a unit its number stands, each time."""
        ends = itertools.accumulate(map(len, self._pieces[:-1]))
        return [end + number * digits for number, end in enumerate(ends)]
