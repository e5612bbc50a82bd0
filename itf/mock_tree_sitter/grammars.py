"""Choice of grammar and parser by language name."""

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
    """Return the grammar of a language."""
    return PYTHON if language == PYTHON.name else structure_of(language).grammar


def table_of(source: bytes, language: str) -> NodeTable:
    """Parse a source and return its nodes; invalid source becomes ERROR nodes."""
    if language == PYTHON.name:
        return python_table(source)
    return structural_table(source, structure_of(language))
