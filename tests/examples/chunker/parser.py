"""From bytes to a tree of definitions and statements, named as tree-sitter-python names them.

The parser can be replaced. ``parse(code)`` of another one must return an object with a
``root_node``; of each node the program reads ``type``, ``start_byte``, ``end_byte``,
``start_point`` (row and column, from 0) and ``children``, and nothing else. A definition's name
is the text of its first child of type ``identifier``.
"""

from __future__ import annotations

import ast
import codecs
import io
import os
import re
import threading
import tokenize
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from .config import Config, get
from .errors import ConfigError, ParseError, ReadError

__all__ = ["AstParser", "Node", "Parser", "Source", "parse", "read_source"]

_DEFINITION_NAME: Final = re.compile(rb"(?:async[ \t]+)?(?:def|class)[ \t]+([^\s\\(:\[]+)")

# Held while ast parses: CPython 3.11 counts the depth of the tree in one place for all threads, and
# raises SystemError when two of them parse at once. Held over a fork: the child finds it free.
_ast_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_ast_lock.acquire,
        after_in_parent=_ast_lock.release,
        after_in_child=_ast_lock.release,
    )

# Where ast and tree-sitter differ by more than CamelCase against snake_case_statement.
_NODE_TYPES: Final = {
    ast.FunctionDef: "function_definition",
    ast.AsyncFunctionDef: "function_definition",
    ast.ClassDef: "class_definition",
    ast.Assign: "expression_statement",
    ast.AnnAssign: "expression_statement",
    ast.AugAssign: "expression_statement",
    ast.Expr: "expression_statement",
    ast.AsyncFor: "for_statement",
    ast.AsyncWith: "with_statement",
    ast.TryStar: "try_statement",
}


class Node(Protocol):
    """What is read of a node."""

    @property
    def type(self) -> str: ...
    @property
    def start_byte(self) -> int: ...
    @property
    def end_byte(self) -> int: ...
    @property
    def start_point(self) -> tuple[int, int]: ...
    @property
    def children(self) -> Sequence[Node]: ...


class Parser(Protocol):
    """Anything that makes a tree of source code. It may raise any ``Exception``."""

    def parse(self, code: bytes, /) -> object: ...


class _Tree(Protocol):
    @property
    def root_node(self) -> Node: ...


@dataclass(frozen=True, slots=True)
class SyntaxNode:
    """A node of our own tree."""

    type: str
    start_byte: int
    end_byte: int
    start_point: tuple[int, int]
    end_point: tuple[int, int]
    children: tuple[SyntaxNode, ...] = ()


@dataclass(frozen=True, slots=True)
class SyntaxTree:
    """What ``AstParser.parse`` returns."""

    root_node: SyntaxNode


@dataclass(frozen=True, slots=True)
class Text:
    """Source code as text, with the byte at which each of its lines starts."""

    lines: list[str]
    line_starts: list[int]
    encoding: str


@dataclass(frozen=True, slots=True)
class Source:
    """A source file, read and parsed."""

    path: str
    code: bytes
    text: Text
    root: Node


