"""Tokenizer for Python source: splits bytes into logical lines of tokens.

Any input is accepted; bytes that are no token become tokens of the kind ``stray``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from itf.mock_tree_sitter.python_names import is_name
from itf.mock_tree_sitter.python_tokens import (
    BEGINS_STATEMENT,
    BODIES,
    COMMENT,
    CONTINUATION,
    CONVERSION,
    FORMATS,
    HAS_FIELDS,
    INDENT,
    JOINED,
    KEYWORDS,
    NEWLINE,
    NUMBER,
    OPERATOR,
    REAL,
    STRING,
    TAB_WIDTH,
    TEXTS,
    TOKEN,
    WORD,
)

__all__ = ["Comment", "Line", "PythonLines"]

__unittest = True


class Comment(NamedTuple):
    """Comment that is alone on its line."""

    indent: int
    start: int
    end: int


class Line(NamedTuple):
    """Logical line, with its tokens in three parallel lists; the last token is ``end``.

    A token's kind is a node kind of tree-sitter such as ``identifier``, or the
    text of a keyword or an operator.  ``comments`` are those before the line.
    """

    indent: int
    comments: list[Comment]
    kinds: list[str]
    starts: list[int]
    ends: list[int]


class _Field(NamedTuple):
    """Replacement field of an f-string or t-string that is not closed yet."""

    quote: bytes  # quote of the string that contains the field
    depth: int  # number of open brackets at the start of the field
    in_format: bool  # whether the field is in the format specifier of another field


class PythonLines:
    """Reads the logical lines of a source, one after the other.

    A string becomes the tokens ``string_start``, ``string_content`` (unless the
    string is empty) and ``string_end`` (unless the quote is missing).  A
    replacement field becomes ``{``, the tokens of its expression,
    ``type_conversion``, ``format:`` and ``}``, between pieces of content.

    Thread safety: use each instance from one thread.
    """

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._position = 0
        self._depth = 0
        self._fields: list[_Field] = []
        self._kinds: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []

    def next_line(self) -> Line:
        """Return the next logical line with tokens; at the end of the source, an empty one."""
        comments: list[Comment] = []
        source = self._source
        while True:
            begin = self._position
            start = INDENT.match(source, begin).end()  # type: ignore[union-attr]
            following = source[start : start + 1]
            if following == b"#":
                self._position = self._end_of_comment(start)
                comments.append(Comment(self._column(begin, start), start, self._position))
            elif following == b"\n":
                self._position = start + 1
            elif (joined := JOINED.match(source, start)) is not None:
                self._position = joined.end()
            else:
                break
        self._position = start
        self._kinds, self._starts, self._ends = [], [], []
        self._read()
        end = self._ends[-1] if self._ends else len(source)
        self._add("end", end, end)
        return Line(self._column(begin, start), comments, self._kinds, self._starts, self._ends)

    def _column(self, begin: int, end: int) -> int:
        column = 0
        for byte in self._source[begin:end]:
            if byte in b"\r\f":
                column = 0
            elif byte in b" \t":
                column += 1 if byte == ord(" ") else TAB_WIDTH
        return column

    def _end_of_comment(self, start: int) -> int:
        # As in tree-sitter-python, a comment includes the \r of a line end.
        end = self._source.find(b"\n", start)
        return len(self._source) if end < 0 else end

    def _add(self, kind: str, start: int, end: int) -> None:
        self._kinds.append(kind)
        self._starts.append(start)
        self._ends.append(end)

    def _read(self) -> None:
        """Read tokens up to the end of the logical line or of the source."""
        source, kinds, starts, ends = self._source, self._kinds, self._starts, self._ends
        token, keywords = TOKEN.match, KEYWORDS
        while True:
            # Never None: the last alternative matches any byte.
            match = token(source, self._position)
            group: int = match.lastindex  # type: ignore[union-attr, assignment]
            start, end = match.span(group)  # type: ignore[union-attr]
            self._position = end
            if group == WORD:
                word = source[start:end]
                known = word.isascii() or is_name(word)
                kinds.append(keywords.get(word, "identifier") if known else "stray")
                starts.append(start)
                ends.append(end)
            elif group == OPERATOR:
                self._operator(start, end)
            elif group == NEWLINE:
                inside = self._depth > 0 or self._fields
                if start == end or not inside or BEGINS_STATEMENT.match(source, end):
                    self._depth = 0
                    self._fields.clear()
                    return
            elif group == NUMBER:
                hexadecimal = source[start + 1 : start + 2] in (b"x", b"X")
                real = not hexadecimal and REAL.match(source, start, end)
                self._add("float" if real else "integer", start, end)
            elif group == STRING:
                self._string(start, end)
            elif group == COMMENT:
                self._position = self._end_of_comment(start)
                self._add("comment", start, self._position)
            elif group == CONTINUATION:
                self._add("line_continuation", start, end)
            else:
                self._stray(start)

    def _operator(self, start: int, end: int) -> None:
        text = self._source[start:end].decode()
        if self._fields and self._depth == self._fields[-1].depth:
            if text[0] == ":":
                self._add("format:", start, start + 1)
                self._read_format(start + 1)
                return
            if text == "}":
                self._leave_field(start)
                return
        if text in "([{":
            self._depth += 1
        elif text in ")]}":
            self._depth = max(self._fields[-1].depth if self._fields else 0, self._depth - 1)
        elif text == "...":
            text = "ellipsis"
        self._add(text, start, end)

    def _stray(self, start: int) -> None:
        if self._fields and self._depth == self._fields[-1].depth:
            match = CONVERSION.match(self._source, start)
            if match is not None:
                self._position = match.end()
                self._add("type_conversion", start, match.end())
                return
        self._add("stray", start, start + 1)

    def _string(self, start: int, end: int) -> None:
        source = self._source
        opening = source[start:end]
        prefix = opening.rstrip(b"'\"")
        quote = opening[len(prefix) :]
        # tree-sitter-python has no node for a line continuation before a string.
        while self._kinds[-1:] == ["line_continuation"]:
            for column in (self._kinds, self._starts, self._ends):
                column.pop()
        if HAS_FIELDS.search(prefix):
            self._add("string_start", start, end)
            self._read_text(quote, end)
            return
        stop = self._find(BODIES[quote], end)
        # Inside a field, a quote like that of the enclosing string can open an inner
        # string (Python 3.12).  If the inner string would have no end, the quote
        # closes the enclosing string instead, and the field is broken.
        within = self._fields and self._fields[-1].quote == opening
        if within and not source.startswith(quote, stop):
            self._leave_string(quote, start)
            return
        self._add("string_start", start, end)
        if stop > end:
            self._add("string_content", end, stop)
        self._end_string(quote, stop)

    def _find(self, pattern: re.Pattern[bytes], position: int) -> int:
        """Return the start of the next match that has a group; without one, the source's end."""
        for match in pattern.finditer(self._source, position):
            if match.lastindex is not None:
                return match.start()
        return len(self._source)

    def _end_string(self, quote: bytes, stop: int) -> None:
        self._position = stop
        if self._source.startswith(quote, stop):
            self._position = stop + len(quote)
            self._add("string_end", stop, self._position)

    def _leave_string(self, quote: bytes, stop: int) -> None:
        """End a string although its innermost replacement field is not closed."""
        while self._fields.pop().in_format:
            continue
        self._depth = self._fields[-1].depth if self._fields else 0
        self._end_string(quote, stop)

    def _read_text(self, quote: bytes, position: int) -> None:
        """Read the text of an f-string up to the next field or the end of the string."""
        source = self._source
        while True:
            stop = self._find(TEXTS[quote], position)
            if stop > position:
                self._add("string_content", position, stop)
            following = source[stop : stop + 1]
            position = self._position = stop + 1
            if following == b"{":
                self._add("{", stop, position)
                self._fields.append(_Field(quote, self._depth, in_format=False))
                return
            if following != b"}":
                self._end_string(quote, stop)
                return
            self._add("stray", stop, position)

    def _read_format(self, position: int) -> None:
        """Read the format specifier of the innermost field up to a nested field or its end."""
        source = self._source
        while True:
            field = self._fields[-1]
            stop = self._find(FORMATS[field.quote], position)
            following = source[stop : stop + 1]
            position = self._position = stop + 1
            if following == b"{":
                self._add("{", stop, position)
                self._fields.append(_Field(field.quote, self._depth, in_format=True))
                return
            if following != b"}":
                self._leave_string(field.quote, stop)
                return
            self._add("}", stop, position)
            self._fields.pop()
            if not field.in_format:
                self._read_text(field.quote, position)
                return

    def _leave_field(self, start: int) -> None:
        """Close the innermost field, and read on in the text or format around it."""
        self._add("}", start, start + 1)
        field = self._fields.pop()
        if field.in_format:
            self._read_format(start + 1)
        else:
            self._read_text(field.quote, start + 1)
