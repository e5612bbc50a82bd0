"""Description of a language for the structural parser: tokens, rules and node kinds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from itf.mock_tree_sitter.grammar import Grammar, words

__all__ = [
    "BLOCK_COMMENT",
    "DOUBLE_QUOTED",
    "LINE_COMMENT",
    "Rule",
    "Structure",
    "build_structure",
]

__unittest = True


@dataclass(frozen=True, slots=True)
class Rule:
    """Node kinds of a statement that begins with a certain keyword.

    Attributes:
        kind: Kind of the statement.
        name: Kind of the name after the keyword; None if no name follows.
        parameters: Kind of the first parentheses; None for an ordinary pair.
        parameters_field: Field of those parentheses.
        body: Kind of the braces; None for an ordinary pair.
        members: Whether the braces contain statements.
        declares: Whether the closing brace always ends the statement.
        without_body: Kind of the statement if it has no braces; None for ``kind``.
        may_modify: Whether the keyword can precede another one that determines
            the kind, such as ``const`` in ``const fn``.
    """

    kind: str
    name: str | None = None
    parameters: str | None = None
    parameters_field: str = "parameters"
    body: str | None = None
    members: bool = True
    declares: bool = False
    without_body: str | None = None
    may_modify: bool = False


@dataclass(frozen=True, slots=True)
class Structure:
    """Description of a language for the structural parser.

    Attributes:
        grammar: Node kinds and fields.
        root: Kind of the root node.
        token: Pattern of the next token; the name of the matching group is the
            token's class.
        rules: Statements by keyword.
        specifiers: Types that a declaration can define, by keyword, such as
            ``struct`` in C.
        block: Kind of braces that contain statements.
        group: Kind of other braces.
        parentheses: Kind of parentheses.
        names: Node kinds of words that are not ordinary identifiers.
        blocks_after: Tokens after which braces inside an expression are a block.
        braces: Kind of the next braces inside an expression, by the preceding keyword.
        continues: Keywords that continue a statement after its block, such as ``else``.
        ends_at_newline: Whether a line end can end a statement.
        method: Rule for a name with parentheses directly inside ``method_in``.
        method_in: Kind of the braces that contain methods.
        declarator: Kind of a name with parentheses that declares a function; empty
            in languages where a keyword does.
    """

    grammar: Grammar
    root: str
    token: re.Pattern[bytes]
    rules: Mapping[bytes, Rule]
    block: str
    group: str
    parentheses: str
    specifiers: Mapping[bytes, Rule] = field(default_factory=dict)
    names: Mapping[bytes, str] = field(default_factory=dict)
    blocks_after: frozenset[bytes] = frozenset({b"=>", b")", b"else", b"do", b"try", b"finally"})
    braces: Mapping[bytes, str] = field(default_factory=dict)
    continues: frozenset[bytes] = frozenset()
    ends_at_newline: bool = False
    method: Rule | None = None
    method_in: str = ""
    declarator: str = ""


# Options of `build_structure` that are names of node kinds.
_KINDS: Final = ("block", "group", "parentheses", "method_in", "declarator")

_NUMBER: Final = (
    rb"(?P<number>(?:0[xX][\da-fA-F_]+|\d[\d_]*+(?:\.\d[\d_]*+)?(?:[eE][+-]?\d+)?)\w*+)"
)
LINE_COMMENT: Final = rb"(?P<line>//[^\r\n]*+)"
BLOCK_COMMENT: Final = rb"(?P<block>/\*[\s\S]*?(?:\*/|\Z))"
DOUBLE_QUOTED: Final = rb'(?P<string>"(?:[^"\\\n]++|\\[\s\S]?)*+"?)'
_OPERATORS: Final = words(
    ">>>= ... === !== **= <<= >>= >>> &&= ||= ??= ..= => -> :: == != <= >= && || ?? ?. ++ -- += -= "
    "*= /= %= &= |= ^= << >> ** .. ( ) [ ] { } , ; : . = < > + - * / % & | ^ ~ ! ? @ # $ ` ' \" \\"
)


def build_structure(
    name: str,
    *,
    root: str,
    lexemes: Iterable[bytes],
    rules: dict[str, Rule],
    specifiers: dict[str, Rule] | None = None,
    keywords: str = "",
    kinds: str = "",
    names: dict[str, str] | None = None,
    prefix: bytes = b"",
    **options: object,
) -> Structure:
    """Build the description of a language.

    Args:
        name: Name of the language.
        root: Kind of the root node.
        lexemes: Patterns of comments and strings, each a named group.  They are
            tried first and in order.
        rules: Statements by keyword.
        specifiers: Types that a declaration can define, by keyword.
        keywords: Further keywords, separated by spaces.
        kinds: Further node kinds, separated by spaces.
        names: Node kinds of words that are not ordinary identifiers.
        prefix: Pattern before the first letter of a word.
        options: Further attributes of `Structure`.
    """
    method = options.get("method")
    specifiers = specifiers or {}
    used = [*rules.values(), *specifiers.values(), *([method] if isinstance(method, Rule) else [])]
    made = {root, "identifier", "number", "string", "char", "comment", "block", *words(kinds)}
    made.update(str(value) for key, value in options.items() if key in _KINDS and value)
    made.update((names or {}).values())
    for rule in used:
        made.update(
            kind
            for kind in (rule.kind, rule.name, rule.parameters, rule.body, rule.without_body)
            if kind is not None
        )
    extras = [kind for kind in made if kind.endswith("comment")]
    keys = {*words(keywords), *rules, *specifiers}
    word = rb"(?P<word>" + prefix + rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*+)"
    operators = b"|".join(re.escape(operator.encode()) for operator in _OPERATORS)
    pattern = b"|".join([*lexemes, _NUMBER, word, b"(?P<operator>" + operators + b")"])
    grammar = Grammar(
        name,
        tokens=[*_OPERATORS, *sorted(keys), "#include", "#define"],
        kinds=sorted(made),
        fields=words(
            "alternative arguments body declaration declarator name parameters path type value"
        ),
        extras=extras,
    )
    return Structure(
        grammar=grammar,
        root=root,
        token=re.compile(rb"[\s\x00]*+(?:" + pattern + rb"|(?P<end>\Z)|(?P<stray>[\s\S]))"),
        rules={key.encode(): rule for key, rule in rules.items()},
        specifiers={key.encode(): rule for key, rule in specifiers.items()},
        names={key.encode(): kind for key, kind in (names or {}).items()},
        **options,  # type: ignore[arg-type]
    )
