"""Source text in each of the four languages: valid units, valid lines, and syntax errors."""

from __future__ import annotations

from typing import Final

__all__ = [
    "EXPRESSION_LINES",
    "LANGUAGES",
    "STRING_LINES",
    "SUFFIXES",
    "SYNTAX_ERRORS",
    "TABS_AND_SPACES",
    "UNITS",
]

SUFFIXES: Final = {"python": ".py", "javascript": ".js", "rust": ".rs", "c": ".c"}
"""File name suffix of each language."""

LANGUAGES: Final = tuple(SUFFIXES)
"""Names of the languages."""

UNITS: Final[dict[str, dict[str, str]]] = {
    "function": {
        "python": "def function_{n}(value):\n    return value + {n}\n\n\n",
        "javascript": "function function_{n}(value) {\n  return value + {n};\n}\n\n",
        "rust": "pub fn function_{n}(value: i64) -> i64 {\n    value + {n}\n}\n\n",
        "c": "long function_{n}(long value)\n{\n    return value + {n};\n}\n\n",
    },
    "class": {
        "python": "class Class{n}:\n    number = {n}\n\n\n",
        "javascript": "class Class{n} {\n  number() {\n    return {n};\n  }\n}\n\n",
        "rust": "pub struct Struct{n};\n\npub const NUMBER_OF_STRUCT{n}: i64 = {n};\n\n",
        "c": "struct struct_{n} {\n    char member[{n} + 1];\n};\n\n",
    },
}
"""Template for `NumberedUnits` by pattern and language.

Any number of its units in one file is valid.
"""

STRING_LINES: Final[dict[str, bytes]] = {
    "python": b'name = "%s"\n',
    "javascript": b'const name = "%s";\n',
    "rust": b'pub const NAME: &str = "%s";\n',
    "c": b'const char *name = "%s";\n',
}
"""Valid line with a string literal; ``%s`` is its content.  Not a comment, which parsers skip."""

EXPRESSION_LINES: Final[dict[str, bytes]] = {
    "python": b"value = %s\n",
    "javascript": b"const value = %s;\n",
    "rust": b"pub const VALUE: i64 = %s;\n",
    "c": b"const long value = %s;\n",
}
"""Valid line with an expression; ``%s`` is the expression."""

SYNTAX_ERRORS: Final[dict[str, bytes]] = {
    "python": b"def broken(:\n    return 1\n",
    "javascript": b"function broken( {\n  return 1;\n",
    "rust": b"fn broken( -> i32 {\n    1\n",
    "c": b"int broken( {\n    return 1;\n",
}
"""Text in UTF-8 that the language's parser refuses."""

TABS_AND_SPACES: Final[dict[str, bytes]] = {
    "python": b"def mixed(value):\n    if value:\n\treturn value\n    return 0\n",
    "javascript": b"function mixed(value) {\n    if (value)\n\treturn value;\n    return 0;\n}\n",
    "rust": (
        b"pub fn mixed(value: i64) -> i64 {\n    if value > 0 {\n\treturn value;\n    }\n    0\n}\n"
    ),
    "c": b"long mixed(long value)\n{\n    if (value)\n\treturn value;\n    return 0;\n}\n",
}
"""Function with one line indented by a tab among lines indented by spaces."""
