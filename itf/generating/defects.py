"""What can be wrong with a file, for each language."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Final

from itf.generating.sources import NESTED, STRINGS, SYNTAX_ERRORS, TABS_AND_SPACES, UNITS
from itf.generating.units import NumberedUnits

__all__ = ["DEFECTS"]

__unittest = True

# No UTF-8 decoder takes any of these: a byte that never occurs, a continuation
# byte at the start, and a sequence that is cut short by what follows it.
_INVALID_UTF8: Final = b"caf\xff \x80 \xe2\x82"

# A "/" in two, three and four bytes, where one is enough.  Decoders that took
# them let "../" through checks that looked for the one byte.
_OVERLONG_UTF8: Final = b"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf"

# U+D800 by itself, and a pair that should have been one character of four bytes.
_SURROGATES: Final = b"\xed\xa0\x80 \xed\xa0\xbd\xed\xb8\x80"

# A header, zero bytes, every byte value: text to no one.
_BINARY: Final = b"\x7fELF\x00\x00" + bytes(range(256)) * 16

# Longer than most buffers, and short enough to be read in no time.
_LONG: Final = 1024 * 1024

# Python's parser takes 200 levels, V8's and rustc's some thousands before
# their stacks are full.
_DEEP: Final = 10_000

# The first byte of a "é" whose second one is missing, in a name or a comment:
# with that byte the file would be valid.
_CUT_SHORT: Final = {
    "python": b"caf\xc3",
    "javascript": b"caf\xc3",
    "rust": b"// caf\xc3",
    "c": b"// caf\xc3",
}


def _valid(language: str) -> bytes:
    units = NumberedUnits(UNITS["function"][language])
    return b"".join(bytes(chunk) for chunk in units.chunks(3))


def _mixed_newlines(language: str) -> bytes:
    first, second, *rest = _valid(language).splitlines()
    return b"%s\r\n%s\n" % (first, second) + b"\n".join(rest[:3]) + b"\r" + b"\n".join(rest[3:])


def _null_bytes(language: str) -> bytes:
    # Between tokens, for inside a string some languages allow them.
    return _valid(language) + (NESTED[language] % b"1").replace(b"1", b"1\0", 1)


DEFECTS: Final[dict[str, Callable[[str], bytes]]] = {
    "syntax": SYNTAX_ERRORS.__getitem__,
    "unicode": lambda language: STRINGS[language] % _INVALID_UTF8,
    "binary": lambda _: _BINARY,
    "truncated_utf8": lambda language: _valid(language) + _CUT_SHORT[language],
    "overlong_utf8": lambda language: STRINGS[language] % _OVERLONG_UTF8,
    "surrogate": lambda language: STRINGS[language] % _SURROGATES,
    "bom": lambda language: codecs.BOM_UTF8 + _valid(language),
    "utf16": lambda language: codecs.BOM_UTF16_LE + _valid(language).decode().encode("utf-16-le"),
    "mixed_newlines": _mixed_newlines,
    "null_bytes": _null_bytes,
    "long_line": lambda language: STRINGS[language] % (b"x" * _LONG),
    "deep_nesting": lambda language: NESTED[language] % (b"(" * _DEEP + b"1" + b")" * _DEEP),
    "tabs_and_spaces": TABS_AND_SPACES.__getitem__,
    "empty": lambda _: b"",
    "no_final_newline": lambda language: _valid(language).rstrip(),
}
"""By name, what makes a file's content for a language.  `TestFileGenerator` documents each."""
