"""Parser for Python's strings and their replacement fields."""

from __future__ import annotations

import abc
import re
from typing import Final

from itf.mock_tree_sitter.python_grammar import PYTHON
from itf.mock_tree_sitter.python_reader import PythonReader, Steps, UnexpectedSyntaxError

__all__ = ["StringParser"]

__unittest = True

_ESCAPES: Final = re.compile(
    rb"(\\(?:u[\da-fA-F]{4}|U[\da-fA-F]{8}|x[\da-fA-F]{2}|\d{1,3}|\r?\n|['\"abfrntv\\]|N\{[^}]+\}))"
    rb"|(\\)"
)
_BYTE_ESCAPES: Final = re.compile(
    rb"(\\(?:x[\da-fA-F]{2}|\d{1,3}|\r?\n|['\"abfrntv\\]))|(\\)(?![uUN])"
)
_FIELD_ESCAPES: Final = re.compile(_ESCAPES.pattern + rb"|(\{\{|\}\})")
_BRACES: Final = re.compile(rb"(?!)()()|(\{\{|\}\})")
_ESCAPE, _BACKSLASH, _BRACE = 1, 2, 3


class StringParser(PythonReader):
    """Adds nodes for strings, with the structure of tree-sitter-python."""

    @abc.abstractmethod
    def values(self) -> Steps:
        """Parse the expressions of an assignment's right side or a replacement field."""

    def strings(self) -> Steps:
        """Parse a string, or several adjacent strings that Python concatenates."""
        builder, low = self.builder, self.builder.mark()
        node = yield self._string()
        if self.kind != "string_start":
            return node
        while self.kind == "string_start":
            yield self._string()
        return builder.node("concatenated_string", low)

    def _string(self) -> Steps:
        builder, low = self.builder, self.builder.mark()
        prefix = self.text().lower()
        has_fields = b"f" in prefix or b"t" in prefix
        if b"r" in prefix:
            escapes = _BRACES if has_fields else None
        elif has_fields:
            escapes = _FIELD_ESCAPES
        else:
            escapes = _BYTE_ESCAPES if b"b" in prefix else _ESCAPES
        self.shift()
        while True:
            if self.kind == "string_content":
                self._content(escapes)
            elif self.kind == "{" and has_fields:
                yield self._field("interpolation")
            else:
                break
        if self.kind != "string_end":
            raise UnexpectedSyntaxError
        self.shift()
        return builder.node("string", low)

    def _content(self, escapes: re.Pattern[bytes] | None) -> None:
        builder = self.builder
        start, end = self.span()
        if escapes is None:
            self.shift()
            return
        low = builder.mark()
        for match in escapes.finditer(self.source, start, end):
            group = match.lastindex
            if group == _BACKSLASH:
                builder.leaf(PYTHON.token_ids["\\"], *match.span())
            else:
                kind = "escape_sequence" if group == _ESCAPE else "escape_interpolation"
                builder.leaf(PYTHON.ids[kind], *match.span())
        self.skip()
        builder.span("string_content", low, start, end)

    def _field(self, kind: str) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift()
        builder.set_field((yield self.values()), "expression")
        if self.kind == "=":
            self.shift()
        if self.kind == "type_conversion":
            builder.set_field(self.shift(), "type_conversion")
        if self.kind == "format:":
            start = builder.mark()
            begin, _ = self.span()
            self.shift()
            while self.kind == "{":
                yield self._field("format_expression")
            end = self.span()[0] if self.kind == "}" else builder.last_end()
            end = begin + len(self.source[begin:end].rstrip(b"\r\n"))
            specifier = builder.span("format_specifier", start, begin, end)
            builder.set_field(specifier, "format_specifier")
        self.expect("}")
        return builder.node(kind, low)
