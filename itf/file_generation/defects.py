"""Content of defective files: wrong encodings, line ends, syntax and nesting, by language."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Final

from itf.file_generation.languages import (
    EXPRESSION_LINES,
    STRING_LINES,
    SYNTAX_ERRORS,
    TABS_AND_SPACES,
    UNITS,
)
from itf.file_generation.large_files import NumberedUnits

__all__ = ["DEFECTS"]

__unittest = True

# Three errors that every UTF-8 decoder must report: a byte that never occurs in
# UTF-8, a continuation byte without a start byte, and a three-byte sequence
# without its third byte.
_INVALID_UTF8: Final = b"caf\xff \x80 \xe2\x82"

# The character "/" in two, three and four bytes instead of one.  Decoders that
# accepted such overlong forms let "../" pass path checks (CVE-2000-0884).
_OVERLONG_UTF8: Final = b"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf"

# U+D800 alone, and a surrogate pair, which UTF-8 encodes as one character of
# four bytes.  Surrogates in three bytes each are CESU-8.
_SURROGATES: Final = b"\xed\xa0\x80 \xed\xa0\xbd\xed\xb8\x80"

# Starts like an executable (ELF) and contains every byte value, so no program
# takes it for text.
_BINARY: Final = b"\x7fELF\x00\x00" + bytes(range(256)) * 16

# Longer than the buffers of most programs that read lines.
_LONG_LINE_BYTES: Final = 1024 * 1024

# Python's parser accepts 200 nested parentheses.  V8 and rustc accept a few
# thousand before their stacks overflow.
_NESTING_DEPTH: Final = 10_000

# Last line that ends with the first byte of an "é".  With the missing second
# byte the file would be valid.
_TRUNCATED_LINES: Final = {
    "python": b"caf\xc3",
    "javascript": b"caf\xc3",
    "rust": b"// caf\xc3",
    "c": b"// caf\xc3",
}


def _valid_source(language: str) -> bytes:
    units = NumberedUnits(UNITS["function"][language])
    return b"".join(bytes(chunk) for chunk in units.chunks(3))


def _mixed_newlines(language: str) -> bytes:
    first, second, *rest = _valid_source(language).splitlines()
    return b"%s\r\n%s\n" % (first, second) + b"\n".join(rest[:3]) + b"\r" + b"\n".join(rest[3:])


def _null_bytes(language: str) -> bytes:
    # Between two tokens, because some languages allow a zero byte in a string.
    return _valid_source(language) + (EXPRESSION_LINES[language] % b"1").replace(b"1", b"1\0", 1)


DEFECTS: Final[dict[str, Callable[[str], bytes]]] = {
    "syntax": SYNTAX_ERRORS.__getitem__,
    "unicode": lambda language: STRING_LINES[language] % _INVALID_UTF8,
    "binary": lambda _: _BINARY,
    "truncated_utf8": lambda language: _valid_source(language) + _TRUNCATED_LINES[language],
    "overlong_utf8": lambda language: STRING_LINES[language] % _OVERLONG_UTF8,
    "surrogate": lambda language: STRING_LINES[language] % _SURROGATES,
    "bom": lambda language: codecs.BOM_UTF8 + _valid_source(language),
    "utf16": lambda language: (
        codecs.BOM_UTF16_LE + _valid_source(language).decode().encode("utf-16-le")
    ),
    "mixed_newlines": _mixed_newlines,
    "null_bytes": _null_bytes,
    "long_line": lambda language: STRING_LINES[language] % (b"x" * _LONG_LINE_BYTES),
    "deep_nesting": lambda language: (
        EXPRESSION_LINES[language] % (b"(" * _NESTING_DEPTH + b"1" + b")" * _NESTING_DEPTH)
    ),
    "tabs_and_spaces": TABS_AND_SPACES.__getitem__,
    "empty": lambda _: b"",
    "no_final_newline": lambda language: _valid_source(language).rstrip(),
}
"""Function that returns the content for a language, by the name of the defect.

`TestFileGenerator.create_error_file` documents each defect.
"""
