"""Reading the tokens of Python source, one at a time, with one to look at."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NamedTuple, TypeAlias

from itf.mock_tree_sitter.grammar import ERROR, words
from itf.mock_tree_sitter.python_grammar import PYTHON
from itf.mock_tree_sitter.python_lines import Comment, PythonLines
from itf.mock_tree_sitter.tree_builder import TreeBuilder

__all__ = ["NAMES", "PythonReader", "Steps", "UnexpectedSyntaxError", "run"]

__unittest = True

# Names, also those that are keywords in some places only.
NAMES: Final = frozenset({"identifier", "match", "type", "lazy", "print", "exec"})

# The number of the kind of node that each token becomes.
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
# What is put down in passing, wherever it stands.
_EXTRAS: Final = frozenset({"comment", "line_continuation"})
# How many tokens tell whether brackets are a type's.
_LOOKAHEAD: Final = 2
_MAY_BE_MISSING: Final = frozenset({":", ")", "]", "}"})
_OPENERS: Final = frozenset("([{")
_CLOSERS: Final = frozenset(")]}")
# What a slice's colon follows, or is followed by, where a bound is missing.
_BEFORE_COLON: Final = frozenset({"[", ",", ":"})
_AFTER_COLON: Final = frozenset({"]", ","})
# Where something ends that should have been closed before.
_BROKEN_OFF_AT: Final = frozenset({"end", "string_end"})

# A part of the parser: it yields other parts that are to be run before it goes
# on, is sent what they return, and returns the number of the node it made.
Steps: TypeAlias = Generator[Any, int, int]


class UnexpectedSyntaxError(Exception):
    """What stands here cannot stand here; never seen outside the parser."""


def run(steps: Steps) -> int:
    """Run a part of the parser, and all parts that it asks for.

    Those that wait for others stand in a list, not on the interpreter's stack:
    a source may be nested as deeply as it likes.
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
    """What is known of the brackets of a logical line, by the index of the opening one."""

    closers: dict[int, int]
    open_slices: set[int]  # those with a slice that lacks a bound


