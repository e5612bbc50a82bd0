"""Draw comments and docstrings at random, to find out whether a newcomer understands them.

Usage: python .github/draw_comments.py [-n 60] [--seed N] [FOLDER]

Prints each with five lines before it and ten after.  Give the output to somebody who
does not know the code, have each comment explained in the reader's own words, and
compare the explanations with the code.  At least 57 of 60 should be right.  The same
seed draws the same comments from the same tree.
"""

from __future__ import annotations

import argparse
import ast
import io
import pathlib
import random
import tokenize
from collections.abc import Iterator

LINES_BEFORE = 5
LINES_AFTER = 10
# Comments that are for tools.
FOR_TOOLS = ("# noqa", "# type:", "#!")


def docstrings(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """Yield first and last line of each docstring."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node):
            yield node.body[0].lineno, node.body[0].end_lineno or node.body[0].lineno


def comments(text: str) -> Iterator[tuple[int, int]]:
    """Yield first and last line of each block of comments."""
    lines = [
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith(FOR_TOOLS)
    ]
    for line in lines:
        if line - 1 in lines:
            continue
        last = line
        while last + 1 in lines:
            last += 1
        yield line, last


def main() -> None:
    """Print the draw."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("-n", type=int, default=60, help="how many to draw")
    options.add_argument("--seed", type=int, help="repeat the draw that printed this seed")
    options.add_argument("folder", nargs="?", default="itf")
    given = options.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed

    found = []
    for path in sorted(pathlib.Path(given.folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        blocks = [*docstrings(ast.parse(text)), *comments(text)]
        found += [(path, first, last) for first, last in sorted(blocks)]
    drawn = random.Random(seed).sample(found, min(given.n, len(found)))
    print(f"seed {seed}: {len(drawn)} of {len(found)} comments and docstrings in {given.folder}")
    for number, (path, first, last) in enumerate(drawn, 1):
        print(f"\n=== {number}. {path}:{first}-{last}")
        lines = path.read_text(encoding="utf-8").splitlines()
        start, end = max(1, first - LINES_BEFORE), min(len(lines), last + LINES_AFTER)
        for line in range(start, end + 1):
            print(f"{'>' if first <= line <= last else ' '} {lines[line - 1]}")


if __name__ == "__main__":
    main()
