"""Parsers and trees with the Python API of tree-sitter, from the standard library alone.

Code that is written for ``tree_sitter`` runs on the classes here unchanged; the
parsers of `itf.mock_parser_factory` give them, and fail as a test wants.
"""

# parser.py  tree.py  node.py  cursor.py  language.py  places.py
#                            what a user sees
# table.py                   all nodes of a tree, in columns of numbers
# building.py                how a tree grows
# grammar.py  grammars.py    what nodes are called, and who makes them
# lookup.py  comparing.py    where a node is; where two trees differ
# damage.py                  trees that are wrong on purpose
#
# Python is parsed in full:
#
# python_lines.py            bytes to tokens, a logical line at a time
# python_names.py            which words are names
# python_reader.py           one token after the other; parts that wait for others
# python_strings.py  python_brackets.py  python_expressions.py  python_types.py
# python_simple.py  python_statements.py
#                            tokens to nodes, each on top of the one before
# python_grammar.py          tree-sitter-python's names
#
# Of other languages there is the structure:
#
# structural.py              functions, classes, blocks; structural_state.py, where it is
# structural_lexemes.py      comments and templates that have others inside
# preprocessor.py            lines that begin with a number sign, in C
# structural_languages.py    what these look like in JavaScript, Rust and C

from itf.mock_tree_sitter.corruption import corrupt
from itf.mock_tree_sitter.cursor import TreeCursor
from itf.mock_tree_sitter.language import Language
from itf.mock_tree_sitter.node import Node
from itf.mock_tree_sitter.parser import Parser
from itf.mock_tree_sitter.points import Point, Range
from itf.mock_tree_sitter.tree import Tree

__all__ = ["Language", "Node", "Parser", "Point", "Range", "Tree", "TreeCursor", "corrupt"]
