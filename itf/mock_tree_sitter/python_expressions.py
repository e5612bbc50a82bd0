"""Parser for Python's expressions, by operator precedence."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Final, NamedTuple

from itf.mock_tree_sitter.python_brackets import BracketParser
from itf.mock_tree_sitter.python_grammar import PYTHON
from itf.mock_tree_sitter.python_operators import (
    AND,
    BEGINS,
    BINARY,
    BRACKETS,
    COMPARE,
    ENDS_SIMPLE,
    LAMBDA,
    LAST_FIELDS,
    LEFT_ASSOCIATIVE,
    NOT,
    OR,
    PATTERNS,
    PREFIXES,
    SIMPLE,
    TARGETS,
)
from itf.mock_tree_sitter.python_reader import Steps, UnexpectedSyntaxError

__all__ = ["ExpressionParser"]

__unittest = True


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
            if kind in SIMPLE:
                node = self.shift()
            elif kind in PREFIXES:
                self._open_prefix(pending, low)
                continue
            elif kind == "lambda":
                yield self._lambda_head()
                pending.append(_PendingOperator(LAMBDA, "lambda", low))
                continue
            elif kind in BRACKETS:
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
            precedence = BINARY.get(kind, 0)
            if precedence and self._ends_expression(kind, conditional, within):
                precedence = 0
            limit = precedence - 1 if kind in LEFT_ASSOCIATIVE else precedence
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
        precedence, kind = PREFIXES[self.kind]
        if kind == "not_operator" and pending and pending[-1].precedence > NOT:
            raise UnexpectedSyntaxError  # `a + not b`
        operator = self.shift()
        if kind == "unary_operator":
            self.builder.set_field(operator, "operator")
        pending.append(_PendingOperator(precedence, kind, low))

    def _open_operator(
        self, pending: list[_PendingOperator], precedence: int, low: int, node: int
    ) -> None:
        builder, kind = self.builder, self.kind
        if precedence == COMPARE:
            # A chain such as a < b < c is a single node.
            if not pending or pending[-1].precedence < COMPARE:
                pending.append(_PendingOperator(COMPARE, "comparison_operator", low))
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
            boolean = precedence in (OR, AND)
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
        field = LAST_FIELDS.get(pending.kind)
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
        if self.kind in SIMPLE and self.peek() in ENDS_SIMPLE:
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
        return self.kind in BEGINS

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
            if kind in PATTERNS:
                builder.set_kind(node, PATTERNS[kind])
                waiting.extend(builder.children(node))
            elif kind not in TARGETS:
                raise UnexpectedSyntaxError


_ATOMS: Final[dict[str, Callable[[ExpressionParser], Steps]]] = {
    "(": ExpressionParser.parenthesized,
    "[": ExpressionParser.list_display,
    "{": ExpressionParser.braces,
    "string_start": ExpressionParser.strings,
}
