"""Parser for Python's displays, comprehensions, calls and subscripts."""

from __future__ import annotations

import abc

from itf.mock_tree_sitter.python_reader import NAMES, Steps, UnexpectedSyntaxError
from itf.mock_tree_sitter.python_strings import StringParser

__all__ = ["BracketParser"]

__unittest = True


class BracketParser(StringParser):
    """Adds nodes for expressions in brackets, with the structure of tree-sitter-python."""

    @abc.abstractmethod
    def expression(self, *, conditional: bool = True, within: bool = True) -> Steps:
        """Parse one expression."""

    @abc.abstractmethod
    def element(self) -> Steps:
        """Parse an expression, or an expression after a star."""

    @abc.abstractmethod
    def targets(self) -> Steps:
        """Parse the targets of a loop, between ``for`` and ``in``."""

    @abc.abstractmethod
    def yielding(self) -> Steps:
        """Parse a ``yield`` expression."""

    @abc.abstractmethod
    def alias(self, low: int) -> Steps:
        """Parse ``as`` and a name; the nodes since a mark are the named expression."""

    @property
    @abc.abstractmethod
    def begins_expression(self) -> bool:
        """Whether the current token can begin an expression, possibly with a star."""

    def parenthesized(self) -> Steps:
        """Parse a tuple, a generator expression, or an expression in parentheses."""
        builder, low = self.builder, self.builder.mark()
        self.shift()
        if self.kind == ")":
            self.shift()
            return builder.node("tuple", low)
        if self.kind == "yield":
            yield self.yielding()
            self.expect(")")
            return builder.node("parenthesized_expression", low)
        first = yield self.element()
        if self.kind in ("for", "async"):
            builder.set_field(first, "body")
            yield self._clauses()
            self.expect(")")
            return builder.node("generator_expression", low)
        if self.kind == "as":
            yield self.alias(low + 1)
        if self.kind != ",":
            self.expect(")")
            return builder.node("parenthesized_expression", low)
        yield self._rest(")")
        return builder.node("tuple", low)

    def _rest(self, closer: str) -> Steps:
        """Parse the remaining elements, each after a comma, and the closing bracket."""
        while self.kind == ",":
            self.shift()
            if not self.begins_expression:
                break
            yield self.element()
        return self.expect(closer)

    def list_display(self) -> Steps:
        """Parse a list or a list comprehension."""
        builder, low = self.builder, self.builder.mark()
        self.shift()
        if self.begins_expression:
            first = yield self.element()
            if self.kind in ("for", "async"):
                builder.set_field(first, "body")
                yield self._clauses()
                self.expect("]")
                return builder.node("list_comprehension", low)
            yield self._rest("]")
        else:
            self.expect("]")
        return builder.node("list", low)

    def braces(self) -> Steps:
        """Parse a set, a dictionary, or a comprehension of either."""
        builder, low = self.builder, self.builder.mark()
        self.shift()
        pairs, others = 0, 0
        while self.begins_expression or self.kind == "**":
            start = builder.mark()
            if self.kind == "**":
                pairs += 1
                self.shift()
                yield self.expression()
                node = builder.node("dictionary_splat", start)
            else:
                node = yield self.element()
                others += 1
                if self.kind == ":":
                    pairs, others = pairs + 1, others - 1
                    self.shift()
                    builder.set_field(node, "key")
                    builder.set_field((yield self.element()), "value")
                    node = builder.node("pair", start)
            if self.kind in ("for", "async") and pairs + others == 1:
                builder.set_field(node, "body")
                yield self._clauses()
                self.expect("}")
                kind = "dictionary_comprehension" if pairs else "set_comprehension"
                return builder.node(kind, low)
            if self.kind != ",":
                break
            self.shift()
        self.expect("}")
        if pairs and others:
            raise UnexpectedSyntaxError
        return builder.node("set" if others else "dictionary", low)

    def _clauses(self) -> Steps:
        """Parse the ``for`` and ``if`` clauses of a comprehension; there is at least one."""
        builder = self.builder
        node = -1
        while self.kind in ("for", "async", "if"):
            low = builder.mark()
            if self.kind == "if":
                self.shift()
                yield self.expression(conditional=False)
                node = builder.node("if_clause", low)
                continue
            if self.kind == "async":
                self.shift()
            self.expect("for")
            builder.set_field((yield self.targets()), "left")
            self.expect("in")
            builder.set_field((yield self.expression(conditional=False)), "right")
            node = builder.node("for_in_clause", low)
        return node

    def arguments(self) -> Steps:
        """Parse the arguments of a call or the bases of a class, with the parentheses."""
        builder, low = self.builder, self.builder.mark()
        self.shift()
        first = True
        while self.kind != ")":
            start = builder.mark()
            if self.kind == "**":
                self.shift()
                yield self.expression()
                builder.node("dictionary_splat", start)
            elif self.kind in NAMES and self.peek() == "=":
                builder.set_field(self.shift(), "name")
                self.shift()
                builder.set_field((yield self.expression()), "value")
                builder.node("keyword_argument", start)
            else:
                node = yield self.element()
                if first and self.kind in ("for", "async"):
                    builder.set_field(node, "body")
                    yield self._clauses()
                    self.expect(")")
                    return builder.node("generator_expression", low)
            first = False
            if self.kind != ",":
                break
            self.shift()
        self.expect(")")
        return builder.node("argument_list", low)

    def subscript(self, low: int, node: int) -> Steps:
        """Parse the square brackets after an expression."""
        builder = self.builder
        builder.set_field(node, "value")
        self.shift()
        while True:
            builder.set_field((yield self._slice()), "subscript")
            if self.kind != ",":
                break
            self.shift()
            if self.kind == "]":
                break
        self.expect("]")
        return builder.node("subscript", low)

    def _slice(self) -> Steps:
        builder, low = self.builder, self.builder.mark()
        node = -1
        if self.kind != ":":
            node = yield self.element()
        if self.kind != ":":
            return node
        for _ in range(2):
            if self.kind == ":":
                self.shift()
                if self.begins_expression:
                    yield self.element()
        return builder.node("slice", low)
