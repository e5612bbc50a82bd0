"""Tables of tokens, keywords and node kinds for JavaScript, Rust, C and unknown languages."""

from __future__ import annotations

from functools import lru_cache

from itf.mock_tree_sitter.grammar import words
from itf.mock_tree_sitter.structural_grammar import (
    BLOCK_COMMENT,
    DOUBLE_QUOTED,
    LINE_COMMENT,
    Rule,
    Structure,
    build_structure,
)

__all__ = ["structure_of"]

__unittest = True


def _javascript() -> Structure:
    function = Rule(
        "function_declaration",
        name="identifier",
        parameters="formal_parameters",
        body="statement_block",
        declares=True,
    )
    return build_structure(
        "javascript",
        root="program",
        lexemes=[
            LINE_COMMENT,
            BLOCK_COMMENT,
            DOUBLE_QUOTED,
            rb"(?P<single>'(?:[^'\\\n]++|\\[\s\S]?)*+'?)",
            rb"(?P<template>`)",
            rb"(?P<hash_bang_line>\A\#![^\r\n]*+)",
        ],
        rules={
            "function": function,
            "class": Rule("class_declaration", "identifier", body="class_body", declares=True),
            "import": Rule("import_statement"),
            "const": Rule("lexical_declaration"),
            "let": Rule("lexical_declaration"),
            "var": Rule("variable_declaration"),
            "return": Rule("return_statement"),
            "throw": Rule("throw_statement"),
            "break": Rule("break_statement"),
            "continue": Rule("continue_statement"),
            "if": Rule("if_statement", body="statement_block"),
            "for": Rule("for_statement", body="statement_block"),
            "while": Rule("while_statement", body="statement_block"),
            "do": Rule("do_statement", body="statement_block"),
            "try": Rule("try_statement", body="statement_block"),
            "switch": Rule("switch_statement", body="switch_body"),
        },
        keywords=(
            "async await case catch default delete else export extends finally from get in "
            "instanceof new of set static typeof void with yield"
        ),
        kinds="generator_function_declaration export_statement expression_statement regex "
        "template_string empty_statement property_identifier private_property_identifier "
        "hash_bang_line",
        prefix=rb"\#?",
        names={word: word for word in words("this super true false null undefined")},
        block="statement_block",
        group="object",
        parentheses="arguments",
        continues=frozenset({b"else", b"catch", b"finally", b"while"}),
        ends_at_newline=True,
        method=Rule(
            "method_definition",
            name="property_identifier",
            parameters="formal_parameters",
            body="statement_block",
            declares=True,
            without_body="field_definition",
        ),
        method_in="class_body",
    )


def _rust() -> Structure:
    def item(kind: str, body: str | None, name: str | None = "type_identifier") -> Rule:
        return Rule(kind, name, body=body, declares=True)

    fields = "field_declaration_list"
    return build_structure(
        "rust",
        root="source_file",
        lexemes=[
            LINE_COMMENT.replace(b"line", b"line_comment"),
            rb"(?P<block_comment>/\*)",
            rb'(?P<raw>[bc]?r(?P<hashes>#*+)"[\s\S]*?(?:"(?P=hashes)|\Z))',
            rb'(?P<string>[bc]?"(?:[^"\\]++|\\[\s\S]?)*+"?)',
            rb"(?P<char>b?'(?:[^'\\\n]|\\[^\n]{1,9}?|[\xc0-\xff][\x80-\xbf]+)')",
            rb"(?P<lifetime>'\w++)",
        ],
        rules={
            "fn": Rule(
                "function_item",
                "identifier",
                parameters="parameters",
                body="block",
                declares=True,
                without_body="function_signature_item",
            ),
            "struct": Rule(
                "struct_item",
                "type_identifier",
                parameters="ordered_field_declaration_list",
                parameters_field="body",
                body=fields,
                members=False,
                declares=True,
            ),
            "union": Rule(
                "union_item", "type_identifier", body=fields, members=False, declares=True
            ),
            "enum": Rule(
                "enum_item",
                "type_identifier",
                body="enum_variant_list",
                members=False,
                declares=True,
            ),
            "trait": item("trait_item", "declaration_list"),
            "impl": item("impl_item", "declaration_list", None),
            "mod": item("mod_item", "declaration_list", "identifier"),
            "macro_rules": Rule(
                "macro_definition", body="token_tree", members=False, declares=True
            ),
            "use": Rule("use_declaration"),
            "extern": Rule(
                "foreign_mod_item",
                body="declaration_list",
                declares=True,
                without_body="extern_crate_declaration",
                may_modify=True,
            ),
            "let": Rule("let_declaration"),
            "const": Rule("const_item", "identifier", may_modify=True),
            "static": Rule("static_item", "identifier"),
            "type": Rule("type_item", "type_identifier"),
            "if": Rule("expression_statement", body="block"),
            "match": Rule("expression_statement", body="match_block", members=False),
            "loop": Rule("expression_statement", body="block"),
            "while": Rule("expression_statement", body="block"),
            "for": Rule("expression_statement", body="block"),
            "unsafe": Rule("expression_statement", body="block", may_modify=True),
        },
        keywords="as async await break continue dyn else in move mut pub ref return where yield",
        kinds="visibility_modifier attribute_item inner_attribute_item empty_statement "
        "string_literal raw_string_literal char_literal integer_literal line_comment block_comment "
        "lifetime",
        names={
            **dict.fromkeys(
                words("i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 bool char str"),
                "primitive_type",
            ),
            "self": "self",
            "crate": "crate",
            "super": "super",
            "true": "boolean_literal",
            "false": "boolean_literal",
        },
        block="block",
        group="field_initializer_list",
        parentheses="arguments",
        prefix=rb"(?:r\#)?",
        blocks_after=frozenset({b"=>", b")", b"else", b"|", b"||", b"="}),
        braces={
            **dict.fromkeys((b"if", b"while", b"for", b"loop", b"unsafe", b"async"), "block"),
            b"->": "block",
            b"match": "match_block",
        },
        continues=frozenset({b"else"}),
    )


