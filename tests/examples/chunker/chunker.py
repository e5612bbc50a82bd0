"""From a tree to chunks: which lines of a file belong together.

A file is cut into spans that follow one another, so that no line is lost and none is doubled.
Each span has one of four kinds. With "module" among ``chunker.chunk_types`` the chunks of a file
are all of its lines; without it, what no definition holds is left out.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from .config import Config, get
from .parser import Node, Parser, Source, parse

__all__ = ["Chunk", "chunk_source", "miscovered_lines"]

_DECORATED: Final = "decorated_definition"
_KINDS: Final = {"function_definition": "function", "class_definition": "class"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole lines of a file, from ``start_line`` to ``end_line``, both included, from 1.

    ``part`` counts the pieces of what was longer than ``chunker.max_lines``, from 1.
    """

    path: str
    kind: str
    name: str
    start_line: int
    end_line: int
    text: str
    digest: str
    part: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Owner:
    """What a line belongs to; two functions of the same name are two owners."""

    kind: str
    name: str


def chunk_source(
    code: bytes, config: Config, *, path: str = "<source>", parser: Parser | None = None
) -> list[Chunk]:
    """Split source code into chunks, in the order of its lines.

    Example:
        >>> [(c.kind, c.name) for c in chunk_source(b"import os\\ndef f(): pass\\n", {})]
        [('module', '<module>'), ('function', 'f')]

    Raises:
        ParseError: The code cannot be parsed.
        ConfigError: A value of the configuration is not allowed.
    """
    source = parse(code, config, path=path, parser=parser)
    kinds = frozenset(get(config, "chunker.chunk_types"))
    most = get(config, "chunker.max_lines")
    cutter = _Cutter(source, kinds, get(config, "chunker.min_lines"))
    chunks = []
    for owner, begin, end in cutter.spans():
        if owner.kind not in kinds:
            continue
        for part, first in enumerate(range(begin, end, most), 1):
            last = min(first + most, end)
            text = "".join(source.text.lines[first:last])
            # A codec such as utf-7 may make lone surrogates; they need a digest as well.
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            chunks.append(Chunk(path, owner.kind, owner.name, first + 1, last, text, digest, part))
    return chunks


def miscovered_lines(chunks: Iterable[Chunk], line_count: int) -> list[int]:
    """Return the lines, from 1, that are not in exactly one of a file's chunks."""
    times = Counter(n for chunk in chunks for n in range(chunk.start_line, chunk.end_line + 1))
    return sorted(n for n in times.keys() | set(range(1, line_count + 1)) if times[n] != 1)


class _Cutter:
    """Finds the spans of a file.

    Only where a span begins is stored; it ends where the next one begins.
    """

    def __init__(self, source: Source, kinds: frozenset[str], min_lines: int) -> None:
        self._source = source
        self._kinds = kinds
        self._min_lines = min_lines
        self._begins: list[tuple[int, _Owner]] = []

    def spans(self) -> Iterator[tuple[_Owner, int, int]]:
        """Yield owner, first line and line after the last, from 0."""
        count = len(self._source.text.lines)
        module = _Owner("module", "<module>")
        self._cut(self._source.root, 0, count, module, prefix="")
        if not self._begins and count:
            self._begins.append((0, module))  # nothing but blank lines
        for index, (begin, owner) in enumerate(self._begins):
            after = index + 1
            end = self._begins[after][0] if after < len(self._begins) else count
            yield owner, begin if index else 0, end

    def _cut(self, node: Node, begin: int, end: int, owner: _Owner, prefix: str) -> None:
        """Give the lines of a node to the definitions in it, and what is left to the owner."""
        done = begin
        for whole, definition in _definitions(node):
            first, last = _lines_of(self._source, whole)
            first, last = max(first, done), min(last, end)
            if last - first < self._min_lines:
                continue  # too short to stand alone, or a mock's node that is out of place
            kind = _KINDS[definition.type]
            name = prefix + _name_of(self._source, definition, kind)
            if kind == "class":
                self._fill(done, first, owner)
                inner = _Owner(kind, name) if kind in self._kinds else owner
                self._cut(definition, first, last, inner, prefix=f"{name}.")
            elif (kind := "method" if prefix else kind) in self._kinds:
                self._fill(done, first, owner)
                self._begins.append((first, _Owner(kind, name)))
            else:
                continue
            done = last
        self._fill(done, end, owner)

    def _fill(self, begin: int, end: int, owner: _Owner) -> None:
        """Begin a span between two definitions; blank lines alone stay with the span before."""
        if not "".join(self._source.text.lines[begin:end]).strip():
            return
        if not self._begins or self._begins[-1][1] is not owner:
            self._begins.append((begin, owner))


def _definitions(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the outermost definitions below a node: with their decorators, and without."""
    todo = list(reversed(node.children))
    while todo:
        whole = todo.pop()
        inner = whole
        if whole.type == _DECORATED:
            inner = next((child for child in whole.children if child.type in _KINDS), whole)
        if inner.type in _KINDS:
            yield whole, inner
        else:
            todo.extend(reversed(whole.children))


def _lines_of(source: Source, node: Node) -> tuple[int, int]:
    """Return a node's first line and the line after its last, from 0."""
    last_byte = max(node.start_byte, node.end_byte - 1)
    return node.start_point[0], bisect_right(source.text.line_starts, last_byte)


def _name_of(source: Source, definition: Node, kind: str) -> str:
    for child in definition.children:
        if child.type == "identifier":
            name = source.code[child.start_byte : child.end_byte]
            return name.decode(source.text.encoding, "replace")
    return f"<{kind}>"
