"""A language that sources may be in."""

from __future__ import annotations

from itf.mock_tree_sitter.grammar import ERROR, Grammar
from itf.mock_tree_sitter.grammars import grammar_of

__all__ = ["Language"]

__unittest = True


class Language:
    """A language, by its name, with the kinds of nodes and the fields of its trees.

    There are ``python``, ``javascript``, ``rust`` and ``c``; any other name is a
    language of which nothing is known but brackets, strings and statements.

    Example:
        >>> Language("python").field_id_for_name("name") is not None
        True

    Thread safety: it never changes.
    """

    __slots__ = ("_grammar",)

    def __init__(self, name: str, /) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a language is known by its name, a str, not {type(name).__name__}")
        self._grammar: Grammar = grammar_of(name)

    @property
    def name(self) -> str:
        """Its name."""
        return self._grammar.name

    @property
    def abi_version(self) -> int:
        """The version of tree-sitter's interface that it imitates."""
        return 15

    @property
    def semantic_version(self) -> tuple[int, int, int] | None:
        """The version of its grammar: None, for there is none but this one."""
        return None

    @property
    def node_kind_count(self) -> int:
        """How many kinds of nodes there are."""
        return len(self._grammar.kinds)

    @property
    def field_count(self) -> int:
        """How many fields there are."""
        return len(self._grammar.field_ids)

    def node_kind_for_id(self, id: int, /) -> str | None:
        """Return the name of a kind, by its number."""
        return self._grammar.kind(id) if self._is_kind(id) else None

    def id_for_node_kind(self, kind: str, named: bool, /) -> int | None:
        """Return the number of a kind, by its name and whether it is named."""
        return (self._grammar.ids if named else self._grammar.token_ids).get(kind)

    def node_kind_is_named(self, id: int, /) -> bool:
        """Say whether a kind is named."""
        return self._is_kind(id) and self._grammar.is_named(id)

    def node_kind_is_visible(self, id: int, /) -> bool:
        """Say whether there are nodes of a kind."""
        return self._is_kind(id) and id != 0

    def field_name_for_id(self, field_id: int, /) -> str | None:
        """Return the name of a field, by its number."""
        return self._grammar.fields[field_id] if 0 < field_id <= self.field_count else None

    def field_id_for_name(self, name: str, /) -> int | None:
        """Return the number of a field, by its name."""
        return self._grammar.field_ids.get(name)

    def copy(self) -> Language:
        """Return an equal one."""
        return Language(self.name)

    __copy__ = copy

    def __reduce__(self) -> tuple[type[Language], tuple[str]]:
        return Language, (self.name,)

    def _is_kind(self, number: int) -> bool:
        return number == ERROR or 0 <= number < self.node_kind_count

    def __eq__(self, other: object) -> bool:
        return self.name == other.name if isinstance(other, Language) else NotImplemented

    def __hash__(self) -> int:
        return hash((Language, self.name))

    def __repr__(self) -> str:
        return f'<Language id={id(self._grammar)}, version={self.abi_version}, name="{self.name}">'
