"""Parse time per line, for a source of 10,000 lines and for one of 1,000,000.

    python -m tests.benchmarks.bench_mock_tree_sitter

One run measures both sizes in alternation: the small source several times, the large
one once, the small one again.  Times are CPU times of the process.  A ratio near 1.0
means that the time is linear in the size of the source.  Memory counts the arrays
of the nodes.
"""

from __future__ import annotations

import statistics
import sys
import time
from array import array

from itf import sample_code_files
from itf.mock_tree_sitter import Language, Parser, Tree

FEW, MANY = 10_000, 1_000_000

# Parses of the small source before, and again after, the parse of the large one.
TURNS = 5


def source(language: str, lines: int) -> bytes:
    """Return at least this many lines of valid code: a sample file, repeated."""
    suffix = {"python": "py", "javascript": "js", "rust": "rs", "c": "c"}[language]
    unit = sample_code_files()[f"example.{suffix}"].encode()
    return unit * (lines // unit.count(b"\n") + 1)


def per_line(parser: Parser, code: bytes) -> tuple[float, Tree]:
    """Return the parse time in microseconds per line, and the tree."""
    start = time.process_time()
    tree = parser.parse(code)
    return (time.process_time() - start) * 1e6 / code.count(b"\n"), tree


def held(tree: Tree) -> int:
    """Return the size in bytes of the arrays of a tree's nodes."""
    columns = (getattr(tree._table, name) for name in vars(tree._table))
    return sum(sys.getsizeof(column) for column in columns if isinstance(column, array))


def main() -> None:
    for language in ("python", "c", "javascript", "rust"):
        parser = Parser(Language(language))
        few, many = source(language, FEW), source(language, MANY)
        before = [per_line(parser, few)[0] for _ in range(TURNS)]
        at_many, tree = per_line(parser, many)
        after = [per_line(parser, few)[0] for _ in range(TURNS)]
        if tree.root_node.has_error:
            raise RuntimeError(f"the {language} source is not valid")
        at_few, nodes = statistics.median(before + after), tree.root_node.descendant_count
        print(
            f"{language:10} {at_few:6.2f} us a line at {FEW:,}, {at_many:6.2f} at {MANY:,}: "
            f"ratio {at_many / at_few:.2f}; {nodes:,} nodes in {held(tree) / 1e6:.0f} MB "
            f"({held(tree) / nodes:.1f} bytes each)"
        )


if __name__ == "__main__":
    main()
