"""The lines of C's preprocessor, as tree-sitter-c's nodes."""

from __future__ import annotations

import re
from typing import Final

from itf.mock_tree_sitter.tree_builder import TreeBuilder

__all__ = ["directive"]

__unittest = True

_INCLUDED: Final = re.compile(rb"(#[ \t]*+include\b)[ \t]*+(\"[^\"\n]*+\"?|<[^>\n]*+>?)?")
_DEFINED: Final = re.compile(rb"(#[ \t]*+define\b)[ \t]*+(\w+)?")
_LINE_END: Final = re.compile(rb"(?:\r?\n)?")
_OTHER: Final = re.compile(rb"(#[ \t]*+\w++)")


def directive(builder: TreeBuilder, source: bytes, start: int, end: int) -> None:
    """Make a node of a line of C's preprocessor."""
    ids, tokens = builder.grammar.ids, builder.grammar.token_ids
    low = builder.mark()
    end = start + len(source[start:end].rstrip())
    # tree-sitter-c has the end of the line in it, unless a comment comes before.
    stop = _LINE_END.match(source, end).end()  # type: ignore[union-attr]
    include = _INCLUDED.match(source, start, end)
    define = _DEFINED.match(source, start, end)
    if include is not None:
        builder.leaf(tokens["#include"], *include.span(1))
        if include[2]:
            kind = "string_literal" if include[2][:1] == b'"' else "system_lib_string"
            builder.set_field(builder.leaf(ids[kind], *include.span(2)), "path")
        builder.span("preproc_include", low, start, stop)
        return
    if define is not None and define[2]:
        builder.leaf(tokens["#define"], *define.span(1))
        builder.set_field(builder.leaf(ids["identifier"], *define.span(2)), "name")
        after = define.end(2)
        # With parentheses right behind its name it is a function.
        function = source[after : after + 1] == b"("
        kind = "preproc_function_def" if function else "preproc_def"
    else:
        other = _OTHER.match(source, start, end)
        after = other.end() if other else end
        builder.leaf(ids["preproc_directive"], start, after)
        kind = "preproc_call"
    rest = len(source[after:end].lstrip())
    if rest:
        builder.leaf(ids["preproc_arg"], end - rest, end)
    builder.span(kind, low, start, stop)
