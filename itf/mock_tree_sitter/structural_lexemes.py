"""End of nested lexemes (block comments of Rust, templates of JavaScript).

A regular expression cannot find the end, because such lexemes contain lexemes of the
same kind.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["comment_end", "template_end"]

__unittest = True

_COMMENT_ENDS: Final = re.compile(rb"/\*|\*/")

# Matches that matter in the text of a template, and in the code between ${ and }.
_TEXT: Final = re.compile(rb"\\[\s\S]|`|\$\{")
_CODE: Final = re.compile(
    rb"[`{}]|'(?:[^'\\\n]|\\[\s\S])*+'?|\"(?:[^\"\\\n]|\\[\s\S])*+\"?"
    rb"|//[^\r\n]*+|/\*[\s\S]*?(?:\*/|\Z)"
)


def comment_end(source: bytes, start: int) -> int:
    """Return the end of a block comment that can contain block comments.

    For a comment that is not closed, return the end of the source.
    """
    depth = 0
    for match in _COMMENT_ENDS.finditer(source, start):
        depth += 1 if match[0] == b"/*" else -1
        if not depth:
            return match.end()
    return len(source)


def template_end(source: bytes, start: int) -> int:
    """Return the end of a JavaScript template string, or of the source if it is not closed."""
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
