"""Language of a source, with the API of py-tree-sitter."""

from __future__ import annotations

from itf.mock_tree_sitter.grammar import ERROR, Grammar
from itf.mock_tree_sitter.grammars import grammar_of

__all__ = ["Language"]

__unittest = True


class Language:
    """Programming language, with the node kinds and the fields of its trees.

    ``python``, ``javascript``, ``rust`` and ``c`` have a grammar.  For any other
    name, the parser recognizes only brackets, strings, comments and statements.

    Example:
        >>> Language("python").field_id_for_name("name") is not None
        True

    Thread safety: immutable.
    """

    __slots__ = ("_grammar",)

    def __init__(self, name: str, /) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a language is a str, not {type(name).__name__}")
        self._grammar: Grammar = grammar_of(name)

    @property
    def name(self) -> str:
        """Name of the language, as given."""
        return self._grammar.name

    @property
    def abi_version(self) -> int:
        """Version of tree-sitter's language ABI that this class imitates."""
        return 15

    @property
    def semantic_version(self) -> tuple[int, int, int] | None:
        """Version of the grammar; always None, because the grammars here have no versions."""
        return None

    @property
    def node_kind_count(self) -> int:
        """Number of node kinds."""
        return len(self._grammar.kinds)

    @property
    def field_count(self) -> int:
        """Number of fields."""
        return len(self._grammar.field_ids)

    def node_kind_for_id(self, id: int, /) -> str | None:
        """Return the name of a node kind; None if no kind has this number."""
        return self._grammar.kind(id) if self._is_kind(id) else None

    def id_for_node_kind(self, kind: str, named: bool, /) -> int | None:
        """Return the number of a node kind; None if there is no such kind.

        Args:
            kind: Name of a grammar rule, or text of a token.
            named: Whether ``kind`` is the name of a rule.
        """
        return (self._grammar.ids if named else self._grammar.token_ids).get(kind)

    def node_kind_is_named(self, id: int, /) -> bool:
        """Return whether a kind is a grammar rule; False for a token or an unknown number."""
        return self._is_kind(id) and self._grammar.is_named(id)

    def node_kind_is_visible(self, id: int, /) -> bool:
        """Return whether trees can contain nodes of a kind."""
        return self._is_kind(id) and id != 0

    def field_name_for_id(self, field_id: int, /) -> str | None:
        """Return the name of a field; None if no field has this number."""
        return self._grammar.fields[field_id] if 0 < field_id <= self.field_count else None

    def field_id_for_name(self, name: str, /) -> int | None:
        """Return the number of a field; None if no field has this name."""
        return self._grammar.field_ids.get(name)

    def copy(self) -> Language:
        """Return an equal Language."""
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
