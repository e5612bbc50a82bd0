"""The kinds of nodes and the fields of a language, by name and by number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["ERROR", "Grammar", "words"]

__unittest = True

ERROR: Final = 65535
"""The number of the kind ``ERROR``; tree-sitter's, too."""


class Grammar:
    """What nodes of one language may be.

    Attributes:
        name: The language's name.
        kinds: The name of each kind, by its number; 0 is the end of the source.
        named: Whether each kind is a rule of the grammar, by its number; else
            it is a piece of text such as ``def``.
        ids: The numbers of the kinds that are named.
        token_ids: The numbers of the others.
        fields: The name of each field, by its number; 0 is none.
        field_ids: The number of each field.
        extras: The numbers of the kinds that may stand anywhere.

    Thread safety: it never changes.
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
        """Say whether a kind is named."""
        return number == ERROR or self.named[number]

    def number(self, kind: str) -> int:
        """Return the number of a kind; if there is one of a rule and one of a text, the rule's.

        Raises:
            KeyError: There is no such kind.
        """
        found = self.ids.get(kind)
        return self.token_ids[kind] if found is None else found


def words(text: str) -> list[str]:
    """Return the words of a text: lists of names are easier to read without quotes."""
    return text.split()
