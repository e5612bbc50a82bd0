from __future__ import annotations

import functools
import unittest
from typing import Any

from itf import (
    interleave,
)
from tests.interleaving.programs import (
    failing_run,
)


class ArgumentsTest(unittest.TestCase):
    def test_wrong_arguments_raise_errors(self) -> None:
        """Wrong arguments raise an error with the value and a remedy."""

        async def coroutine() -> None:
            return None

        def generator() -> Any:
            yield

        for functions, options, kind, text in (
            ((generator,), {}, TypeError, "function 1 is a generator function.*executes none"),
            ((), {}, ValueError, "needs functions to run as threads, got none"),
            ((3,), {}, TypeError, "function 1 cannot be called: 3"),
            ((print, None), {}, TypeError, "function 2 cannot be called: None; did you call it"),
            ((coroutine,), {}, TypeError, "function 1 is a coroutine function.*async_test_runner"),
            ((functools.partial(coroutine),), {}, TypeError, "is a coroutine function"),
            ((print,), {"setup": 1}, TypeError, "setup cannot be called: 1"),
            ((print,), {"check": coroutine}, TypeError, "check is a coroutine function"),
            ((print,), {"runs": 0}, ValueError, "runs must be at least 1, got 0"),
            ((print,), {"runs": 1.5}, TypeError, "runs must be an int, got 1.5"),
            ((print,), {"seed": "x"}, TypeError, "seed must be an int, got 'x'"),
            ((print,), {"seed": -1}, ValueError, "seed must be at least 0, got -1"),
            ((print,), {"timeout": -1}, ValueError, "timeout must be at least 0 seconds, got -1"),
            ((print,), {"timeout": "1"}, TypeError, "timeout must be a number of seconds or None"),
            ((print,), {"trace": [3]}, TypeError, "trace must be modules or their names, got 3"),
        ):
            with self.subTest(text), self.assertRaisesRegex(kind, text):
                interleave(*functions, **options)  # type: ignore[arg-type]

    def test_nested_calls_raise_errors(self) -> None:
        """interleave raises an error in functions and in setup of another interleave."""

        def nested() -> None:
            interleave(print)

        error = failing_run(interleave, nested)
        self.assertIsInstance(error.__cause__, RuntimeError)
        self.assertIn("called by a function that interleave runs", str(error.__cause__))
        with self.assertRaisesRegex(RuntimeError, "called by setup or check of another"):
            interleave(lambda: None, setup=nested)

    def test_an_error_of_setup_is_raised_unchanged(self) -> None:
        """An error of setup is raised unchanged, with a note that has the seed."""
        with self.assertRaises(KeyError) as caught:
            interleave(lambda: None, setup=lambda: {}["key"], seed=4)
        self.assertEqual(
            ["in setup of run 1 of 200 of interleave, seed 4"], caught.exception.__notes__
        )


if __name__ == "__main__":
    unittest.main()
