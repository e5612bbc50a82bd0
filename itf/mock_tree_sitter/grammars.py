"""Which languages there are, and who makes the nodes of each."""

from __future__ import annotations

from itf.mock_tree_sitter.grammar import Grammar
from itf.mock_tree_sitter.node_table import NodeTable
from itf.mock_tree_sitter.python_grammar import PYTHON
from itf.mock_tree_sitter.python_statements import python_table
from itf.mock_tree_sitter.structural import structural_table
from itf.mock_tree_sitter.structural_languages import structure_of

__all__ = ["grammar_of", "table_of"]

__unittest = True


def grammar_of(language: str) -> Grammar:
    """Return the kinds of nodes that a language has."""
    return PYTHON if language == PYTHON.name else structure_of(language).grammar


def table_of(source: bytes, language: str) -> NodeTable:
    """Return the nodes of a source, whatever it contains."""
    if language == PYTHON.name:
        return python_table(source)
    return structural_table(source, structure_of(language))