def _c() -> Structure:
    fields = "field_declaration_list"
    prefix = rb"(?:u8|[LuU])?"
    return build_structure(
        "c",
        root="translation_unit",
        lexemes=[
            # A backslash at the line end continues the comment on the next line.
            rb"(?P<line>//(?:[^\n\\\r]++|\\\r?\n|\\)*+)",
            BLOCK_COMMENT,
            rb"(?P<directive>\#[ \t]*+\w++(?:[^\n\\/]+|\\\r?\n|\\|/(?![/*]))*)",
            DOUBLE_QUOTED.replace(b'"', prefix + b'"', 1),
            rb"(?P<char>" + prefix + rb"'(?:[^'\\\n]++|\\[^\n]?)*+'?)",
        ],
        specifiers={
            "struct": Rule("struct_specifier", "type_identifier", body=fields),
            "union": Rule("union_specifier", "type_identifier", body=fields),
            "enum": Rule(
                "enum_specifier", "type_identifier", body="enumerator_list", members=False
            ),
        },
        rules={
            "typedef": Rule("type_definition"),
            "return": Rule("return_statement"),
            "break": Rule("break_statement"),
            "continue": Rule("continue_statement"),
            "goto": Rule("goto_statement"),
            "if": Rule("if_statement", body="compound_statement"),
            "for": Rule("for_statement", body="compound_statement"),
            "while": Rule("while_statement", body="compound_statement"),
            "do": Rule("do_statement", body="compound_statement"),
            "switch": Rule("switch_statement", body="compound_statement"),
        },
        keywords="case const default else extern inline register restrict sizeof static volatile",
        kinds="function_definition pointer_declarator parameter_list declaration "
        "expression_statement preproc_include preproc_def preproc_call preproc_function_def "
        "preproc_arg preproc_directive system_lib_string string_literal char_literal "
        "number_literal empty_statement field_declaration",
        names=dict.fromkeys(
            words("void char short int long float double signed unsigned bool size_t"),
            "primitive_type",
        ),
        block="compound_statement",
        group="initializer_list",
        parentheses="argument_list",
        continues=frozenset({b"else", b"while"}),
        declarator="function_declarator",
    )


@lru_cache(maxsize=64)
def structure_of(language: str) -> Structure:
    """Return the description of a language.

    An unknown language gets comments, strings, brackets and statements that end
    at a semicolon or a line end.
    """
    known = {"javascript": _javascript, "rust": _rust, "c": _c}.get(language)
    if known is not None:
        return known()
    return build_structure(
        language,
        root="program",
        lexemes=[
            LINE_COMMENT,
            BLOCK_COMMENT,
            DOUBLE_QUOTED,
            rb"(?P<single>'(?:[^'\\\n]++|\\[^\n]?)*+'?)",
        ],
        rules={},
        kinds="expression_statement empty_statement",
        block="block",
        group="block",
        parentheses="arguments",
        ends_at_newline=True,
    )
