from __future__ import annotations

import importlib
import sys
import unittest
from collections.abc import Generator
from typing import Any

from itf import IntegrationTestCase
from tests.leaks.corpus import BEFORE, CORPUS, Planted
from tests.support import run_case

# So many of each there are to be, at least.
ENOUGH = 60


class PlantedCase(IntegrationTestCase):
    """Leaves behind what it is given, or tidies it up; its neighbours leave nothing."""

    leak_grace = 0.05
    planted: Planted
    left: Generator[None] | None = None

    def test_before(self) -> None:
        """Leave nothing behind."""

    def test_leaves(self) -> None:
        """Leave it behind."""
        PlantedCase.left = self.planted.make()
        next(PlantedCase.left)

    def test_tidies(self) -> None:
        """Do the same, and tidy up."""
        for _ in self.planted.make():
            """Something is there now."""

    def test_after(self) -> None:
        """Leave nothing behind."""

    # Not for loaders: the tests below run them one by one.
    __test__ = False


def load_tests(loader: unittest.TestLoader, tests: Any, pattern: str | None) -> unittest.TestSuite:
    """Leave the planted case out, which is run by the tests below."""
    return unittest.TestSuite(
        loader.loadTestsFromTestCase(case) for case in (CorpusTest, EnoughTest)
    )


class EnoughTest(unittest.TestCase):
    def test_there_are_enough(self) -> None:
        """The corpus is as large as it is said to be."""
        self.assertGreaterEqual(len(CORPUS), ENOUGH)


@unittest.skipUnless(sys.platform == "linux", "what is planted is Linux's")
class CorpusTest(unittest.TestCase):
    """Every leak is found, named and blamed on its test; no twin that tidies up is."""

    @classmethod
    def setUpClass(cls) -> None:
        # Imported before, for an import is not what this is about.
        for name in ("wave", "multiprocessing.resource_tracker"):
            importlib.import_module(name)
        # The first named semaphore starts a process that stays.
        importlib.import_module("multiprocessing.resource_tracker").ensure_running()
        BEFORE.open()
        cls.addClassCleanup(BEFORE.close)

    def run_one(self, name: str, method: str) -> unittest.TestResult:
        """Run one of the planted tests between its neighbours."""
        PlantedCase.planted = CORPUS[name]
        before = run_case(PlantedCase("test_before"))
        result = run_case(PlantedCase(method))
        after = run_case(PlantedCase("test_after"))
        for neighbour in (before, after):
            self.assertEqual([], neighbour.failures + neighbour.errors, "blamed on a neighbour")
        return result

    def check_leak(self, name: str) -> None:
        """Check that what is left behind is found, named, and blamed on its test alone."""
        BEFORE.divisor = 0
        result = self.run_one(name, "test_leaves")
        left, PlantedCase.left = PlantedCase.left, None
        self.assertIsNotNone(left)
        for _ in left or ():
            """Tidied up."""
        self.assertEqual([], result.errors)
        self.assertEqual(1, len(result.failures), "it was not found")
        _, text = result.failures[0]
        planted = CORPUS[name]
        self.assertRegex(text, planted.text)
        self.assertEqual(
            f"SUMMARY: {planted.summary} leaked by {PlantedCase('test_leaves').id()}",
            text.strip().splitlines()[-1],
        )

    def check_twin(self, name: str) -> None:
        """Check that nothing is said of a test that tidies up."""
        BEFORE.divisor = 1
        result = self.run_one(name, "test_tidies")
        self.assertEqual([], result.failures + result.errors)
        self.assertTrue(result.wasSuccessful())


def _test_of(check: str, name: str) -> Any:
    def test(self: CorpusTest) -> None:
        getattr(self, check)(name)

    test.__doc__ = f"{name.replace('_', ' ')}: {check.removeprefix('check_')}."
    return test


for _name in CORPUS:
    setattr(CorpusTest, f"test_{_name}_is_found", _test_of("check_leak", _name))
    setattr(CorpusTest, f"test_{_name}_tidied_up_is_not", _test_of("check_twin", _name))


if __name__ == "__main__":
    unittest.main()
