"""Parser for languages with braces: functions, classes, blocks and statements only.

Expressions are not parsed; their tokens become leaves of the statement.
"""

from __future__ import annotations

import re
from typing import Final

from itf.mock_tree_sitter.grammar import ERROR
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.preprocessor import directive
from itf.mock_tree_sitter.structural_grammar import Rule, Structure
from itf.mock_tree_sitter.structural_lexemes import comment_end, template_end
from itf.mock_tree_sitter.structural_state import Frame, Statement
from itf.mock_tree_sitter.tree_builder import TreeBuilder

__all__ = ["structural_table"]

__unittest = True

_CLOSERS: Final = {b"(": b")", b"[": b"]", b"{": b"}"}
_OPENERS: Final = {closer: opener for opener, closer in _CLOSERS.items()}

# Node kind of a token by language and token class; by default, the class itself.
_LEAVES: Final = {
    "rust": {
        "string": "string_literal",
        "raw": "raw_string_literal",
        "char": "char_literal",
        "number": "integer_literal",
    },
    "c": {"string": "string_literal", "char": "char_literal", "number": "number_literal"},
    "javascript": {"single": "string", "template": "template_string"},
}
_OTHER_LEAVES: Final = {"single": "string"}
_COMMENTS: Final = {
    "line": "comment",
    "block": "comment",
    "line_comment": "line_comment",
    "block_comment": "block_comment",
}

# Token classes whose pattern matches only the start; the functions find the end.
_NESTED: Final = {"block_comment": comment_end, "template": template_end}

_DOC_COMMENT: Final = re.compile(rb"//(?:!|/(?!/))")

# Tokens that cannot end an expression.  After one of them in JavaScript, a slash begins
# a regular expression, and a line end does not end the statement.
_OPERATOR_END: Final = re.compile(rb"[-+*/%&|^~!?=<>:,.(\[{;]\Z|\A(?:return|typeof|in|of|new)\Z")
_REGEX: Final = re.compile(
    # The limits bound the time that a slash without a closing slash costs.
    rb"/(?![*/])(?:[^\\/\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n]){0,500}\]){1,1000}/\w*"
)
# Start of a line that continues the statement of the previous line.
_CONTINUATION_START: Final = re.compile(
    rb"[-+*/%&|^?=<>:,.)(\[]|in\b|of\b|instanceof\b|else\b|catch\b|finally\b"
)


def structural_table(source: bytes, structure: Structure) -> NodeTable:
    """Parse a source and return its nodes; invalid source becomes ERROR nodes."""
    return _Scanner(source, structure).scan()


