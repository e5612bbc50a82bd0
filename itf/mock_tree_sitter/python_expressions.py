"""Parser for Python's expressions, by operator precedence."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Final, NamedTuple

from itf.mock_tree_sitter.grammar import words
from itf.mock_tree_sitter.python_brackets import BracketParser
from itf.mock_tree_sitter.python_grammar import PYTHON
from itf.mock_tree_sitter.python_reader import NAMES, Steps, UnexpectedSyntaxError

__all__ = ["ExpressionParser"]

__unittest = True

# Precedence of operators in tree-sitter-python.  It differs from Python's: "^" binds
# more tightly than "&", and "await" binds less tightly than "**".
_NAMED, _LAMBDA, _CONDITION, _OR, _AND, _NOT, _COMPARE, _BIT_OR, _BIT_AND, _XOR = range(1, 11)
_SHIFT, _PLUS, _TIMES, _UNARY, _POWER = range(11, 16)

_BINARY: Final = {
    "or": _OR,
    "and": _AND,
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
    "<": _COMPARE,
    "<=": _COMPARE,
    "==": _COMPARE,
    "!=": _COMPARE,
    "<>": _COMPARE,
    ">": _COMPARE,
    ">=": _COMPARE,
    "in": _COMPARE,
    "is": _COMPARE,
    "not": _COMPARE,
    "if": _CONDITION,
    ":=": _NAMED,
}
_PREFIXES: Final = {
    "-": (_UNARY, "unary_operator"),
    "+": (_UNARY, "unary_operator"),
    "~": (_UNARY, "unary_operator"),
    "not": (_NOT, "not_operator"),
    "await": (_UNARY, "await"),
}
# Field of the last operand, by the kind of the node.
_LAST_FIELDS: Final = {
    "binary_operator": "right",
    "boolean_operator": "right",
    "unary_operator": "argument",
    "not_operator": "argument",
    "lambda": "body",
    "named_expression": "value",
}
_SIMPLE: Final = NAMES | {"integer", "float", "true", "false", "none", "ellipsis"}
_BRACKETS: Final = frozenset({"(", "[", "{", "string_start"})
_BEGINS: Final = _SIMPLE | _BRACKETS | _PREFIXES.keys() | {"lambda", "*"}
# Tokens after a simple operand that show that the operand is the whole expression.
_ENDS_SIMPLE: Final = frozenset({",", ")", "]", "}", "end", "=", ":", "format:"})

# Kind of a node as the target of an assignment, by its kind as an expression.
_PATTERNS: Final = {
    PYTHON.ids["tuple"]: "tuple_pattern",
    PYTHON.ids["parenthesized_expression"]: "tuple_pattern",
    PYTHON.ids["list"]: "list_pattern",
    PYTHON.ids["list_splat"]: "list_splat_pattern",
}
_TARGETS: Final = frozenset(
    {PYTHON.ids[kind] for kind in ("identifier", "subscript", "attribute")}
    | {PYTHON.token_ids[token] for token in "()[],*"}
    | {PYTHON.ids[extra] for extra in ("comment", "line_continuation")}
)


class _PendingOperator(NamedTuple):
    """Operator whose last operand is not parsed yet."""

    precedence: int
    kind: str
    low: int


class ExpressionParser(BracketParser):
    """Adds nodes for expressions, with the structure of tree-sitter-python.

    `expression` parses by operator precedence with a stack of pending operators
    (shunting yard); brackets are parsed by methods of their own.
    """

    def expression(  # noqa: PLR0912 - one loop for all operators: most of the parse time is spent here
        self, *, conditional: bool = True, within: bool = True
    ) -> Steps:
        """Parse one expression.

        Args:
            conditional: Whether a following ``if`` is part of the expression;
                False in comprehensions.
            within: Whether a following ``in`` is part of the expression; False for
                the targets of a loop.
        """
        builder = self.builder
        pending: list[_PendingOperator] = []
        ifs = 0
        while True:
            low = builder.mark()
            kind = self.kind
            if kind in _SIMPLE:
                node = self.shift()
            elif kind in _PREFIXES:
                self._open_prefix(pending, low)
                continue
            elif kind == "lambda":
                yield self._lambda_head()
                pending.append(_PendingOperator(_LAMBDA, "lambda", low))
                continue
            elif kind in _BRACKETS:
                node = yield _ATOMS[kind](self)
            else:
                raise UnexpectedSyntaxError
            while True:
                kind = self.kind
                if kind == ".":
                    node = self._attribute(low, node)
                elif kind == "(":
                    builder.set_field(node, "function")
                    arguments = yield self.arguments()
                    builder.set_field(arguments, "arguments")
                    node = builder.node("call", low)
                elif kind == "[":
                    node = yield self.subscript(low, node)
                else:
                    break
            precedence = _BINARY.get(kind, 0)
            if precedence and self._ends_expression(kind, conditional, within):
                precedence = 0
            limit = precedence - 1 if kind in _LEFT_ASSOCIATIVE else precedence
            while pending and pending[-1].precedence > limit and pending[-1].kind != "if":
                low = pending[-1].low
                node = self._reduce(pending.pop(), node)
            if kind == "else" and ifs:
                self.shift()
                pending[-1] = pending[-1]._replace(kind="conditional_expression")
                ifs -= 1
            elif precedence:
                ifs += kind == "if"
                self._open_operator(pending, precedence, low, node)
            elif pending:
                raise UnexpectedSyntaxError  # an `if` without its `else`
            else:
                return node

    def _ends_expression(self, kind: str, conditional: bool, within: bool) -> bool:
        if kind == "if":
            return not conditional
        if kind == "in":
            return not within
        return kind == "not" and self.peek() != "in"

    def _open_prefix(self, pending: list[_PendingOperator], low: int) -> None:
        precedence, kind = _PREFIXES[self.kind]
        if kind == "not_operator" and pending and pending[-1].precedence > _NOT:
            raise UnexpectedSyntaxError  # `a + not b`
        operator = self.shift()
        if kind == "unary_operator":
            self.builder.set_field(operator, "operator")
        pending.append(_PendingOperator(precedence, kind, low))

    def _open_operator(
        self, pending: list[_PendingOperator], precedence: int, low: int, node: int
    ) -> None:
        builder, kind = self.builder, self.kind
        if precedence == _COMPARE:
            # A chain such as a < b < c is a single node.
            if not pending or pending[-1].precedence < _COMPARE:
                pending.append(_PendingOperator(_COMPARE, "comparison_operator", low))
            self._comparison()
        elif kind == "if":
            self.shift()
            pending.append(_PendingOperator(precedence, "if", low))
        elif kind == ":=":
            if pending or builder.kind_of(node) != PYTHON.ids["identifier"]:
                raise UnexpectedSyntaxError
            builder.set_field(node, "name")
            self.shift()
            pending.append(_PendingOperator(precedence, "named_expression", low))
        else:
            builder.set_field(node, "left")
            builder.set_field(self.shift(), "operator")
            boolean = precedence in (_OR, _AND)
            pending.append(
                _PendingOperator(
                    precedence, "boolean_operator" if boolean else "binary_operator", low
                )
            )

    def _comparison(self) -> None:
        builder, low, first = self.builder, self.builder.mark(), self.kind
        operator = self.shift()
        second = {"not": "in", "is": "not"}.get(first)
        if second is not None and self.kind == second:
            self.shift()
            operator = builder.token_node(f"{first} {second}", low)
        builder.set_field(operator, "operators")

    def _reduce(self, pending: _PendingOperator, node: int) -> int:
        field = _LAST_FIELDS.get(pending.kind)
        if field is not None:
            self.builder.set_field(node, field)
        return self.builder.node(pending.kind, pending.low)

    def _attribute(self, low: int, node: int) -> int:
        builder = self.builder
        builder.set_field(node, "object")
        self.shift()
        builder.set_field(self.identifier(), "attribute")
        return builder.node("attribute", low)

    def _lambda_head(self) -> Steps:
        self.shift()
        if self.kind != ":":
            parameters = yield self.lambda_parameters()
            self.builder.set_field(parameters, "parameters")
        # In a replacement field, the tokenizer takes this colon for a format specifier,
        # as Python does, so the lambda becomes an ERROR.
        return self.expect(":")

    @abc.abstractmethod
    def lambda_parameters(self) -> Steps:
        """Parse the parameters of a lambda; there is at least one."""

    def element(self) -> Steps:
        """Parse an expression, or an expression after a star."""
        if self.kind == "*":
            low = self.builder.mark()
            self.shift()
            yield self.expression()
            return self.builder.node("list_splat", low)
        if self.kind in _SIMPLE and self.peek() in _ENDS_SIMPLE:
            return self.shift()
        return (yield self.expression())

    def alias(self, low: int) -> Steps:
        """Parse ``as`` and a name; the nodes since a mark are the named expression."""
        builder = self.builder
        self.shift()
        start = builder.mark()
        yield self.expression()
        builder.set_field(builder.node("as_pattern_target", start), "alias")
        return builder.node("as_pattern", low)

    @property
    def begins_expression(self) -> bool:
        """Whether the current token can begin an expression, possibly with a star."""
        return self.kind in _BEGINS

    def expressions(self, kind: str | None = "expression_list") -> Steps:
        """Parse one or more expressions, separated by commas.

        Args:
            kind: Kind of the node around several expressions; None to add no node.
        """
        low = self.builder.mark()
        node = yield self.element()
        if self.kind != ",":
            return node
        while self.kind == ",":
            self.shift()
            if not self.begins_expression:
                break
            node = yield self.element()
        return node if kind is None else self.builder.node(kind, low)

    def values(self) -> Steps:
        """Parse the expressions of an assignment's right side or a replacement field."""
        return (yield self.yielding() if self.kind == "yield" else self.expressions())

    def yielding(self) -> Steps:
        """Parse a ``yield`` expression."""
        low = self.builder.mark()
        self.shift()
        if self.kind == "from":
            self.shift()
            yield self.expression()
        elif self.begins_expression:
            yield self.expressions()
        return self.builder.node("yield", low)

    def targets(self) -> Steps:
        """Parse the targets of a loop, between ``for`` and ``in``."""
        builder, low = self.builder, self.builder.mark()
        several = False
        while True:
            star = builder.mark()
            if self.kind == "*":
                self.shift()
                yield self.expression(within=False)
                node = builder.node("list_splat", star)
            else:
                node = yield self.expression(within=False)
            self.to_pattern(node)
            if self.kind != ",":
                break
            several = True
            self.shift()
            if not self.begins_expression:
                break
        return builder.node("pattern_list", low) if several else node

    def to_pattern(self, node: int) -> None:
        """Change the kinds of an expression's nodes to those of an assignment target.

        Raises:
            UnexpectedSyntaxError: The expression cannot be assigned to.
        """
        builder = self.builder
        waiting = [node]
        while waiting:
            node = waiting.pop()
            kind = builder.kind_of(node)
            if kind in _PATTERNS:
                builder.set_kind(node, _PATTERNS[kind])
                waiting.extend(builder.children(node))
            elif kind not in _TARGETS:
                raise UnexpectedSyntaxError


# Operators that group from the left: a - b - c is (a - b) - c.
_LEFT_ASSOCIATIVE: Final = frozenset(words("or and | & ^ << >> + - * / // % @"))

_ATOMS: Final[dict[str, Callable[[ExpressionParser], Steps]]] = {
    "(": ExpressionParser.parenthesized,
    "[": ExpressionParser.list_display,
    "{": ExpressionParser.braces,
    "string_start": ExpressionParser.strings,
}
