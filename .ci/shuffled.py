"""Run the whole suite in an order that a seed decides.

Usage, from the top of the tree: python .ci/shuffled.py SEED

Modules are shuffled, the classes within each, and the tests within each class:
any order that still runs setUpModule and setUpClass once.
"""

from __future__ import annotations

import random
import sys
import unittest
from collections.abc import Iterator


def leaves(suite: unittest.TestSuite) -> Iterator[unittest.TestCase | unittest.TestSuite]:
    """Yield the tests of ``suite``; a suite of a type of its own is kept whole."""
    for item in suite:
        if type(item) is unittest.TestSuite:
            yield from leaves(item)
        else:
            yield item


def shuffled(suite: unittest.TestSuite, seed: int) -> unittest.TestSuite:
    """Return the tests of ``suite`` in the order that ``seed`` decides."""
    modules: dict[str, dict[type, list[unittest.TestCase | unittest.TestSuite]]] = {}
    for test in leaves(suite):
        kind = type(test)
        modules.setdefault(kind.__module__, {}).setdefault(kind, []).append(test)
    order = random.Random(seed)
    result = unittest.TestSuite()
    for classes in order.sample(list(modules.values()), k=len(modules)):
        for tests in order.sample(list(classes.values()), k=len(classes)):
            result.addTests(order.sample(tests, k=len(tests)))
    return result


def main(seed: int) -> int:
    """Discover, shuffle and run; return the exit code."""
    suite = shuffled(unittest.defaultTestLoader.discover("."), seed)
    # Two: the log has to show the order when a test depends on it.
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