def read_source(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file.

    Raises:
        ReadError: The file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ReadError(os.fspath(path), str(error)) from error


def parse(
    code: bytes, config: Config, *, path: str = "<source>", parser: Parser | None = None
) -> Source:
    """Decode and parse one file's source code.

    Raises:
        ParseError: Whatever was wrong with the code, or whatever the parser raised, as the cause.
        ConfigError: ``parser.encoding`` is not allowed.
    """
    chosen = AstParser(config) if parser is None else parser
    try:
        text = _decode(code, get(config, "parser.encoding"))
        root = cast(_Tree, chosen.parse(code)).root_node
    except ConfigError:
        raise  # not this file's fault
    except Exception as error:  # a parser that was put in may raise anything, and must be located
        reason, line, column = _describe(error, code)
        raise ParseError(path, reason, line, column) from error
    return Source(path, code, text, root)


class AstParser:
    """The parser on the standard library's ``ast``.

    It raises what ``ast.parse`` and the codecs raise: SyntaxError, ValueError, RecursionError.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def parse(self, code: bytes, /) -> SyntaxTree:
        """Return the tree of all statements."""
        text = _decode(code, get(self._config, "parser.encoding"))
        with _ast_lock:
            module = ast.parse("".join(text.lines))
        return SyntaxTree(_TreeBuilder(code, text).build(module))


class _TreeBuilder:
    """Turns ast's statements into nodes, and its positions into bytes of the file.

    ast counts columns in UTF-8 without the BOM, whatever the file's encoding is.
    """

    def __init__(self, code: bytes, text: Text) -> None:
        self._code = code
        self._text = text
        self._bom_size = len(codecs.BOM_UTF8) if code.startswith(codecs.BOM_UTF8) else 0

    def build(self, module: ast.Module) -> SyntaxNode:
        last = max(0, len(self._text.line_starts) - 1)
        size = len(self._code)
        end = (last, size - self._text.line_starts[last] if size else 0)
        return SyntaxNode("module", 0, size, (0, 0), end, self._statements(module))

    def _statements(self, parent: ast.AST) -> tuple[SyntaxNode, ...]:
        return tuple(self._statement(child) for child in _child_statements(parent))

    def _statement(self, statement: ast.stmt) -> SyntaxNode:
        begin = self._place(statement.lineno, statement.col_offset)
        end = self._place(
            statement.end_lineno or statement.lineno,
            statement.end_col_offset or statement.col_offset,
        )
        children = self._statements(statement)
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return self._node(_node_type(statement), begin, end, children)
        children = (*self._name(begin), *children)
        definition = self._node(_node_type(statement), begin, end, children)
        if not statement.decorator_list:
            return definition
        first = statement.decorator_list[0]
        # ast begins a decorator after its "@", and even after an opening parenthesis.
        row, column = self._place(first.lineno, first.col_offset)
        at = max(0, self._code.rfind(b"@", 0, self._text.line_starts[row] + column))
        row = bisect_right(self._text.line_starts, at) - 1
        begin = (row, at - self._text.line_starts[row])
        return self._node("decorated_definition", begin, end, (definition,))

    def _name(self, begin: tuple[int, int]) -> Iterator[SyntaxNode]:
        start = self._text.line_starts[begin[0]]
        match = _DEFINITION_NAME.match(self._code, start + begin[1])
        if match is not None:
            row = begin[0]
            first, last = (row, match.start(1) - start), (row, match.end(1) - start)
            yield self._node("identifier", first, last, ())

    def _node(
        self,
        kind: str,
        begin: tuple[int, int],
        end: tuple[int, int],
        children: tuple[SyntaxNode, ...],
    ) -> SyntaxNode:
        starts = self._text.line_starts
        return SyntaxNode(
            kind, starts[begin[0]] + begin[1], starts[end[0]] + end[1], begin, end, children
        )

    def _place(self, line: int, column: int) -> tuple[int, int]:
        """Turn ast's line and column into a row and a column in bytes of the file."""
        if self._text.encoding not in ("utf-8", "utf-8-sig"):
            before = self._text.lines[line - 1].encode("utf-8")[:column].decode("utf-8")
            column = len(before.encode(self._text.encoding))
        return line - 1, column + (self._bom_size if line == 1 else 0)


def _child_statements(parent: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements right below a node, also those of its handlers and cases."""
    for child in ast.iter_child_nodes(parent):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            yield from _child_statements(child)


def _node_type(statement: ast.stmt) -> str:
    known = _NODE_TYPES.get(type(statement))
    if known is not None:
        return known
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(statement).__name__).lower() + "_statement"


def _decode(code: bytes, encoding: str) -> Text:
    """Decode source code and split it where Python ends a line: LF, CRLF or CR, nothing else.

    Raises:
        SyntaxError: The declared encoding is unknown.
        ValueError: The bytes are not in the encoding, or it moves the ends of lines.
    """
    if encoding == "auto":
        encoding, _ = tokenize.detect_encoding(io.BytesIO(code).readline)
    elif codecs.lookup(encoding).name == "utf-8" and code.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    lines = list(io.StringIO(code.decode(encoding), newline=""))
    starts = [0]
    for line in code.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    if len(starts) - 1 != len(lines):
        message = f"{encoding} makes {len(lines)} lines of {len(starts) - 1} lines of bytes"
        raise ValueError(message)
    return Text(lines, starts[:-1] or [0], encoding)


def _describe(error: Exception, code: bytes) -> tuple[str, int | None, int | None]:
    """Return what was wrong, and the line and column, from 1, where it was, if that is known."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.msg, error.lineno, error.offset or None
    if isinstance(error, UnicodeDecodeError):
        return str(error), *_position(error.object, error.start)
    # Some, such as MemoryError, say nothing but their name.
    return f"{type(error).__name__}: {error}".removesuffix(": "), None, None


def _position(code: bytes, offset: int) -> tuple[int, int]:
    lines = (code[:offset] + b".").splitlines()
    return len(lines), len(lines[-1])
