"""Nodes for the preprocessor lines of C, with the names of tree-sitter-c."""

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
    """Add the node of a preprocessor line, such as ``#include <a.h>``."""
    ids, tokens = builder.grammar.ids, builder.grammar.token_ids
    low = builder.mark()
    end = start + len(source[start:end].rstrip())
    # tree-sitter-c includes the line end in the node, unless a comment precedes it.
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
        # A macro is function-like only if no space separates name and parenthesis.
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
