"""Parser with the API of py-tree-sitter."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from itf.mock_tree_sitter.grammars import table_of
from itf.mock_tree_sitter.language import Language
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.points import Point, Range
from itf.mock_tree_sitter.tree import WHOLE, Tree, tree_of

__all__ = ["Parser"]

__unittest = True

# Function that returns the next chunk of the source, of any length, from a byte and
# a point on; at the end of the source it returns None or nothing.
ReadCallback: TypeAlias = Callable[[int, Point], "bytes | bytearray | memoryview | None"]

_ENCODINGS: Final = {
    "utf8": None,
    "utf16": "utf-16-le",  # on every machine, so that tests give the same result everywhere
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
}
# Bytes in the longest source; NodeTable stores offsets in 32 bits, as tree-sitter does.
_MAX_SOURCE_BYTES: Final = 2**32 - 1


class Parser:
    """Parser for sources in one language.

    Example:
        >>> parser = Parser(Language("python"))
        >>> print(parser.parse(b"x = 1").root_node)
        (module (expression_statement (assignment left: (identifier) right: (integer))))

    Args:
        language: Language of the sources; None to set the attribute later.
        included_ranges: Ranges of each source to parse; None for the whole source.

    Thread safety: every method, from any thread.
    """

    def __init__(
        self,
        language: Language | None = None,
        *,
        included_ranges: Sequence[Range] | None = None,
    ) -> None:
        self._language = None if language is None else _language(language, "__init__() argument 1")
        self._ranges = (WHOLE,) if included_ranges is None else _ranges(included_ranges)

    @property
    def language(self) -> Language | None:
        """Language of the sources; None if it is not set."""
        return self._language

    @language.setter
    def language(self, language: Language) -> None:
        if not isinstance(language, Language):
            raise TypeError(
                f"language must be assigned a Language object, not {type(language).__name__}"
            )
        self._language = language

    @language.deleter
    def language(self) -> None:
        self._language = None

    @property
    def included_ranges(self) -> list[Range]:
        """Ranges of each source that are parsed."""
        return [*self._ranges]

    @included_ranges.setter
    def included_ranges(self, ranges: Sequence[Range]) -> None:
        self._ranges = _ranges(ranges)

    @included_ranges.deleter
    def included_ranges(self) -> None:
        self._ranges = (WHOLE,)

    def parse(
        self,
        source: bytes | bytearray | memoryview | ReadCallback,
        /,
        old_tree: Tree | None = None,
        encoding: str = "utf8",
    ) -> Tree:
        """Return the tree of a source; invalid source becomes ERROR nodes.

        Args:
            source: The source, or a function that returns the source in chunks.
                The function is called with a byte and a `Point`, and returns the
                chunk that begins there, or nothing at the end.
            old_tree: Tree of the source before an edit.  Accepted for
                compatibility; the whole source is always parsed again.
            encoding: ``utf8``, ``utf16``, ``utf16le`` or ``utf16be``.  Bytes and
                columns in the tree count the bytes of ``source`` as given.

        Raises:
            TypeError: ``source`` is neither bytes nor a function, or another
                argument has the wrong type.
            ValueError: The encoding is unknown, the parser has no language, or the
                source is longer than 4 GiB.
        """
        return self.build(self.read(source, old_tree, encoding), encoding)

    def read(
        self,
        source: bytes | bytearray | memoryview | ReadCallback,
        old_tree: Tree | None,
        encoding: str,
    ) -> bytes:
        """Check the arguments of `parse`, and return the source as bytes.

        Raises:
            TypeError: As for `parse`.
            ValueError: As for `parse`.
        """
        if not isinstance(source, bytes | bytearray | memoryview) and not callable(source):
            hint = "; encode it first" if isinstance(source, str) else ""
            raise TypeError(
                f"source must be a bytestring or a callable, not {type(source).__name__}{hint}"
            )
        if old_tree is not None and not isinstance(old_tree, Tree):
            raise TypeError(f"parse() argument 2 must be a Tree, not {type(old_tree).__name__}")
        if not isinstance(encoding, str):
            raise TypeError(f"encoding must be str, not {type(encoding).__name__}")
        if encoding not in _ENCODINGS:
            raise ValueError(
                f"encoding must be 'utf8', 'utf16', 'utf16le', or 'utf16be', not {encoding!r}"
            )
        if self._language is None:
            raise ValueError("Parsing failed: the parser has no language; set its `language` first")
        code = _read(source) if callable(source) else bytes(source)
        if len(code) > _MAX_SOURCE_BYTES:
            raise ValueError(
                f"Parsing failed: the source has {len(code)} bytes, "
                f"at most {_MAX_SOURCE_BYTES} are supported"
            )
        return code

    def build(self, source: bytes, encoding: str = "utf8") -> Tree:
        """Return the tree of a source that `read` returned."""
        language, ranges = self._language, self._ranges
        if language is None:
            raise ValueError("Parsing failed: the parser has no language; set its `language` first")
        return tree_of(
            _parse(source, language.name, _ENCODINGS[encoding], ranges), language, ranges
        )

    def reset(self) -> None:
        """Do nothing: tree-sitter discards an interrupted parse, but this parser keeps none."""


def _parse(source: bytes, language: str, codec: str | None, ranges: tuple[Range, ...]) -> NodeTable:
    text = source if ranges == (WHOLE,) else _blank_outside(source, ranges, codec)
    if codec is None:
        table = table_of(text, language)
    else:
        decoded = text.decode(codec, "replace")
        table = table_of(decoded.encode(), language)
        _convert_offsets(table, decoded, len(source))
        table.newline = "\n".encode(codec)
    if ranges != (WHOLE,):
        table.ends[0] = min(ranges[-1].end_byte, len(source))
        table.starts[0] = min(table.starts[0], table.ends[0])
    table.source = source
    return table


def _convert_offsets(table: NodeTable, text: str, size: int) -> None:
    """Convert the offsets of all nodes from UTF-8 bytes to UTF-16 bytes.

    Args:
        table: Nodes whose offsets count the UTF-8 bytes of ``text``.
        text: The decoded source.
        size: Length of the UTF-16 source in bytes.
    """
    offsets = array("I", [0])
    for character in text:
        here = offsets[-1]
        offsets.extend([here] * (len(character.encode()) - 1))
        offsets.append(here + (4 if character > "\uffff" else 2))
    for column in (table.starts, table.ends):
        for number, offset in enumerate(column):
            # An incomplete character at the end decodes to a whole U+FFFD, so its
            # end would be after the end of the source.
            column[number] = min(offsets[offset], size)


def _blank_outside(source: bytes, ranges: tuple[Range, ...], codec: str | None) -> bytes:
    """Replace everything outside the given ranges by white space, keeping line ends."""
    parts, end = [], 0
    for piece in ranges:
        parts.append(_blank(source[end : piece.start_byte], codec))
        parts.append(source[piece.start_byte : piece.end_byte])
        end = min(piece.end_byte, len(source))
    parts.append(_blank(source[end:], codec))
    return b"".join(parts)


def _blank(piece: bytes, codec: str | None) -> bytes:
    space, newline = (c.encode(codec or "utf-8") for c in " \n")
    lines = [space * (len(line) // len(space)) for line in piece.split(newline)]
    return newline.join(lines)


def _read(callback: ReadCallback) -> bytes:
    parts, size, row, column = [], 0, 0, 0
    while True:
        part = callback(size, Point(row, column))
        if part is None:
            break
        if not isinstance(part, bytes | bytearray | memoryview):
            raise TypeError(f"read callable must return a bytestring, not {type(part).__name__}")
        piece = bytes(part)
        if not piece:
            break
        parts.append(piece)
        size += len(piece)
        rows = piece.count(b"\n")
        row += rows
        column = len(piece) - piece.rfind(b"\n") - 1 if rows else column + len(piece)
    return b"".join(parts)


def _language(language: object, where: str) -> Language:
    if not isinstance(language, Language):
        raise TypeError(f"{where} must be a Language, not {type(language).__name__}")
    return language


def _ranges(ranges: Sequence[Range]) -> tuple[Range, ...]:
    checked = tuple(ranges)
    end = 0
    for index, piece in enumerate(checked):
        if not isinstance(piece, Range):
            raise TypeError(f"Item at index {index} is not a Range object")
        if piece.start_byte < end:
            raise ValueError("Included ranges cannot overlap")
        end = piece.end_byte
    return checked or (WHOLE,)
