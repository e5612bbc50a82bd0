"""Regular expressions and keywords of the Python tokenizer."""

from __future__ import annotations

import re
from typing import Final

from itf.mock_tree_sitter.grammar import words

__all__ = [
    "BEGINS_STATEMENT",
    "BODIES",
    "COMMENT",
    "CONTINUATION",
    "CONVERSION",
    "FORMATS",
    "HAS_FIELDS",
    "INDENT",
    "JOINED",
    "KEYWORDS",
    "NEWLINE",
    "NUMBER",
    "OPERATOR",
    "REAL",
    "STRING",
    "TAB_WIDTH",
    "TEXTS",
    "TOKEN",
    "WORD",
]

KEYWORDS: Final = {
    word.encode(): word
    for word in words(
        "and as assert async await break class continue def del elif else except finally for from "
        "global if import in is lambda nonlocal not or pass raise return try while with yield "
        # Soft keywords; the parser decides whether they are keywords or names.
        "match type lazy print exec"
    )
} | {b"None": "none", b"True": "true", b"False": "false"}

# White space between tokens.  As in tree-sitter-python, it includes the byte order
# mark, the word joiner and the zero-width space.
_SPACE: Final = rb"(?:[ \t\r\f\v]|\xef\xbb\xbf|\xe2\x81\xa0|\xe2\x80\x8b)*+"
INDENT: Final = re.compile(_SPACE)
JOINED: Final = re.compile(rb"\\\r?\n")
# Columns of indentation per tab, as in tree-sitter-python.
TAB_WIDTH: Final = 8

STRING, WORD, NUMBER, OPERATOR, NEWLINE, COMMENT, CONTINUATION = range(1, 8)
TOKEN: Final = re.compile(
    _SPACE + rb"(?:"
    # Strings must be tried before words, because a prefix such as f looks like a word.
    # A word can contain bytes above 127: they are part of a non-ASCII letter.
    rb"([rRuUbBfFtT]{0,2}(?:'''|\"\"\"|'|\"))"
    rb"|([A-Za-z_\x80-\xff][\w\x80-\xff]*)"
    rb"|(0[xX][\da-fA-F_]+[lL]?|0[oO][0-7_]+[lL]?|0[bB][01_]+[lL]?"
    rb"|(?:\d[\d_]*(?:\.(?:\d[\d_]*)?)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?[jJlL]?)"
    rb"|(\.\.\.|\*\*=?|//=?|>>=?|<<=?|->|:=|[-+*/%@&|^=!<>]=|<>|[-+*/%@&|^=<>~.,:;()\[\]{}])"
    rb"|(\n|\Z)"
    rb"|(#)"
    rb"|(" + JOINED.pattern + rb")"
    rb"|([\s\S]))"
)
REAL: Final = re.compile(rb"[\d_]*(?:\.|[eE])")

# Matches inside a plain string, by quote.  The group is the end of the string: the
# closing quote, or the line end in a string that is not triple-quoted.
BODIES: Final = {
    b"'": re.compile(rb"\\[\s\S]|('|\n)"),
    b'"': re.compile(rb'\\[\s\S]|("|\n)'),
    b"'''": re.compile(rb"\\[\s\S]|(''')"),
    b'"""': re.compile(rb'\\[\s\S]|(""")'),
}
# Matches inside the text of an f-string, by quote.  The group is the end of the piece
# of text: a brace, the closing quote, or the line end.  Backslashes do not escape braces.
_ESCAPED: Final = rb"\\N\{[^{}\n'\"]*\}|\\[^{}]|\{\{|\}\}"
TEXTS: Final = {
    b"'": re.compile(_ESCAPED + rb"|([{}'\n])"),
    b'"': re.compile(_ESCAPED + rb'|([{}"\n])'),
    b"'''": re.compile(_ESCAPED + rb"|([{}]|''')"),
    b'"""': re.compile(_ESCAPED + rb'|([{}]|""")'),
}
# Matches inside the format specifier of a replacement field, by quote.  The group is
# its end: a brace, the closing quote, or the line end.
FORMATS: Final = {
    b"'": re.compile(rb"([{}\n'])"),
    b'"': re.compile(rb'([{}\n"])'),
    b"'''": re.compile(rb"([{}]|''')"),
    b'"""': re.compile(rb'([{}]|""")'),
}
HAS_FIELDS: Final = re.compile(rb"[fFtT]")
CONVERSION: Final = re.compile(rb"![A-Za-z]+")

# Error recovery: if a line inside brackets begins with such a keyword, a closing
# bracket is missing.  The logical line ends there, so that the rest is parsed normally.
BEGINS_STATEMENT: Final = re.compile(
    rb"[ \t]*+(?:(?:def|class|return|while|with|try|raise|assert|del|pass|break|continue|global"
    rb"|nonlocal|import|except|finally|elif)\b|async[ \t]+(?:def|with)\b"
    rb"|lazy[ \t]+(?:import|from)\b)"
)
