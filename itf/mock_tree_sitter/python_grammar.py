"""Node kinds and fields of Python source, with the names of tree-sitter-python.

Python has syntax that tree-sitter-python 0.25 cannot parse.  For that syntax,
the nodes are those of the most similar construct that it can parse:

- ``lazy import a``, ``lazy from a import b`` (3.15): the first child of the
  statement is the token ``lazy``, like ``async`` in a function.
- ``{**a for a in b}`` (3.15): a ``dictionary_comprehension`` with a
  ``dictionary_splat`` as its body.
- ``case +1`` (3.15): the token ``+`` before the number, like ``-``.
- ``[T = int]`` (3.13): the token ``=`` and a ``type`` after the parameter.
- ``x: a[:]``: a ``subscript`` with a ``slice``, as outside of annotations.
"""

from __future__ import annotations

from typing import Final

from itf.mock_tree_sitter.grammar import Grammar, words

__all__ = ["PYTHON"]

_TOKENS: Final = words(
    "False None True and as assert async await break case class continue def del elif else except "
    "exec finally for from global if import in is lambda match nonlocal not or pass print raise "
    "return try type lazy while with yield __future__ _ "
    "( ) [ ] { } , : ; . -> = := @ + - * / // % ** << >> & | ^ ~ < <= == != <> > >= "
    "+= -= *= /= //= %= **= <<= >>= &= |= ^= @= \\"
)

PYTHON: Final = Grammar(
    "python",
    tokens=[*_TOKENS, "not in", "is not"],
    kinds=words(
        "module expression_statement assert_statement assignment augmented_assignment "
        "break_statement class_definition continue_statement decorated_definition decorator "
        "delete_statement elif_clause else_clause except_clause exec_statement finally_clause "
        "for_statement function_definition future_import_statement global_statement if_statement "
        "import_from_statement import_statement match_statement nonlocal_statement pass_statement "
        "print_statement raise_statement return_statement try_statement type_alias_statement "
        "while_statement with_statement with_clause with_item block case_clause if_clause chevron "
        "aliased_import dotted_name import_prefix relative_import wildcard_import "
        "identifier integer float true false none ellipsis string string_start string_content "
        "string_end escape_sequence escape_interpolation interpolation format_expression "
        "format_specifier type_conversion concatenated_string "
        "attribute await binary_operator boolean_operator call comparison_operator "
        "conditional_expression dictionary dictionary_comprehension dictionary_splat "
        "expression_list for_in_clause generator_expression keyword_argument lambda list "
        "list_comprehension list_splat named_expression not_operator pair "
        "parenthesized_expression set set_comprehension slice subscript tuple unary_operator yield "
        "argument_list parameters lambda_parameters default_parameter typed_parameter "
        "typed_default_parameter keyword_separator positional_separator list_splat_pattern "
        "dictionary_splat_pattern pattern_list tuple_pattern list_pattern as_pattern "
        "as_pattern_target case_pattern class_pattern complex_pattern dict_pattern "
        "keyword_pattern splat_pattern union_pattern "
        "type generic_type type_parameter union_type member_type constrained_type splat_type "
        "comment line_continuation"
    ),
    fields=words(
        "alias alternative argument arguments attribute body cause code condition consequence "
        "definition expression format_specifier function guard key left module_name name object "
        "operator operators parameters return_type right subject subscript superclasses type "
        "type_conversion type_parameters value"
    ),
    extras=["comment", "line_continuation"],
)
