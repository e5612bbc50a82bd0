"""Python source in bytes, as logical lines of tokens, whatever it contains."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from itf.mock_tree_sitter.grammar import words
from itf.mock_tree_sitter.python_names import is_name

__all__ = ["Comment", "Line", "PythonLines"]

__unittest = True

_KEYWORDS: Final = {
    word.encode(): word
    for word in words(
        "and as assert async await break class continue def del elif else except finally for from "
        "global if import in is lambda nonlocal not or pass raise return try while with yield "
        # These are names, too; which of the two is for the parser to say.
        "match type lazy print exec"
    )
} | {b"None": "none", b"True": "true", b"False": "false"}

# What stands between tokens; the byte order mark and two more invisible
# characters are white space to tree-sitter, too.
_SPACE: Final = rb"(?:[ \t\r\f\v]|\xef\xbb\xbf|\xe2\x81\xa0|\xe2\x80\x8b)*+"
_INDENT: Final = re.compile(_SPACE)
_JOINED: Final = re.compile(rb"\\\r?\n")
_TAB_WIDTH: Final = 8

_STRING, _WORD, _NUMBER, _OPERATOR, _NEWLINE, _COMMENT, _CONTINUATION = range(1, 8)
_TOKEN: Final = re.compile(
    _SPACE + rb"(?:"
    # A string goes first: its prefix would pass for a name.  A byte above 127
    # is a part of a character that a name may contain.
    rb"([rRuUbBfFtT]{0,2}(?:'''|\"\"\"|'|\"))"
    rb"|([A-Za-z_\x80-\xff][\w\x80-\xff]*)"
    rb"|(0[xX][\da-fA-F_]+[lL]?|0[oO][0-7_]+[lL]?|0[bB][01_]+[lL]?"
    rb"|(?:\d[\d_]*(?:\.(?:\d[\d_]*)?)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?[jJlL]?)"
    rb"|(\.\.\.|\*\*=?|//=?|>>=?|<<=?|->|:=|[-+*/%@&|^=!<>]=|<>|[-+*/%@&|^=<>~.,:;()\[\]{}])"
    rb"|(\n|\Z)"
    rb"|(#)"
    rb"|(" + _JOINED.pattern + rb")"
    rb"|([\s\S]))"
)
_REAL: Final = re.compile(rb"[\d_]*(?:\.|[eE])")

# What there is in a string apart from plain text; the group is where it ends:
# its quote, or the end of its line if it has one quote only.
_BODIES: Final = {
    b"'": re.compile(rb"\\[\s\S]|('|\n)"),
    b'"': re.compile(rb'\\[\s\S]|("|\n)'),
    b"'''": re.compile(rb"\\[\s\S]|(''')"),
    b'"""': re.compile(rb'\\[\s\S]|(""")'),
}
# The same with replacement fields, which begin with a brace that no backslash
# escapes; here the group is what a piece of text ends with.
_ESCAPED: Final = rb"\\N\{[^{}\n'\"]*\}|\\[^{}]|\{\{|\}\}"
_TEXTS: Final = {
    b"'": re.compile(_ESCAPED + rb"|([{}'\n])"),
    b'"': re.compile(_ESCAPED + rb'|([{}"\n])'),
    b"'''": re.compile(_ESCAPED + rb"|([{}]|''')"),
    b'"""': re.compile(_ESCAPED + rb'|([{}]|""")'),
}
# The format of a replacement field, up to a brace or the end of the string.
_FORMATS: Final = {
    b"'": re.compile(rb"([{}\n'])"),
    b'"': re.compile(rb'([{}\n"])'),
    b"'''": re.compile(rb"([{}]|''')"),
    b'"""': re.compile(rb'([{}]|""")'),
}
_HAS_FIELDS: Final = re.compile(rb"[fFtT]")
_CONVERSION: Final = re.compile(rb"![A-Za-z]+")

# Statements that begin a line inside brackets: there the brackets are broken,
# and everything from there on would be lost in them.
_BEGINS_STATEMENT: Final = re.compile(
    rb"[ \t]*+(?:(?:def|class|return|while|with|try|raise|assert|del|pass|break|continue|global"
    rb"|nonlocal|import|except|finally|elif)\b|async[ \t]+(?:def|with)\b"
    rb"|lazy[ \t]+(?:import|from)\b)"
)


class Comment(NamedTuple):
    """A comment on a line of its own."""

    indent: int
    start: int
    end: int


class Line(NamedTuple):
    """A logical line: its tokens in three lists, the last of them an ``end``.

    The kinds are tree-sitter's names, or the text of a keyword or an operator.
    """

    indent: int
    comments: list[Comment]
    kinds: list[str]
    starts: list[int]
    ends: list[int]


class _Field(NamedTuple):
    """A replacement field that is open."""

    quote: bytes  # of its string
    depth: int  # of brackets, where it began
    in_format: bool  # it stands in the format of another field


class PythonLines:
    """The logical lines of a source, one after the other.

    A string is three tokens: ``string_start``, ``string_content`` (unless it is
    empty), ``string_end`` (unless it is missing).  Between the parts of one
    with replacement fields there are ``{``, the tokens of the expression,
    ``type_conversion``, ``format:`` and ``}`` for each of them.

    Thread safety: one thread.
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
        """Return the next line that has a token; at the end of the source one that has none."""
        comments: list[Comment] = []
        source = self._source
        while True:
            begin = self._position
            start = _INDENT.match(source, begin).end()  # type: ignore[union-attr]
            following = source[start : start + 1]
            if following == b"#":
                self._position = self._end_of_comment(start)
                comments.append(Comment(self._column(begin, start), start, self._position))
            elif following == b"\n":
                self._position = start + 1
            elif (joined := _JOINED.match(source, start)) is not None:
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
                column += 1 if byte == ord(" ") else _TAB_WIDTH
        return column

    def _end_of_comment(self, start: int) -> int:
        # A carriage return is a part of it, as in tree-sitter's grammar.
        end = self._source.find(b"\n", start)
        return len(self._source) if end < 0 else end

    def _add(self, kind: str, start: int, end: int) -> None:
        self._kinds.append(kind)
        self._starts.append(start)
        self._ends.append(end)

    def _read(self) -> None:
        """Read tokens up to the end of the logical line, or of the source."""
        source, kinds, starts, ends = self._source, self._kinds, self._starts, self._ends
        token, keywords = _TOKEN.match, _KEYWORDS
        while True:
            # The last alternative takes whatever there is.
            match = token(source, self._position)
            group: int = match.lastindex  # type: ignore[union-attr, assignment]
            start, end = match.span(group)  # type: ignore[union-attr]
            self._position = end
            if group == _WORD:
                word = source[start:end]
                known = word.isascii() or is_name(word)
                kinds.append(keywords.get(word, "identifier") if known else "stray")
                starts.append(start)
                ends.append(end)
            elif group == _OPERATOR:
                self._operator(start, end)
            elif group == _NEWLINE:
                inside = self._depth > 0 or self._fields
                if start == end or not inside or _BEGINS_STATEMENT.match(source, end):
                    self._depth = 0
                    self._fields.clear()
                    return
            elif group == _NUMBER:
                hexadecimal = source[start + 1 : start + 2] in (b"x", b"X")
                real = not hexadecimal and _REAL.match(source, start, end)
                self._add("float" if real else "integer", start, end)
            elif group == _STRING:
                self._string(start, end)
            elif group == _COMMENT:
                self._position = self._end_of_comment(start)
                self._add("comment", start, self._position)
            elif group == _CONTINUATION:
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
            match = _CONVERSION.match(self._source, start)
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
        # Before a string, tree-sitter has none of these.
        while self._kinds[-1:] == ["line_continuation"]:
            for column in (self._kinds, self._starts, self._ends):
                column.pop()
        if _HAS_FIELDS.search(prefix):
            self._add("string_start", start, end)
            self._read_text(quote, end)
            return
        stop = self._find(_BODIES[quote], end)
        # The string that a field stands in may have the same quotes as one in
        # the field; but where that one would not end, this is the end of both.
        within = self._fields and self._fields[-1].quote == opening
        if within and not source.startswith(quote, stop):
            self._leave_string(quote, start)
            return
        self._add("string_start", start, end)
        if stop > end:
            self._add("string_content", end, stop)
        self._end_string(quote, stop)

    def _find(self, pattern: re.Pattern[bytes], position: int) -> int:
        """Return where a pattern's group is found next; if nowhere, where the source ends."""
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
        """End a string inside a field that is not closed."""
        while self._fields.pop().in_format:
            continue
        self._depth = self._fields[-1].depth if self._fields else 0
        self._end_string(quote, stop)

    def _read_text(self, quote: bytes, position: int) -> None:
        """Read a string with fields, from some place in its text up to a field or its end."""
        source = self._source
        while True:
            stop = self._find(_TEXTS[quote], position)
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
        """Read the format of the innermost field, from some place up to a field or its end."""
        source = self._source
        while True:
            field = self._fields[-1]
            stop = self._find(_FORMATS[field.quote], position)
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
        """Go on after the brace that closes the innermost field."""
        self._add("}", start, start + 1)
        field = self._fields.pop()
        if field.in_format:
            self._read_format(start + 1)
        else:
            self._read_text(field.quote, start + 1)