class PythonReader:
    """The current token, what comes after it, and what has been made of those before.

    Attributes:
        kind: What the current token is, in `PythonLines`' words.
        line: The logical line that it stands on.
        builder: Where the nodes go.

    Thread safety: one thread.
    """

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.builder = TreeBuilder(source, PYTHON, "module")
        self._lines = PythonLines(source)
        self._line_comments: list[Comment] = []
        self.next_line()

    def next_line(self) -> None:
        """Go on to the next logical line."""
        line = self.line = self._lines.next_line()
        self._line_comments.extend(line.comments)
        self._kinds, self._starts, self._ends = line.kinds, line.starts, line.ends
        self._brackets: _BracketIndex | None = None
        self._at = -1
        self._advance()

    def end_line(self) -> None:
        """Go on to the next logical line; what waits at the end of this one lies there."""
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
        """Make a leaf of the current token, and return its number."""
        at = self._at
        leaf = self.builder.leaf(_LEAVES[self.kind], self._starts[at], self._ends[at])
        # Most tokens are followed by one that counts; then this is all.
        self._at = at + 1
        self.kind = self._kinds[at + 1]
        if self.kind in _EXTRAS:
            self._at = at
            self._advance()
        return leaf

    def skip(self) -> None:
        """Go on to the next token without making a leaf of this one."""
        self._advance()

    def shift_keyword(self, text: str) -> int:
        """Make a leaf of a name that is a keyword here."""
        leaf = self.shift()
        self.builder.set_token_kind(leaf, text)
        return leaf

    def expect(self, kind: str) -> int:
        """Make a leaf of the current token, which is to be this one.

        Raises:
            UnexpectedSyntaxError: It is another, and this one is not just missing where
                something ends.
        """
        if self.kind == kind:
            return self.shift()
        if kind in _MAY_BE_MISSING and self.kind in _BROKEN_OFF_AT:
            return self.builder.missing(kind, self.builder.last_end())
        raise UnexpectedSyntaxError

    def identifier(self) -> int:
        """Make a leaf of the current token, which is to be a name."""
        if self.kind not in NAMES:
            raise UnexpectedSyntaxError
        return self.shift()

    def text(self) -> bytes:
        """Return the source of the current token."""
        return self.source[self._starts[self._at] : self._ends[self._at]]

    def span(self) -> tuple[int, int]:
        """Return where the current token begins and ends."""
        return self._starts[self._at], self._ends[self._at]

    def peek(self, distance: int = 1) -> str:
        """Return the kind of the token after the current one, or after that."""
        kinds, at = self._kinds, self._at
        while distance and at + 1 < len(kinds):
            at += 1
            if kinds[at] not in _EXTRAS:
                distance -= 1
        return kinds[at]

    def ends_with(self, kind: str) -> bool:
        """Say whether the last token of the logical line is this one."""
        at = len(self._kinds) - 2
        while at > self._at and self._kinds[at] in _EXTRAS:
            at -= 1
        return self._kinds[at] == kind

    def after_brackets(self) -> list[str]:
        """Return the kinds of up to two tokens after the brackets that open next."""
        return self._beyond(self._closer(self._next_opener()))

    def brackets(self) -> tuple[str, set[str]]:
        """Return the token after the brackets that open here, and those right inside them."""
        closer = self._closer(self._at)
        inside, depth = set(), 0
        for kind in self._kinds[self._at + 1 : closer]:
            depth -= kind in _CLOSERS
            if depth == 0:
                inside.add(kind)
            depth += kind in _OPENERS
        return self._beyond(closer)[0], inside

    def has_open_slice(self) -> bool:
        """Say whether a slice in the brackets that open next lacks a bound: ``[:]``, ``[a:]``."""
        return self._next_opener() in self._bracket_index().open_slices

    def _closer(self, opener: int) -> int:
        """Return where the brackets close that open at some place; if nowhere, the line's end."""
        return self._bracket_index().closers.get(opener, len(self._kinds) - 1)

    def _next_opener(self) -> int:
        """Return where the bracket after the current token is."""
        at = self._at + 1
        while self._kinds[at] in _EXTRAS:
            at += 1
        return at

    def _bracket_index(self) -> _BracketIndex:
        if self._brackets is None:
            # All at once: to look for each would take the square of their number.
            self._brackets = _index_brackets(self._kinds)
        return self._brackets

    def _beyond(self, at: int) -> list[str]:
        """Return the kinds of up to two tokens after some place; at the line's end, ``end``."""
        found: list[str] = []
        while at + 1 < len(self._kinds) and len(found) < _LOOKAHEAD:
            at += 1
            if self._kinds[at] not in _EXTRAS:
                found.append(self._kinds[at])
        return found or ["end"]

    def shift_dots(self) -> None:
        """Make a leaf of each dot of the current token."""
        start, end = self.span()
        for dot in range(start, end):
            self.builder.leaf(PYTHON.token_ids["."], dot, dot + 1)
        self.skip()

    def flush_comments(self, indent: int | None = None) -> None:
        """Put down the comments that stand on lines of their own before this line.

        Args:
            indent: Of the block that they may belong to: if it ends here, those
                from the first on that is less far to the right do not.
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
        """Make an ERROR of all from a mark on, up to the end of the line."""
        builder = self.builder
        while self.kind != "end":
            if self.kind in _LEAVES:
                self.shift()
            else:
                # Not a token of Python's.
                builder.leaf(ERROR, *self.span())
                self.skip()
        for node in builder.roots(low):
            builder.clear_field(node)
        builder.node("ERROR", low)


def _index_brackets(kinds: list[str]) -> _BracketIndex:
    """Return what is known of a line's brackets; broken ones have no closing one."""
    found = _BracketIndex({}, set())
    waiting: list[int] = []
    lambdas: list[int] = []  # of each that has no colon yet, how many brackets are open
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
