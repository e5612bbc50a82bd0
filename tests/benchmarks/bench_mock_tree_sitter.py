"""How long a parse takes a line, in a source of 10,000 lines and in one of 1,000,000.

    python -m tests.benchmarks.bench_mock_tree_sitter

The two sizes take turns within one run: some of the small one, one of the large
one, again some of the small one.  Times are the process's own; a ratio near 1.0
says that the time grows as the source does.  The memory is that of the nodes'
columns.
"""

from __future__ import annotations

import statistics
import sys
import time
from array import array

from itf import sample_code_files
from itf.mock_tree_sitter import Language, Parser, Tree

FEW, MANY = 10_000, 1_000_000

# The small source is parsed so often before and after the large one.
TURNS = 5


def source(language: str, lines: int) -> bytes:
    """Return so many lines of valid code, and perhaps some more, to the end of a unit."""
    suffix = {"python": "py", "javascript": "js", "rust": "rs", "c": "c"}[language]
    unit = sample_code_files()[f"example.{suffix}"].encode()
    return unit * (lines // unit.count(b"\n") + 1)


def per_line(parser: Parser, code: bytes) -> tuple[float, Tree]:
    """Return the microseconds a line that a parse takes, and the tree."""
    start = time.process_time()
    tree = parser.parse(code)
    return (time.process_time() - start) * 1e6 / code.count(b"\n"), tree


def held(tree: Tree) -> int:
    """Return the bytes that the columns of a tree's nodes take."""
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
