"""Operators of Python expressions: precedence, node kinds and fields."""

from __future__ import annotations

from typing import Final

from itf.mock_tree_sitter.grammar import words
from itf.mock_tree_sitter.python_grammar import PYTHON
from itf.mock_tree_sitter.python_reader import NAMES

__all__ = [
    "AND",
    "BEGINS",
    "BINARY",
    "BRACKETS",
    "COMPARE",
    "ENDS_SIMPLE",
    "LAMBDA",
    "LAST_FIELDS",
    "LEFT_ASSOCIATIVE",
    "NOT",
    "OR",
    "PATTERNS",
    "PREFIXES",
    "SIMPLE",
    "TARGETS",
]

# Precedence of operators in tree-sitter-python.  It differs from Python's: "^" binds
# more tightly than "&", and "await" binds less tightly than "**".
_NAMED, LAMBDA, _CONDITION, OR, AND, NOT, COMPARE, _BIT_OR, _BIT_AND, _XOR = range(1, 11)
_SHIFT, _PLUS, _TIMES, _UNARY, _POWER = range(11, 16)

BINARY: Final = {
    "or": OR,
    "and": AND,
    "|": _BIT_OR,
    "&": _BIT_AND,
    "^": _XOR,
    "<<": _SHIFT,
    ">>": _SHIFT,
    "+": _PLUS,
    "-": _PLUS,
    "*": _TIMES,
    "/": _TIMES,
    "//": _TIMES,
    "%": _TIMES,
    "@": _TIMES,
    "**": _POWER,
    "<": COMPARE,
    "<=": COMPARE,
    "==": COMPARE,
    "!=": COMPARE,
    "<>": COMPARE,
    ">": COMPARE,
    ">=": COMPARE,
    "in": COMPARE,
    "is": COMPARE,
    "not": COMPARE,
    "if": _CONDITION,
    ":=": _NAMED,
}
PREFIXES: Final = {
    "-": (_UNARY, "unary_operator"),
    "+": (_UNARY, "unary_operator"),
    "~": (_UNARY, "unary_operator"),
    "not": (NOT, "not_operator"),
    "await": (_UNARY, "await"),
}
# Field of the last operand, by the kind of the node.
LAST_FIELDS: Final = {
    "binary_operator": "right",
    "boolean_operator": "right",
    "unary_operator": "argument",
    "not_operator": "argument",
    "lambda": "body",
    "named_expression": "value",
}
SIMPLE: Final = NAMES | {"integer", "float", "true", "false", "none", "ellipsis"}
BRACKETS: Final = frozenset({"(", "[", "{", "string_start"})
BEGINS: Final = SIMPLE | BRACKETS | PREFIXES.keys() | {"lambda", "*"}
# Tokens after a simple operand that show that the operand is the whole expression.
ENDS_SIMPLE: Final = frozenset({",", ")", "]", "}", "end", "=", ":", "format:"})

# Kind of a node as the target of an assignment, by its kind as an expression.
PATTERNS: Final = {
    PYTHON.ids["tuple"]: "tuple_pattern",
    PYTHON.ids["parenthesized_expression"]: "tuple_pattern",
    PYTHON.ids["list"]: "list_pattern",
    PYTHON.ids["list_splat"]: "list_splat_pattern",
}
TARGETS: Final = frozenset(
    {PYTHON.ids[kind] for kind in ("identifier", "subscript", "attribute")}
    | {PYTHON.token_ids[token] for token in "()[],*"}
    | {PYTHON.ids[extra] for extra in ("comment", "line_continuation")}
)
# Operators that group from the left: a - b - c is (a - b) - c.
LEFT_ASSOCIATIVE: Final = frozenset(words("or and | & ^ << >> + - * / // % @"))
