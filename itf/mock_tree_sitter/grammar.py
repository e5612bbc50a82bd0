"""Node kinds and fields of a language: names to numbers and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["ERROR", "Grammar", "words"]

__unittest = True

ERROR: Final = 65535
"""Number of the node kind ``ERROR``, the same as in tree-sitter."""


class Grammar:
    """Node kinds and fields of one language.

    A kind is either named, which means a rule of the grammar such as
    ``identifier``, or a token such as ``def``.

    Attributes:
        name: Name of the language.
        kinds: Name of each kind, indexed by its number; number 0 is the end of the source.
        named: Whether each kind is named, indexed by its number.
        ids: Numbers of the named kinds, by name.
        token_ids: Numbers of the tokens, by text.
        fields: Name of each field, indexed by its number; number 0 means no field.
        field_ids: Numbers of the fields, by name.
        extras: Numbers of the kinds that are allowed anywhere, such as comments.

    Thread safety: immutable.
    """

    def __init__(
        self,
        name: str,
        *,
        kinds: Iterable[str],
        tokens: Iterable[str],
        fields: Iterable[str],
        extras: Iterable[str],
    ) -> None:
        self.name = name
        tokens, kinds = [*tokens], [*kinds]
        self.kinds = ["end", *tokens, *kinds]
        self.named = [False] * (len(tokens) + 1) + [True] * len(kinds)
        self.token_ids = {token: number for number, token in enumerate(tokens, 1)}
        self.ids = {kind: number for number, kind in enumerate(kinds, len(tokens) + 1)}
        self.ids["ERROR"] = ERROR
        self.fields = ["", *fields]
        self.field_ids = {field: number for number, field in enumerate(self.fields) if field}
        self.extras = frozenset(self.ids[extra] for extra in extras) | {ERROR}

    def kind(self, number: int) -> str:
        """Return the name of a kind."""
        return "ERROR" if number == ERROR else self.kinds[number]

    def is_named(self, number: int) -> bool:
        """Return whether a kind is a grammar rule, not a token."""
        return number == ERROR or self.named[number]


def words(text: str) -> list[str]:
    """Split a string of names, so that long lists need no quotes and commas."""
    return text.split()
