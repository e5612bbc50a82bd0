"""Parser for Python's type annotations, parameters and `case` patterns."""

from __future__ import annotations

from typing import Final

from itf.mock_tree_sitter.python_expressions import ExpressionParser
from itf.mock_tree_sitter.python_grammar import PYTHON
from itf.mock_tree_sitter.python_reader import NAMES, Steps, UnexpectedSyntaxError

__all__ = ["TypeParser"]

__unittest = True

# Tokens after `a[b]` that show that it is a generic type, not the start of an expression.
_AFTER_GENERIC: Final = frozenset({"end", ",", ")", "]", "=", ":", "|", ";"})
_CONSTANTS: Final = frozenset({"none", "true", "false"})
_NUMBERS: Final = frozenset({"integer", "float"})
_SIGNS: Final = frozenset({"+", "-"})


class TypeParser(ExpressionParser):
    """Adds nodes for types, parameters and patterns, with tree-sitter-python's structure."""

    def type(self, *, constrained: bool = False) -> Steps:
        """Parse a type.

        Args:
            constrained: Whether a following ``:`` is part of the type, as in ``[T: int]``.
        """
        builder, low = self.builder, self.builder.mark()
        splat = self.kind in ("*", "**")
        if splat and self.peek() in NAMES and self.peek(2) in _AFTER_GENERIC:
            self.shift()
            self.shift()
            builder.node("splat_type", low)
        elif splat:
            yield self.element()  # `*tuple[int]`
        elif self._is_generic():
            yield self._generic(low)
        else:
            yield self.expression()
        node = builder.node("type", low)
        while self.kind == "|":
            self.shift()
            right = builder.mark()
            if self._is_generic():
                yield self._generic(right)
            else:
                yield self.expression()
            builder.node("type", right)
            builder.node("union_type", low)
            node = builder.node("type", low)
        if constrained and self.kind == ":":
            self.shift()
            yield self.type(constrained=True)  # `a[b:c:d]`
            builder.node("constrained_type", low)
            node = builder.node("type", low)
        return node

    def _is_generic(self) -> bool:
        """Return whether a generic type such as `a[b]` begins here, not an expression.

        Python allows any expression as a type, for example `a[b](c)`.
        """
        if self.kind not in NAMES or self.peek() != "[" or self.has_open_slice():
            return False
        after = self.after_brackets()
        return after[0] in _AFTER_GENERIC or (after[0] == "." and after[-1] in NAMES)

    def _generic(self, low: int) -> Steps:
        builder = self.builder
        self.shift()
        yield self.type_parameters()
        node = builder.node("generic_type", low)
        while self.kind == ".":
            builder.node("type", low)
            self.shift()
            self.identifier()
            node = builder.node("member_type", low)
        return node

    def type_parameters(self) -> Steps:
        """Parse type parameters or type arguments, with the square brackets."""
        builder, low = self.builder, self.builder.mark()
        self.shift()
        while self.kind != "]":
            yield self.type(constrained=True)
            if self.kind == "=":
                # Default of a type parameter; see python_grammar.
                self.shift()
                yield self.type()
            if self.kind != ",":
                break
            self.shift()
        self.expect("]")
        return builder.node("type_parameter", low)

    def parameters(self) -> Steps:
        """Parse the parameters of a function, with the parentheses."""
        low = self.builder.mark()
        self.expect("(")
        if self.kind != ")":
            yield self._parameters(")")
        self.expect(")")
        return self.builder.node("parameters", low)

    def lambda_parameters(self) -> Steps:
        """Parse the parameters of a lambda; there is at least one."""
        low = self.builder.mark()
        yield self._parameters(":")
        return self.builder.node("lambda_parameters", low)

    def _parameters(self, end: str) -> Steps:
        node = yield self._parameter(typed=end == ")")
        while self.kind == ",":
            self.shift()
            if self.kind == end:
                break
            node = yield self._parameter(typed=end == ")")
        return node

    def _parameter(self, *, typed: bool) -> Steps:
        builder, low, kind = self.builder, self.builder.mark(), self.kind
        if kind == "/":
            self.shift()
            return builder.node("positional_separator", low)
        if kind in ("*", "**"):
            self.shift()
            if kind == "*" and self.kind == ",":
                return builder.node("keyword_separator", low)
            self.identifier()
            splat = "list_splat_pattern" if kind == "*" else "dictionary_splat_pattern"
            node = builder.node(splat, low)
        elif kind == "(":
            node = yield self.expression()
            self.to_pattern(node)
        else:
            node = self.identifier()
        type_node = -1
        if typed and self.kind == ":":
            self.shift()
            type_node = yield self.type()
            builder.set_field(type_node, "type")
        if self.kind == "=" and kind not in ("*", "**"):
            builder.set_field(node, "name")
            self.shift()
            builder.set_field((yield self.expression()), "value")
            known = type_node >= 0
            return builder.node("typed_default_parameter" if known else "default_parameter", low)
        return builder.node("typed_parameter", low) if type_node >= 0 else node

    def case_pattern(self) -> Steps:
        """Parse one pattern of a ``case``, with a keyword before it or ``as`` after it."""
        builder, low = self.builder, self.builder.mark()
        if self.kind in NAMES and self.peek() == "=":
            self.identifier()
            self.shift()
            yield self._union_pattern()
            builder.node("keyword_pattern", low)
        else:
            yield self._union_pattern()
        node = builder.node("case_pattern", low)
        if self.kind == "as":
            self.shift()
            self.identifier()
            builder.node("as_pattern", low)
            node = builder.node("case_pattern", low)
        return node

    def _union_pattern(self) -> Steps:
        """Parse one or more patterns, separated by ``|``."""
        builder, low = self.builder, self.builder.mark()
        node = yield self._simple_pattern()
        if self.kind != "|":
            return node
        while self.kind == "|":
            self.shift()
            yield self._simple_pattern()
        return builder.node("union_pattern", low)

    def _simple_pattern(self) -> Steps:  # noqa: PLR0911 - one pattern a line
        builder, low, kind = self.builder, self.builder.mark(), self.kind
        if kind in _CONSTANTS:
            return self.shift()
        if kind in _NUMBERS or kind in _SIGNS:
            return self._number_pattern(low)
        if kind == "string_start":
            return (yield self.strings())
        if kind in ("*", "**"):
            self.shift()
            self._captured()
            return builder.node("splat_pattern", low)
        if kind == "[":
            return (yield self._sequence_pattern("]", "list_pattern"))
        if kind == "(":
            return (yield self._sequence_pattern(")", "tuple_pattern"))
        if kind == "{":
            return (yield self._mapping_pattern())
        if self._is_wildcard():
            return self._captured()
        node = self.dotted_name()
        if self.kind != "(":
            return node
        yield self._pattern_list(")")
        return builder.node("class_pattern", low)

    def _is_wildcard(self) -> bool:
        return self.kind == "identifier" and self.text() == b"_" and self.peek() != "."

    def _captured(self) -> int:
        if self._is_wildcard():
            return self.shift_keyword("_")
        return self.identifier()

    def dotted_name(self) -> int:
        """Parse a name that can contain dots."""
        low = self.builder.mark()
        self.identifier()
        while self.kind == ".":
            self.shift()
            self.identifier()
        return self.builder.node("dotted_name", low)

    def _number_pattern(self, low: int) -> int:
        builder = self.builder
        if self.kind in _SIGNS:
            self.shift()
        if self.kind not in _NUMBERS:
            raise UnexpectedSyntaxError
        number = self.shift()
        if self.kind not in _SIGNS:
            return number
        self.shift()
        if self.kind not in _NUMBERS:
            raise UnexpectedSyntaxError
        self.shift()
        return builder.node("complex_pattern", low)

    def _sequence_pattern(self, closer: str, kind: str) -> Steps:
        low = self.builder.mark()
        yield self._pattern_list(closer)
        return self.builder.node(kind, low)

    def _pattern_list(self, closer: str) -> Steps:
        """Parse patterns separated by commas, with the brackets around them."""
        self.shift()
        while self.kind != closer:
            yield self.case_pattern()
            if self.kind != ",":
                break
            self.shift()
        return self.expect(closer)

    def _mapping_pattern(self) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift()
        while self.kind != "}":
            start = builder.mark()
            key = yield self._simple_pattern()
            if builder.kind_of(key) != PYTHON.ids["splat_pattern"]:
                for part in builder.roots(start):  # a sign and its number are two nodes
                    builder.set_field(part, "key")
                self.expect(":")
                builder.set_field((yield self.case_pattern()), "value")
            if self.kind != ",":
                break
            self.shift()
        self.expect("}")
        return builder.node("dict_pattern", low)
