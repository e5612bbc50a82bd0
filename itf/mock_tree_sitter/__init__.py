"""Parsers and syntax trees with the Python API of tree-sitter, in pure Python.

Code written for ``tree_sitter`` runs on these classes unchanged.  The parsers of
`itf.mock_parser_factory` create such trees, and fail when a test asks for it.
"""

# Public API of py-tree-sitter:
#   parser.py  tree.py  node.py  language.py  points.py
#   node_base.py  cursor_base.py   the larger part of Node and of TreeCursor
#   corruption.py                  trees with wrong positions, for tests
#
# Storage:
#   node_table.py                  all nodes of a tree, in arrays of numbers
#   tree_builder.py                fills a table while a parser reads
#   grammar.py                     numbers and names of node kinds and fields
#   grammars.py                    chooses grammar and parser for a language
#   lookup.py                      finds nodes by position; S-expressions
#   tree_comparison.py             where two trees differ
#
# Parser for Python, complete; the classes from python_reader.py to python_statements.py
# each inherit from the one before:
#   python_lines.py                tokenizer, one logical line at a time; python_tokens.py
#   python_names.py                identifiers of newer Unicode versions
#   python_reader.py               current token, lookahead, error recovery
#   python_strings.py  python_brackets.py  python_expressions.py  python_types.py
#   python_simple.py  python_statements.py
#   python_operators.py            precedence of operators
#   python_grammar.py              node kinds of tree-sitter-python
#
# Parser for all other languages; recognizes functions, classes, blocks and statements:
#   structural.py                  the parser; structural_state.py has its state
#   structural_lexemes.py          nested comments, template strings
#   structural_grammar.py          description of a language
#   structural_languages.py        the descriptions of JavaScript, Rust and C
#   preprocessor.py                preprocessor lines of C

from itf.mock_tree_sitter.corruption import corrupt
from itf.mock_tree_sitter.language import Language
from itf.mock_tree_sitter.node import Node, TreeCursor
from itf.mock_tree_sitter.parser import Parser
from itf.mock_tree_sitter.points import Point, Range
from itf.mock_tree_sitter.tree import Tree

__all__ = ["Language", "Node", "Parser", "Point", "Range", "Tree", "TreeCursor", "corrupt"]
