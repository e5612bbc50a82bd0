"""Lexemes that have others of their kind inside, which no regular expression tells the end of."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["comment_end", "template_end"]

__unittest = True

_COMMENT_ENDS: Final = re.compile(rb"/\*|\*/")

# What matters in the text of a template, and in what it has between ${ and }.
_TEXT: Final = re.compile(rb"\\[\s\S]|`|\$\{")
_CODE: Final = re.compile(
    rb"[`{}]|'(?:[^'\\\n]|\\[\s\S])*+'?|\"(?:[^\"\\\n]|\\[\s\S])*+\"?"
    rb"|//[^\r\n]*+|/\*[\s\S]*?(?:\*/|\Z)"
)


def comment_end(source: bytes, start: int) -> int:
    """Return where a comment ends in which comments may be; without an end, the source's."""
    depth = 0
    for match in _COMMENT_ENDS.finditer(source, start):
        depth += 1 if match[0] == b"/*" else -1
        if not depth:
            return match.end()
    return len(source)


def template_end(source: bytes, start: int) -> int:
    """Return where a template of JavaScript ends; without an end, the source's."""
    inside, position = [b"`"], start + 1
    while inside:
        match = (_TEXT if inside[-1] == b"`" else _CODE).search(source, position)
        if match is None:
            return len(source)
        found, position = match[0], match.end()
        if found == b"}" or found == inside[-1] == b"`":
            inside.pop()
        elif found in (b"`", b"{", b"${"):
            inside.append(found)
    return position
