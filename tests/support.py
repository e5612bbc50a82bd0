"""What several test modules use."""

from __future__ import annotations

import unittest

__all__ = ["run_case", "run_method"]


def run_case(case: unittest.TestCase) -> unittest.TestResult:
    """Run one test, and return the result that it has filled in."""
    result = unittest.TestResult()
    case.run(result)
    return result


def run_method(cls: type[unittest.TestCase], name: str = "test") -> unittest.TestResult:
    """Run one test method of a class, and return the result that it has filled in."""
    return run_case(cls(name))
