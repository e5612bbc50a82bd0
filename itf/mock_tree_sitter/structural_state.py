"""What the scan of a source's structure is in the middle of."""

from __future__ import annotations

from itf.mock_tree_sitter.structural_languages import Rule

__all__ = ["Frame", "Statement"]

__unittest = True


class Statement:
    """A statement that is being read.

    Attributes:
        low: Where it begins; behind ``export``, if it has that.
        first: Its first token.
        tokens: How many tokens it has so far, apart from those in brackets.
        exported: Where its ``export`` is.
        rule: What it is going to be, as far as is known.
        is_plain: Whether there was a token by which it can no longer become a
            declaration.
        specifier: The type that it may be about to define, and where that begins.
        defined: The type that it defines.
        name: Its name, as soon as it was there.
        has_parameters: Whether its parentheses were there.
        has_body: Whether its block was there, so that it may be over.
        is_assigned: Whether braces that follow are a part of a value.
        is_generator: Whether there was a star before its name.
        angles: How many angle brackets are open behind its name.
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
    """Brackets that are open; the outermost one is the source itself.

    Attributes:
        opener: The bracket.
        low: Where the node begins that it becomes.
        kind: What that is; None if there is none.
        has_statements: Whether it is made of statements.
        ends: What it is to the statement that it stands in, if that may end with it.
        field: What its node is to its parent.
        declares: Whether names with parentheses in it declare functions.
        statement: The statement that is being read in it.
        braces: What braces are that come next in it; None if it is for them to say.
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
