"""State of the structural parser: statements and brackets that are not complete."""

from __future__ import annotations

from itf.mock_tree_sitter.structural_grammar import Rule

__all__ = ["Frame", "Statement"]

__unittest = True


class Statement:
    """Statement that is not complete.

    Nodes are numbers of the `TreeBuilder`.

    Attributes:
        low: Mark of its first node; after ``export``, if the statement has one.
        first: Text of its first token.
        tokens: Number of its tokens so far, without those inside brackets.
        exported: Node of its ``export``; None without.
        rule: Rule of its keyword; None while no keyword determined it.
        is_plain: Whether a token showed that the statement is not a declaration.
        specifier: Rule and keyword node of a type that the statement may define,
            such as ``struct`` in C.
        defined: Node of the type that the statement defines.
        name: Node of its name.
        has_parameters: Whether its parentheses were read.
        has_body: Whether its block was read, so that the next token can end it.
        is_assigned: Whether ``=`` or ``=>`` was read, so that braces are a value.
        is_generator: Whether a star precedes its name.
        angles: Number of open angle brackets after its name.
    """

    __slots__ = (
        "angles",
        "defined",
        "exported",
        "first",
        "has_body",
        "has_parameters",
        "is_assigned",
        "is_generator",
        "is_plain",
        "low",
        "name",
        "rule",
        "specifier",
        "tokens",
    )

    def __init__(self, low: int, first: bytes) -> None:
        self.low = low
        self.first = first
        self.tokens = self.angles = 0
        self.rule: Rule | None = None
        self.specifier: tuple[Rule, int] | None = None
        self.exported: int | None = None
        self.defined: int | None = None
        self.name: int | None = None
        self.is_plain = self.is_assigned = self.is_generator = False
        self.has_parameters = self.has_body = False


class Frame:
    """Pair of brackets that is not closed; the outermost frame is the whole source.

    Attributes:
        opener: The opening bracket; empty for the whole source.
        low: Mark of the first node inside the pair's node.
        kind: Node kind of the pair; None if the pair gets no node.
        has_statements: Whether it contains statements.
        completes: Part of the enclosing statement that the closing bracket
            completes: ``body``, ``specifier``, ``declarator`` or ``attribute``;
            empty if none.
        field: Field of the pair's node; None without.
        declares: Whether a name with parentheses inside declares a function.
        statement: Current statement inside; None between statements.
        braces: Kind of the next braces inside; None to derive it from the context.
    """

    __slots__ = (
        "braces",
        "completes",
        "declares",
        "field",
        "has_statements",
        "kind",
        "low",
        "opener",
        "statement",
    )

    def __init__(
        self, opener: bytes, low: int, kind: str | None, *, has_statements: bool = False
    ) -> None:
        self.opener = opener
        self.low = low
        self.kind = kind
        self.has_statements = has_statements
        self.completes = ""
        self.field: str | None = None
        self.declares = False
        self.statement: Statement | None = None
        self.braces: str | None = None
