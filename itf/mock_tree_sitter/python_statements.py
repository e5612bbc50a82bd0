"""Parser for Python's compound statements, and entry point of the Python parser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from itf.mock_tree_sitter.grammar import words
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.python_reader import Steps, UnexpectedSyntaxError, run
from itf.mock_tree_sitter.python_simple import AUGMENTED, SimpleParser

__all__ = ["python_table"]

__unittest = True

# Tokens after `match` that show that it is a name, not the keyword.
_NO_SUBJECT: Final = AUGMENTED | frozenset(words("= . : , ) end"))


def python_table(source: bytes) -> NodeTable:
    """Parse Python source and return its nodes; invalid source becomes ERROR nodes."""
    parser = _StatementParser(source)
    run(parser.module())
    return parser.builder.finish()


class _StatementParser(SimpleParser):
    """Adds nodes for statements, one logical line after the other."""

    def module(self) -> Steps:
        """Parse all statements of the source."""
        while not self.is_over:
            yield self._statement(0)
            self.builder.store_when_full()
        self.flush_comments()
        return 0

    def _statement(self, indent: int) -> Steps:
        """Parse the statements of a logical line, with the block indented below it.

        Args:
            indent: Indentation of the block that contains the line.
        """
        self.flush_comments()
        low = self.builder.mark()
        try:
            compound = _COMPOUND.get(self.kind)
            if compound is not None and self._is_compound():
                yield compound(self)
            else:
                yield self._simple_statements()
                self.end_line()
        except UnexpectedSyntaxError:
            self.recover(low)
            self.end_line()
        self.flush_comments(indent)
        return low

    def _is_compound(self) -> bool:
        if self.kind != "match":
            return True
        return self.peek() not in _NO_SUBJECT and self.ends_with(":")

    def _block(self, indent: int) -> Steps:
        """Parse the block after a header's colon, on the same line or indented below.

        Args:
            indent: Indentation of the header.
        """
        builder = self.builder
        if self.kind != "end":
            low = builder.mark()
            yield self._simple_statements()
            self.end_line()
            return builder.node("block", low)
        self.next_line()
        if self.is_over or self.line.indent <= indent:
            return builder.empty("block")
        self.flush_comments()
        low = builder.mark()
        own = self.line.indent
        while not self.is_over and self.line.indent >= own:
            yield self._statement(own)
        return builder.node("block", low)

    def _simple_statements(self) -> Steps:
        """Parse statements separated by semicolons, up to the end of the logical line."""
        builder = self.builder
        while self.kind != "end":
            low = builder.mark()
            try:
                yield self.simple_statement()
                if self.kind == ";":
                    self.shift()
                elif self.kind != "end":
                    raise UnexpectedSyntaxError
            except UnexpectedSyntaxError:
                self.recover(low)
        return builder.mark()

    def _if(self) -> Steps:
        builder, low, indent = self.builder, self.builder.mark(), self.line.indent
        self.shift()
        builder.set_field((yield self.expression()), "condition")
        self.expect(":")
        builder.set_field((yield self._block(indent)), "consequence")
        while self._continues(indent, "elif"):
            yield self._clause(self._elif, indent, "alternative")
        yield self._else(indent)
        return builder.node("if_statement", low)

    def _continues(self, indent: int, *kinds: str) -> bool:
        """Return whether the line continues a statement with one of the given clauses.

        If so, the comments before the line are added to the tree.
        """
        if self.is_over or self.line.indent < indent or self.kind not in kinds:
            return False
        self.flush_comments()
        return True

    def _clause(self, parse: Callable[[int], Steps], indent: int, field: str | None) -> Steps:
        """Parse a clause; an invalid clause becomes an ERROR inside the statement."""
        low = self.builder.mark()
        try:
            node = yield parse(indent)
        except UnexpectedSyntaxError:
            self.recover(low)
            self.end_line()
            return -1
        if field is not None:
            self.builder.set_field(node, field)
        return node

    def _elif(self, indent: int) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift()
        builder.set_field((yield self.expression()), "condition")
        self.expect(":")
        builder.set_field((yield self._block(indent)), "consequence")
        return builder.node("elif_clause", low)

    def _else(self, indent: int, field: str | None = "alternative") -> Steps:
        """Parse an ``else`` clause if there is one; return -1 otherwise."""
        if not self._continues(indent, "else"):
            return -1
        return (yield self._clause(self._else_clause, indent, field))

    def _else_clause(self, indent: int) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift()
        self.expect(":")
        builder.set_field((yield self._block(indent)), "body")
        return builder.node("else_clause", low)

    def _while(self) -> Steps:
        builder, low, indent = self.builder, self.builder.mark(), self.line.indent
        self.shift()
        builder.set_field((yield self.expression()), "condition")
        self.expect(":")
        builder.set_field((yield self._block(indent)), "body")
        yield self._else(indent)
        return builder.node("while_statement", low)

    def _for(self) -> Steps:
        builder, low, indent = self.builder, self.builder.mark(), self.line.indent
        if self.kind == "async":
            self.shift()
        self.shift()
        builder.set_field((yield self.targets()), "left")
        self.expect("in")
        builder.set_field((yield self.expressions()), "right")
        self.expect(":")
        builder.set_field((yield self._block(indent)), "body")
        yield self._else(indent)
        return builder.node("for_statement", low)

    def _try(self) -> Steps:
        builder, low, indent = self.builder, self.builder.mark(), self.line.indent
        self.shift()
        self.expect(":")
        builder.set_field((yield self._block(indent)), "body")
        clauses = 0
        while self._continues(indent, "except"):
            clauses += 1
            yield self._clause(self._except, indent, None)
        if clauses:
            yield self._else(indent, None)
        if self._continues(indent, "finally"):
            clauses += 1
            yield self._clause(self._finally, indent, None)
        return builder.node("try_statement" if clauses else "ERROR", low)

    def _except(self, indent: int) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift()
        if self.kind == "*":
            self.shift()
        if self.kind != ":":
            while True:
                builder.set_field((yield self._as_pattern()), "value")
                if self.kind != ",":
                    break
                self.shift()
                if self.kind == ":":
                    break
        self.expect(":")
        yield self._block(indent)
        return builder.node("except_clause", low)

    def _finally(self, indent: int) -> Steps:
        low = self.builder.mark()
        self.shift()
        self.expect(":")
        yield self._block(indent)
        return self.builder.node("finally_clause", low)

    def _as_pattern(self) -> Steps:
        """Parse an expression that can be followed by ``as`` and a name."""
        low = self.builder.mark()
        node = yield self.expression()
        if self.kind != "as":
            return node
        return (yield self.alias(low))

    def _with(self) -> Steps:
        builder, low, indent = self.builder, self.builder.mark(), self.line.indent
        if self.kind == "async":
            self.shift()
        self.shift()
        start = builder.mark()
        closer = ":"
        if self.kind == "(" and self._is_with_list():
            self.shift()
            closer = ")"
        while True:
            item = builder.mark()
            builder.set_field((yield self._as_pattern()), "value")
            builder.node("with_item", item)
            if self.kind != ",":
                break
            self.shift()
            if self.kind == closer:
                break
        if closer == ")":
            self.expect(")")
        builder.node("with_clause", start)
        self.expect(":")
        builder.set_field((yield self._block(indent)), "body")
        return builder.node("with_statement", low)

    def _is_with_list(self) -> bool:
        """Return whether the parentheses enclose all items, not a part of the first item."""
        after, parts = self.brackets()
        return after == ":" and "," in parts and "for" not in parts

    def _match(self) -> Steps:
        builder, low, indent = self.builder, self.builder.mark(), self.line.indent
        self.shift_keyword("match")
        while True:
            builder.set_field((yield self.element()), "subject")
            if self.kind != ",":
                break
            self.shift()
            if self.kind == ":":
                break
        self.expect(":")
        builder.set_field((yield self._cases(indent)), "body")
        return builder.node("match_statement", low)

    def _cases(self, indent: int) -> Steps:
        builder = self.builder
        if self.kind != "end":
            raise UnexpectedSyntaxError
        self.next_line()
        if self.is_over or self.line.indent <= indent:
            return builder.empty("block")
        # In tree-sitter-python, the block of a `match` begins right after the colon,
        # with the white space, and not at the first `case`.
        builder.flush_extras()
        begin, low = builder.last_end(), builder.mark()
        self.flush_comments()
        own = self.line.indent
        while not self.is_over and self.line.indent >= own:
            if self.kind == "identifier" and self.text() == b"case":
                yield self._clause(self._case, self.line.indent, "alternative")
                self.flush_comments(own)
            else:
                yield self._statement(own)
        return builder.span("block", low, begin, builder.last_end())

    def _case(self, indent: int) -> Steps:
        builder, low = self.builder, self.builder.mark()
        self.shift_keyword("case")
        while True:
            yield self.case_pattern()
            if self.kind != ",":
                break
            self.shift()
            if self.kind in (":", "if"):
                break
        if self.kind == "if":
            start = builder.mark()
            self.shift()
            yield self.expression()
            builder.set_field(builder.node("if_clause", start), "guard")
        self.expect(":")
        builder.set_field((yield self._block(indent)), "consequence")
        return builder.node("case_clause", low)

    def _function(self) -> Steps:
        builder, low, indent = self.builder, self.builder.mark(), self.line.indent
        if self.kind == "async":
            self.shift()
        self.shift()
        builder.set_field(self.identifier(), "name")
        if self.kind == "[":
            builder.set_field((yield self.type_parameters()), "type_parameters")
        builder.set_field((yield self.parameters()), "parameters")
        if self.kind == "->":
            self.shift()
            builder.set_field((yield self.type()), "return_type")
        self.expect(":")
        builder.set_field((yield self._block(indent)), "body")
        return builder.node("function_definition", low)

    def _class(self) -> Steps:
        builder, low, indent = self.builder, self.builder.mark(), self.line.indent
        self.shift()
        builder.set_field(self.identifier(), "name")
        if self.kind == "[":
            builder.set_field((yield self.type_parameters()), "type_parameters")
        if self.kind == "(":
            builder.set_field((yield self.arguments()), "superclasses")
        self.expect(":")
        builder.set_field((yield self._block(indent)), "body")
        return builder.node("class_definition", low)

    def _decorated(self) -> Steps:
        builder, low = self.builder, self.builder.mark()
        while self.kind == "@":
            start = builder.mark()
            self.shift()
            yield self.expression()
            if self.kind != "end":
                raise UnexpectedSyntaxError
            builder.flush_extras()
            builder.node("decorator", start)
            self.next_line()
            self.flush_comments()
        if self.kind == "class":
            definition = yield self._class()
        elif self.kind == "def" or (self.kind == "async" and self.peek() == "def"):
            definition = yield self._function()
        else:
            raise UnexpectedSyntaxError
        builder.set_field(definition, "definition")
        return builder.node("decorated_definition", low)

    def _async(self) -> Steps:
        following = {"def": self._function, "for": self._for, "with": self._with}
        parse = following.get(self.peek())
        if parse is None:
            raise UnexpectedSyntaxError
        return (yield parse())


_COMPOUND: Final[dict[str, Callable[[_StatementParser], Steps]]] = {
    "if": _StatementParser._if,
    "while": _StatementParser._while,
    "for": _StatementParser._for,
    "try": _StatementParser._try,
    "with": _StatementParser._with,
    "match": _StatementParser._match,
    "def": _StatementParser._function,
    "class": _StatementParser._class,
    "@": _StatementParser._decorated,
    "async": _StatementParser._async,
}