class _Scanner:
    """Parses a source in one pass over its tokens, with a stack of open brackets."""

    def __init__(self, source: bytes, structure: Structure) -> None:
        self._source = source
        self._structure = structure
        self._ids = structure.grammar.ids
        self._token_ids = structure.grammar.token_ids
        self._is_javascript = structure.grammar.name == "javascript"
        self._leaves = _LEAVES.get(structure.grammar.name, _OTHER_LEAVES)
        self._builder = TreeBuilder(source, structure.grammar, structure.root)
        self._frames = [Frame(b"", 0, None, has_statements=True)]
        self._frames[0].declares = bool(structure.declarator)
        self._braces = 0  # number of frames that are braces
        self._last = b""  # text of the previous token
        self._last_leaf = -1

    def scan(self) -> NodeTable:
        """Parse the whole source."""
        source, find = self._source, self._structure.token.match
        position = 0
        while True:
            match = find(source, position)
            group: str = match.lastgroup  # type: ignore[union-attr, assignment]
            start, end = match.span(group)  # type: ignore[union-attr]
            if group == "end":
                break
            if source[start] == ord("/") and group == "operator" and self._begins_regex():
                regex = _REGEX.match(source, start)
                if regex is not None:
                    group, end = "regex", regex.end()
            if group in _NESTED:
                end = _NESTED[group](source, start)
            if self._structure.ends_at_newline and b"\n" in source[position:start]:
                self._newline(start)
            self._handle_token(group, start, end)
            position = end
            if len(self._frames) == 1 and self._frames[0].statement is None:
                self._builder.store_when_full()
        while len(self._frames) > 1:
            self._close_missing()
        self._finish()
        return self._builder.finish()

    def _begins_regex(self) -> bool:
        return self._is_javascript and (
            not self._last or _OPERATOR_END.search(self._last) is not None
        )

    def _newline(self, start: int) -> None:
        """End the current statement at a line end, unless the statement continues."""
        statement = self._frames[-1].statement
        if statement is None or statement.has_body or _OPERATOR_END.search(self._last):
            return
        opens_body = statement.rule is not None and self._source[start : start + 1] == b"{"
        if not opens_body and not _CONTINUATION_START.match(self._source, start):
            self._finish()

    def _handle_token(self, group: str, start: int, end: int) -> None:
        text = self._source[start:end]
        if group in _COMMENTS:
            if group == "line_comment" and _DOC_COMMENT.match(text):
                # In tree-sitter-rust, a doc comment includes its line end.
                end += self._source[end : end + 1] == b"\n"
            self._builder.defer_extra(_COMMENTS[group], start, end)
            return
        statement = self._frames[-1].statement
        if statement is not None and statement.has_body:
            if self._continues(statement, text):
                statement.has_body = False
            else:
                self._finish()
        if group == "directive":
            directive(self._builder, self._source, start, end)
        elif group == "stray":
            self._builder.leaf(ERROR, start, end)
        elif group == "operator":
            self._operator(text, start, end)
        elif group == "word":
            self._word(text, start, end)
        else:
            self._statement_of(text)
            self._leaf(self._ids[self._leaves.get(group, group)], start, end)
        self._last = text

    def _continues(self, statement: Statement, text: bytes) -> bool:
        """Return whether a token continues a statement after its block, such as ``else``."""
        if text == b"while":
            return statement.first == b"do"
        return text in self._structure.continues

    def _statement_of(self, text: bytes) -> Statement | None:
        """Return the statement that a token belongs to; None inside an expression's brackets.

        A token between statements begins a new one.
        """
        frame = self._frames[-1]
        if not frame.has_statements:
            return None
        statement = frame.statement
        if statement is None:
            statement = frame.statement = Statement(self._builder.mark(), text)
        elif statement.exported == statement.low and text != b"default":
            statement.low = self._builder.mark()
        statement.tokens += 1
        return statement

    def _leaf(self, kind: int, start: int, end: int) -> int:
        self._last_leaf = self._builder.leaf(kind, start, end)
        return self._last_leaf

    def _word(self, text: bytes, start: int, end: int) -> None:
        structure, statement = self._structure, self._statement_of(text)
        kind = self._kind_of_word(text)
        if text in structure.braces:
            self._frames[-1].braces = structure.braces[text]
        leaf = self._leaf(kind, start, end)
        if statement is None:
            return
        rule, specifier = structure.rules.get(text), structure.specifiers.get(text)
        if rule is not None and self._sets_rule(statement, rule):
            statement.rule = rule
        elif specifier is not None and not statement.is_assigned:
            statement.specifier = specifier, leaf
        elif text == b"export" and statement.tokens == 1 and self._is_javascript:
            statement.exported = leaf
        elif text == b"pub" and "visibility_modifier" in self._ids:
            self._builder.node("visibility_modifier", leaf)
        elif kind == self._ids["identifier"]:
            self._name(statement, leaf)

    def _kind_of_word(self, text: bytes) -> int:
        if text[:1] == b"#":
            return self._ids["private_property_identifier"]
        known = self._structure.names.get(text)
        if known is not None:
            return self._ids[known]
        token = self._token_ids.get(text.decode()) if text.isascii() else None
        return self._ids["identifier"] if token is None else token

    def _sets_rule(self, statement: Statement, rule: Rule) -> bool:
        """Return whether a keyword with this rule determines the kind of a statement."""
        if statement.is_plain or statement.has_parameters or statement.has_body:
            return False
        return statement.rule is None or (rule.declares and statement.rule.may_modify)

    def _name(self, statement: Statement, leaf: int) -> None:
        statement.is_plain = True
        builder, specifier = self._builder, statement.specifier
        if specifier is not None and specifier[1] == leaf - 1:
            builder.set_kind(leaf, "type_identifier")
            builder.set_field(leaf, "name")
            builder.set_field(builder.node(specifier[0].kind, leaf - 1), "type")
            return
        if statement.rule is not None and statement.name is None and not statement.is_assigned:
            statement.name = leaf
            if statement.rule.name is not None:
                builder.set_kind(leaf, statement.rule.name)
                builder.set_field(leaf, "name")

    def _operator(self, text: bytes, start: int, end: int) -> None:
        if text in _CLOSERS:
            self._open(text, start, end)
            return
        if text in _OPENERS:
            self._close(text, start, end)
            return
        statement = self._statement_of(text)
        self._leaf(self._token_ids[text.decode()], start, end)
        if text in self._structure.braces:
            self._frames[-1].braces = self._structure.braces[text]
        if statement is None:
            return
        if text == b";":
            self._finish()
        elif text in (b"=", b"=>"):
            statement.is_assigned = True
        elif text == b"*" and statement.name is None:
            statement.is_generator = True
        elif statement.name is not None and text != b"->":
            statement.angles += text.count(b"<") - text.count(b">")
        elif text == b".":
            statement.is_plain = True

    def _open(self, text: bytes, start: int, end: int) -> None:
        parent, name = self._frames[-1], self._last_leaf
        statement = self._statement_of(text)
        low = self._builder.mark()
        if text == b"{":
            frame = self._brace(parent, statement, low)
            self._braces += 1
        elif text == b"(":
            frame = Frame(text, low, self._structure.parentheses)
            if statement is not None:
                self._parenthesis(parent, statement, frame, name)
        else:
            frame = Frame(text, low, None)
            attribute = "attribute_item" in self._ids
            if attribute and statement and statement.first == b"#" and not statement.is_plain:
                frame.kind = "inner_attribute_item" if self._last == b"!" else "attribute_item"
                frame.low, frame.completes = statement.low, "attribute"
        self._leaf(self._token_ids[text.decode()], start, end)
        self._frames.append(frame)

    def _brace(  # noqa: PLR0911 - one case a paragraph
        self, parent: Frame, statement: Statement | None, low: int
    ) -> Frame:
        structure, last = self._structure, self._last
        block = Frame(b"{", low, structure.block, has_statements=True)
        braces, parent.braces = parent.braces, None
        if statement is None or statement.is_assigned:
            if last in structure.blocks_after or braces == structure.block:
                return block
            return Frame(b"{", low, braces or structure.group)
        rule = statement.rule
        if statement.specifier is not None and not statement.has_parameters:
            if self._builder.last_low() == statement.specifier[1] < low - 1:
                # A body follows, so the node of keyword and name is made again with it.
                self._builder.unwrap()
                low -= 1
            rule = statement.specifier[0]
            frame = Frame(b"{", low, rule.body, has_statements=rule.members)
            frame.field, frame.completes = "body", "specifier"
            return frame
        if rule is not None and rule.body is not None:
            frame = Frame(b"{", low, rule.body, has_statements=rule.members)
            frame.field, frame.completes = "body", "body"
            return frame
        if parent.declares and last[:1] == b'"':  # extern "C" {
            block.declares, block.completes = True, "body"
            return block
        if statement.has_parameters or (rule is None and last == b")"):
            block.field, block.completes = "body", "body"
            return block
        if rule is None and (statement.tokens == 1 or last in (b"static", b"else", b":")):
            block.completes = "body"
            return block
        if braces == structure.block or last in structure.blocks_after:
            return block
        return Frame(b"{", low, structure.group)

    def _parenthesis(self, parent: Frame, statement: Statement, frame: Frame, name: int) -> None:
        structure, rule, builder = self._structure, statement.rule, self._builder
        is_word = self._last[-1:].isalnum() or self._last[-1:] == b"_" or self._last[-1:] > b"\x7f"
        if statement.has_parameters or statement.is_assigned:
            return
        if structure.method is not None and parent.kind == structure.method_in:
            statement.rule, statement.has_parameters = structure.method, True
            frame.kind, frame.field = "formal_parameters", "parameters"
            if is_word:
                if self._last[:1] != b"#":
                    builder.set_kind(name, "property_identifier")
                builder.set_field(name, "name")
        elif (
            self._last == b"pub"
            and "visibility_modifier" in self._ids
            and builder.last_low() == name
        ):
            # pub(crate): make the node of `pub` again, with the parentheses.
            frame.kind, frame.low = "visibility_modifier", builder.unwrap()
        elif rule is not None and rule.parameters is not None and statement.angles <= 0:
            statement.has_parameters = True
            frame.kind, frame.field = rule.parameters, rule.parameters_field
        elif (
            parent.declares
            and is_word
            and name == frame.low - 1
            and statement.tokens > len(("type", "name"))
        ):
            statement.has_parameters, statement.name = True, name
            frame.kind, frame.field, frame.completes = "parameter_list", "parameters", "declarator"

    def _close(self, text: bytes, start: int, end: int) -> None:
        builder = self._builder
        if text == b"}" and self._braces:
            # A closing brace also closes the unclosed brackets inside the braces.
            while self._frames[-1].opener != b"{":
                self._close_missing()
        elif self._frames[-1].opener != _OPENERS[text]:
            low = builder.mark()
            builder.leaf(self._token_ids[text.decode()], start, end)
            builder.node("ERROR", low)
            return
        self._finish()
        self._leaf(self._token_ids[text.decode()], start, end)
        self._end_frame()

    def _close_missing(self) -> None:
        self._finish()
        closer = _CLOSERS[self._frames[-1].opener].decode()
        self._builder.missing(closer, self._builder.last_end())
        self._end_frame()

    def _end_frame(self) -> None:
        builder, frame = self._builder, self._frames.pop()
        self._braces -= frame.opener == b"{"
        if frame.kind is None:
            return
        node = builder.node(frame.kind, frame.low)
        if frame.field is not None:
            builder.set_field(node, frame.field)
        parent = self._frames[-1]
        statement = parent.statement
        if statement is None:
            return
        if frame.completes == "attribute":
            parent.statement = None  # an attribute is not part of the item after it
        elif frame.completes == "declarator" and statement.name is not None:
            self._end_declarator(statement, statement.name)
        elif frame.completes == "specifier" and statement.specifier is not None:
            rule, low = statement.specifier
            statement.defined = builder.node(rule.kind, low)
            statement.specifier = None
            statement.is_plain = True
        elif frame.completes == "body":
            statement.has_body = True
            if statement.rule is not None and statement.rule.declares:
                self._finish()

    def _end_declarator(self, statement: Statement, name: int) -> None:
        builder = self._builder
        builder.set_field(name, "declarator")
        node = builder.node("function_declarator", name)
        star = name - 1
        while star >= statement.low and builder.kind_of(star) == self._token_ids["*"]:
            builder.set_field(node, "declarator")
            node = builder.node("pointer_declarator", star)
            star -= 1
        builder.set_field(node, "declarator")

    def _finish(self) -> None:
        """End the current statement in the innermost brackets, if there is one."""
        frame = self._frames[-1]
        statement, frame.statement = frame.statement, None
        frame.braces = None
        if statement is None:
            return
        builder, defined = self._builder, statement.defined
        if defined is not None and builder.roots(statement.low)[1:] == [defined]:
            return  # in tree-sitter-c, `struct s {...};` is a type and a semicolon
        kind = self._kind(statement, frame)
        if kind is None:
            return
        if defined is not None:
            builder.set_field(defined, "type")
        is_export = statement.exported is not None
        node = builder.node(kind, statement.low)
        if is_export and kind != "export_statement":
            builder.set_field(node, "declaration")
            builder.node("export_statement", statement.exported or 0)

    def _kind(  # noqa: PLR0911 - one case a line
        self, statement: Statement, frame: Frame
    ) -> str | None:
        """Return the kind of a statement; None if its parts get no common node."""
        rule, structure = statement.rule, self._structure
        if frame.declares and statement.has_parameters:
            return "function_definition" if statement.has_body else "declaration"
        if rule is not None:
            if rule.without_body is not None and not statement.has_body:
                return rule.without_body
            if rule.kind == "function_declaration" and statement.is_generator:
                return "generator_function_declaration"
            return rule.kind
        if statement.exported is not None:
            return "export_statement"
        if structure.method is not None and frame.kind == structure.method_in:
            return structure.method.without_body
        if statement.tokens == 1 and statement.first in (b"{", b";"):
            return None
        if frame.kind == "field_declaration_list":
            return "field_declaration"
        return "declaration" if frame.declares else "expression_statement"
