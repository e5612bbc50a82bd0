"""Parser for Python's simple statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from itf.mock_tree_sitter.grammar import words
from itf.mock_tree_sitter.python_reader import NAMES, Steps, UnexpectedSyntaxError
from itf.mock_tree_sitter.python_types import TypeParser

__all__ = ["AUGMENTED", "SimpleParser"]

__unittest = True

AUGMENTED: Final = frozenset(words("+= -= *= /= //= %= **= <<= >>= &= |= ^= @="))
# Tokens after which `print` or `exec` is the statement of Python 2, as in
# tree-sitter-python; before any other token, the word is a name.
_PRINTED: Final = NAMES | {"string_start", "integer", "float", "none", "true", "false", ">>"}
_EXECUTED: Final = NAMES | {"string_start"}


class SimpleParser(TypeParser):
    """Adds nodes for statements without a block, with tree-sitter-python's structure."""

    def simple_statement(self) -> Steps:
        """Parse one simple statement."""
        return (yield _SIMPLE.get(self.kind, SimpleParser._expression_statement)(self))

    def _expression_statement(self) -> Steps:
        builder, low = self.builder, self.builder.mark()
        if self._is_alias():
            return (yield self._type_alias())
        if self.kind == "print" and self.peek() in _PRINTED:
            return (yield self._print())
        if self.kind == "exec" and self.peek() in _EXECUTED:
            return (yield self._exec())
        if self.kind == "yield":
            yield self.yielding()
            return builder.node("expression_statement", low)
        node = yield self.expressions(None)
        if self.kind == "=":
            yield self._assignment(low, node)
        elif self.kind in AUGMENTED:
            builder.set_field(node, "left")
            builder.set_field(self.shift(), "operator")
            builder.set_field((yield self.values()), "right")
            builder.node("augmented_assignment", low)
        elif self.kind == ":":
            yield self._annotated(low, node)
        return builder.node("expression_statement", low)

    def _assignment(self, low: int, node: int) -> Steps:
        """Parse the rest of an assignment, from the first ``=``; there can be several."""
        builder = self.builder
        lows: list[int] = []
        while True:
            builder.set_field(self._target(low, node), "left")
            lows.append(low)
            self.shift()
            low = builder.mark()
            if self.kind == "yield":
                node = yield self.yielding()
                break
            node = yield self.expressions(None)
            if self.kind != "=":
                if not builder.is_single(low, node):
                    node = builder.node("expression_list", low)
                break
        for low in reversed(lows):
            builder.set_field(node, "right")
            node = builder.node("assignment", low)
        return node

    def _target(self, low: int, node: int) -> int:
        """Change the nodes since a mark into the target of an assignment."""
        builder = self.builder
        if builder.is_single(low, node):
            self.to_pattern(node)
            return node
        for child in builder.roots(low):
            self.to_pattern(child)
        return builder.node("pattern_list", low)

    def _annotated(self, low: int, node: int) -> Steps:
        builder = self.builder
        if not builder.is_single(low, node):
            raise UnexpectedSyntaxError
        self.to_pattern(node)
        builder.set_field(node, "left")
        self.shift()
        builder.set_field((yield self.type()), "type")
        if self.kind == "=":
            self.shift()
            start = builder.mark()
            if self.kind == "yield":
                right = yield self.yielding()
            else:
                right = yield self.expressions(None)
                if self.kind == "=":
                    right = yield self._assignment(start, right)
                elif not builder.is_single(start, right):
                    right = builder.node("expression_list", start)
            builder.set_field(right, "right")
        return builder.node("assignment", low)

    def _is_alias(self) -> bool:
        return self.kind == "type" and self.peek() in NAMES and self.peek(2) in ("=", "[")

    def _type_alias(self) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift_keyword("type")
        builder.set_field((yield self.type()), "left")
        self.expect("=")
        builder.set_field((yield self.type()), "right")
        return builder.node("type_alias_statement", low)

    def _print(self) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift_keyword("print")
        if self.kind == ">>":
            start = builder.mark()
            self.shift()
            yield self.expression()
            builder.node("chevron", start)
        else:
            builder.set_field((yield self.expression()), "argument")
        while self.kind == ",":
            self.shift()
            if not self.begins_expression:
                break
            builder.set_field((yield self.expression()), "argument")
        return builder.node("print_statement", low)

    def _exec(self) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift_keyword("exec")
        builder.set_field((yield self.expression(within=False)), "code")
        if self.kind == "in":
            self.shift()
            yield self.expressions(None)
        return builder.node("exec_statement", low)

    def _bare(self) -> Steps:
        """Parse a statement of one keyword, such as ``pass``."""
        yield from ()
        low, kind = self.builder.mark(), self.kind
        self.shift()
        return self.builder.node(f"{kind}_statement", low)

    def _return(self) -> Steps:
        low = self.builder.mark()
        self.shift()
        if self.begins_expression:
            yield self.expressions()
        return self.builder.node("return_statement", low)

    def _delete(self) -> Steps:
        low = self.builder.mark()
        self.shift()
        yield self.expressions()
        return self.builder.node("delete_statement", low)

    def _raise(self) -> Steps:
        low = self.builder.mark()
        self.shift()
        if self.begins_expression:
            yield self.expressions()
            if self.kind == "from":
                self.shift()
                self.builder.set_field((yield self.expression()), "cause")
        return self.builder.node("raise_statement", low)

    def _assert(self) -> Steps:
        low = self.builder.mark()
        self.shift()
        yield self.expression()
        if self.kind == ",":
            self.shift()
            yield self.expression()
        return self.builder.node("assert_statement", low)

    def _declaration(self) -> Steps:
        """Parse a ``global`` or ``nonlocal`` statement."""
        yield from ()
        low, kind = self.builder.mark(), self.kind
        self.shift()
        self.identifier()
        while self.kind == ",":
            self.shift()
            self.identifier()
        return self.builder.node(f"{kind}_statement", low)

    def _lazy(self) -> Steps:
        """Parse a lazy import, or a statement that begins with the name ``lazy``."""
        parse = {"import": self._import, "from": self._import_from}.get(self.peek())
        return (yield self._expression_statement() if parse is None else parse())

    def _import(self) -> Steps:
        yield from ()
        low = self.builder.mark()
        if self.kind == "lazy":
            self.shift_keyword("lazy")
        self.shift()
        self._imported()
        return self.builder.node("import_statement", low)

    def _imported(self) -> None:
        """Parse imported names, separated by commas; each can have an alias."""
        builder = self.builder
        while True:
            low = builder.mark()
            name = self.dotted_name()
            builder.set_field(name, "name")
            if self.kind == "as":
                self.shift()
                builder.set_field(self.identifier(), "alias")
                builder.set_field(builder.node("aliased_import", low), "name")
            if self.kind != ",":
                return
            self.shift()
            if self.kind not in NAMES:
                return

    def _import_from(self) -> Steps:
        yield from ()
        builder, low = self.builder, self.builder.mark()
        lazy = self.kind == "lazy"
        if lazy:
            self.shift_keyword("lazy")
        self.shift()
        if self.kind == "identifier" and self.text() == b"__future__":
            if lazy:
                raise UnexpectedSyntaxError  # a SyntaxError in Python, too
            kind = "future_import_statement"
            self.shift_keyword("__future__")
        else:
            kind = "import_from_statement"
            builder.set_field(self._origin(), "module_name")
        self.expect("import")
        if self.kind == "*" and kind == "import_from_statement":
            start = builder.mark()
            self.shift()
            builder.node("wildcard_import", start)
        elif self.kind == "(":
            self.shift()
            self._imported()
            self.expect(")")
        else:
            self._imported()
        return builder.node(kind, low)

    def _origin(self) -> int:
        builder, low = self.builder, self.builder.mark()
        if self.kind not in (".", "ellipsis"):
            return self.dotted_name()
        while self.kind in (".", "ellipsis"):
            self.shift_dots()
        builder.node("import_prefix", low)
        if self.kind in NAMES:
            self.dotted_name()
        return builder.node("relative_import", low)


_SIMPLE: Final[dict[str, Callable[[SimpleParser], Steps]]] = {
    "pass": SimpleParser._bare,
    "break": SimpleParser._bare,
    "continue": SimpleParser._bare,
    "return": SimpleParser._return,
    "del": SimpleParser._delete,
    "raise": SimpleParser._raise,
    "assert": SimpleParser._assert,
    "global": SimpleParser._declaration,
    "nonlocal": SimpleParser._declaration,
    "import": SimpleParser._import,
    "from": SimpleParser._import_from,
    "lazy": SimpleParser._lazy,
}
