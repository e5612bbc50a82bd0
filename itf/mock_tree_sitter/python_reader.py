"""Base of the Python parser: current token, lookahead, error recovery, trampoline."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NamedTuple, TypeAlias

from itf.mock_tree_sitter.grammar import ERROR, words
from itf.mock_tree_sitter.python_grammar import PYTHON
from itf.mock_tree_sitter.python_lines import Comment, PythonLines
from itf.mock_tree_sitter.tree_builder import TreeBuilder

__all__ = ["NAMES", "PythonReader", "Steps", "UnexpectedSyntaxError", "run"]

__unittest = True

# Token kinds that can be an identifier: plain names and soft keywords.
NAMES: Final = frozenset({"identifier", "match", "type", "lazy", "print", "exec"})

# Node kind of each token kind.
_LEAVES: Final = (
    PYTHON.token_ids
    | {
        kind: PYTHON.ids[kind]
        for kind in words(
            "integer float true false none ellipsis string_start string_content string_end "
            "string_content type_conversion identifier"
        )
    }
    | dict.fromkeys(NAMES, PYTHON.ids["identifier"])
    | {"format:": PYTHON.token_ids[":"]}
)
# Tokens that are allowed anywhere; the reader skips them and adds them to the tree.
_EXTRAS: Final = frozenset({"comment", "line_continuation"})
# Tokens after a closing bracket that decide whether the brackets belong to a type.
_LOOKAHEAD: Final = 2
_MAY_BE_MISSING: Final = frozenset({":", ")", "]", "}"})
_OPENERS: Final = frozenset("([{")
_CLOSERS: Final = frozenset(")]}")
# Tokens before and after a slice's colon if the bound on that side is missing.
_BEFORE_COLON: Final = frozenset({"[", ",", ":"})
_AFTER_COLON: Final = frozenset({"]", ","})
# Tokens at which the parser inserts a missing token instead of making an ERROR.
_BROKEN_OFF_AT: Final = frozenset({"end", "string_end"})

# Parsing method as a generator.  It yields the generators of other methods to call
# them, receives what they return, and returns the number of the node that it made.
Steps: TypeAlias = Generator[Any, int, int]


class UnexpectedSyntaxError(Exception):
    """The grammar does not allow the current token here; caught inside the parser."""


def run(steps: Steps) -> int:
    """Run a parsing generator and all generators that it yields (a trampoline).

    The calling generators are in a list instead of on the interpreter's stack,
    so deeply nested source does not raise a RecursionError.
    """
    waiting: list[Steps] = []
    value: Any = None
    failure: UnexpectedSyntaxError | None = None
    while True:
        try:
            inner = steps.send(value) if failure is None else steps.throw(failure)
        except StopIteration as stop:
            if not waiting:
                return stop.value  # type: ignore[no-any-return]
            steps, value, failure = waiting.pop(), stop.value, None
        except UnexpectedSyntaxError as error:
            if not waiting:
                raise
            steps, failure = waiting.pop(), error
        else:
            waiting.append(steps)
            steps, value, failure = inner, None, None


class _BracketIndex(NamedTuple):
    """Index of the brackets in a logical line, by the index of the opening token."""

    closers: dict[int, int]  # index of the closing token
    open_slices: set[int]  # brackets that contain a slice without a bound, such as [a:]


class PythonReader:
    """Steps through the tokens of a source, and adds leaves to the tree.

    Attributes:
        kind: Kind of the current token, as in `Line`.
        line: Logical line of the current token.
        builder: Builder of the tree.

    Thread safety: use each instance from one thread.
    """

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.builder = TreeBuilder(source, PYTHON, "module")
        self._lines = PythonLines(source)
        self._line_comments: list[Comment] = []
        self.next_line()

    def next_line(self) -> None:
        """Advance to the next logical line."""
        line = self.line = self._lines.next_line()
        self._line_comments.extend(line.comments)
        self._kinds, self._starts, self._ends = line.kinds, line.starts, line.ends
        self._brackets: _BracketIndex | None = None
        self._at = -1
        self._advance()

    def end_line(self) -> None:
        """Add the comment at the end of this logical line, and advance to the next line."""
        self.builder.flush_extras()
        self.next_line()

    @property
    def is_over(self) -> bool:
        """Whether the source has no more tokens."""
        return len(self._kinds) == 1

    def _advance(self) -> None:
        kinds = self._kinds
        self._at += 1
        self.kind = kinds[self._at]
        while self.kind in _EXTRAS:
            self.builder.defer_extra(self.kind, self._starts[self._at], self._ends[self._at])
            self._at += 1
            self.kind = kinds[self._at]

    def shift(self) -> int:
        """Add the current token as a leaf, advance, and return the leaf's number."""
        at = self._at
        leaf = self.builder.leaf(_LEAVES[self.kind], self._starts[at], self._ends[at])
        # Fast path: usually the next token is not an extra.
        self._at = at + 1
        self.kind = self._kinds[at + 1]
        if self.kind in _EXTRAS:
            self._at = at
            self._advance()
        return leaf

    def skip(self) -> None:
        """Advance to the next token without adding the current one to the tree."""
        self._advance()

    def shift_keyword(self, text: str) -> int:
        """Add the current token, a soft keyword, as a keyword, and advance."""
        leaf = self.shift()
        self.builder.set_token_kind(leaf, text)
        return leaf

    def expect(self, kind: str) -> int:
        """Add the current token as a leaf if it is of the required kind, and advance.

        A missing ``:`` or closing bracket at the end of a line or a string is
        inserted as a missing node.

        Raises:
            UnexpectedSyntaxError: The current token is of another kind.
        """
        if self.kind == kind:
            return self.shift()
        if kind in _MAY_BE_MISSING and self.kind in _BROKEN_OFF_AT:
            return self.builder.missing(kind, self.builder.last_end())
        raise UnexpectedSyntaxError

    def identifier(self) -> int:
        """Add the current token as a leaf if it can be an identifier, and advance."""
        if self.kind not in NAMES:
            raise UnexpectedSyntaxError
        return self.shift()

    def text(self) -> bytes:
        """Return the text of the current token."""
        return self.source[self._starts[self._at] : self._ends[self._at]]

    def span(self) -> tuple[int, int]:
        """Return start and end offset of the current token."""
        return self._starts[self._at], self._ends[self._at]

    def peek(self, distance: int = 1) -> str:
        """Return the kind of a later token: 1 is the next one; extras are not counted."""
        kinds, at = self._kinds, self._at
        while distance and at + 1 < len(kinds):
            at += 1
            if kinds[at] not in _EXTRAS:
                distance -= 1
        return kinds[at]

    def ends_with(self, kind: str) -> bool:
        """Return whether the last token of the logical line is of this kind."""
        at = len(self._kinds) - 2
        while at > self._at and self._kinds[at] in _EXTRAS:
            at -= 1
        return self._kinds[at] == kind

    def after_brackets(self) -> list[str]:
        """Return the kinds of up to two tokens after the brackets that the next token opens."""
        return self._beyond(self._closer(self._next_opener()))

    def brackets(self) -> tuple[str, set[str]]:
        """Examine the brackets that the current token opens.

        Returns:
            Kind of the token after them, and the kinds of the tokens inside that
            are not in nested brackets.
        """
        closer = self._closer(self._at)
        inside, depth = set(), 0
        for kind in self._kinds[self._at + 1 : closer]:
            depth -= kind in _CLOSERS
            if depth == 0:
                inside.add(kind)
            depth += kind in _OPENERS
        return self._beyond(closer)[0], inside

    def has_open_slice(self) -> bool:
        """Return whether the brackets that the next token opens have an open slice: ``[a:]``."""
        return self._next_opener() in self._bracket_index().open_slices

    def _closer(self, opener: int) -> int:
        """Return the index of the closing bracket; the index of ``end`` if it is missing."""
        return self._bracket_index().closers.get(opener, len(self._kinds) - 1)

    def _next_opener(self) -> int:
        """Return the index of the next token, which is an opening bracket."""
        at = self._at + 1
        while self._kinds[at] in _EXTRAS:
            at += 1
        return at

    def _bracket_index(self) -> _BracketIndex:
        if self._brackets is None:
            # One pass for all brackets: a search for each takes quadratic time.
            self._brackets = _index_brackets(self._kinds)
        return self._brackets

    def _beyond(self, at: int) -> list[str]:
        """Return the kinds of up to two tokens after an index; ``end`` at the line's end."""
        found: list[str] = []
        while at + 1 < len(self._kinds) and len(found) < _LOOKAHEAD:
            at += 1
            if self._kinds[at] not in _EXTRAS:
                found.append(self._kinds[at])
        return found or ["end"]

    def shift_dots(self) -> None:
        """Add each dot of the current token as a leaf: the tokenizer joins ``...``."""
        start, end = self.span()
        for dot in range(start, end):
            self.builder.leaf(PYTHON.token_ids["."], dot, dot + 1)
        self.skip()

    def flush_comments(self, indent: int | None = None) -> None:
        """Add the comments on lines of their own before this line to the tree.

        Args:
            indent: Indentation of the current block; None outside of blocks.  If
                the block ends before this line, the first comment that is
                indented less, and all after it, stay for the enclosing block.
        """
        comments = self._line_comments
        ends = indent is not None and (self.is_over or self.line.indent < indent)
        taken = 0
        for comment in comments:
            if ends and indent is not None and comment.indent < indent:
                break
            self.builder.defer_extra("comment", comment.start, comment.end)
            taken += 1
        del comments[:taken]
        self.builder.flush_extras()

    def recover(self, low: int) -> None:
        """Put all nodes since a mark and the rest of the logical line into an ERROR node."""
        builder = self.builder
        while self.kind != "end":
            if self.kind in _LEAVES:
                self.shift()
            else:
                # A `stray` token, which has no node kind.
                builder.leaf(ERROR, *self.span())
                self.skip()
        for node in builder.roots(low):
            builder.clear_field(node)
        builder.node("ERROR", low)


def _index_brackets(kinds: list[str]) -> _BracketIndex:
    """Find pairs of brackets and open slices in a line; an unclosed bracket gets no pair."""
    found = _BracketIndex({}, set())
    waiting: list[int] = []
    # Number of open brackets at each `lambda` whose colon is still to come.
    lambdas: list[int] = []
    last = ""
    for at, kind in enumerate(kinds):
        if kind in _EXTRAS:
            continue
        if kind == ":" and lambdas[-1:] == [len(waiting)]:
            lambdas.pop()
        elif waiting and (
            (kind == ":" and last in _BEFORE_COLON) or (kind in _AFTER_COLON and last == ":")
        ):
            found.open_slices.add(waiting[-1])
        if kind == "lambda":
            lambdas.append(len(waiting))
        elif kind in _OPENERS:
            waiting.append(at)
        elif kind in _CLOSERS and waiting:
            found.closers[waiting.pop()] = at
        last = kind
    return found
