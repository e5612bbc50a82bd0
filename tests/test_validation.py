"""Validation of arguments: numbers, timeouts and choices."""

from __future__ import annotations

import math
import threading
import unittest
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from itf.validation import (
    LONGEST_WAIT,
    check_choice,
    check_integer,
    check_number,
    check_positive,
    check_seconds,
    check_timeout,
)


class IndexOnly:
    """An integer type that is not a subclass of int, like those of numpy."""

    def __index__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "IndexOnly()"


class ValidationTestCase(unittest.TestCase):
    def check_error(
        self, kind: type[Exception], message: str, check: Callable[..., Any], *arguments: Any
    ) -> None:
        """Assert that a check refuses its arguments with exactly this error."""
        with self.subTest(message), self.assertRaises(kind) as caught:
            check(*arguments)
        self.assertEqual((kind, message), (type(caught.exception), str(caught.exception)))


class IntegerTest(ValidationTestCase):
    """`check_integer`."""

    def test_integers_are_returned(self) -> None:
        """Any int is allowed without a minimum; the minimum itself is allowed."""
        for value in (0, -3, 10**400):
            self.assertEqual(value, check_integer("n", value))
        self.assertEqual(1, check_integer("n", 1, 1))

    def test_an_object_with_index_becomes_an_int(self) -> None:
        """The result is a plain int, also for a subclass of another kind."""
        self.assertEqual((7, int), (check_integer("n", IndexOnly()), type(check_integer("n", 7))))

    def test_other_values_are_refused(self) -> None:
        """Bools, floats, text and None raise TypeError; a number below the minimum ValueError."""
        for value in (True, 1.0, "1", None, Fraction(1)):
            self.check_error(
                TypeError, f"n must be an int, got {value!r}", check_integer, "n", value
            )
        self.check_error(ValueError, "n must be at least 1, got 0", check_integer, "n", 0, 1)
        self.check_error(
            ValueError, "n must be at least 8, got IndexOnly()", check_integer, "n", IndexOnly(), 8
        )


class NumberTest(ValidationTestCase):
    """`check_number` and `check_positive`."""

    def test_numbers_are_returned(self) -> None:
        """Finite ints and floats are allowed, also an int beyond the range of floats."""
        for value in (0, -1.5, 10**400):
            self.assertEqual(value, check_number("n", value))
        self.assertEqual(0, check_number("n", 0, 0))
        for value in (5e-324, 1, 10**400):
            self.assertEqual(value, check_positive("n", value))

    def test_other_values_are_refused(self) -> None:
        """Both functions refuse bools, text, NaN and infinity."""
        for check in (check_number, check_positive):
            for wrong in (True, "1", None, 1j):
                self.check_error(TypeError, f"n must be a number, got {wrong!r}", check, "n", wrong)
            for value in (math.nan, math.inf, -math.inf):
                self.check_error(ValueError, f"n must be finite, got {value}", check, "n", value)

    def test_small_numbers_are_refused(self) -> None:
        """check_number refuses what is below its minimum, check_positive zero and less."""
        self.check_error(ValueError, "n must be at least 0, got -1", check_number, "n", -1, 0)
        self.check_error(ValueError, "n must be at least 0.5, got 0.4", check_number, "n", 0.4, 0.5)
        for value in (0, -0.0, -2):
            self.check_error(
                ValueError, f"n must be above 0, got {value!r}", check_positive, "n", value
            )


class TimeoutTest(ValidationTestCase):
    """`check_seconds` and `check_timeout`."""

    def test_seconds_are_returned_as_float(self) -> None:
        """Zero is allowed; the result is a float."""
        for check in (check_seconds, check_timeout):
            for value in (0, 1, 2.5):
                self.assertEqual((float, value), (type(check("timeout", value)), value))

    def test_none_is_a_timeout(self) -> None:
        """None means no limit; a duration cannot be None."""
        self.assertIsNone(check_timeout("timeout", None))
        self.check_error(
            TypeError, "delay must be a number of seconds, got None", check_seconds, "delay", None
        )

    def test_long_timeouts_are_shortened(self) -> None:
        """Infinity and huge ints become LONGEST_WAIT, which a lock accepts."""
        for value in (math.inf, 1e300, 10**400):
            self.assertEqual(LONGEST_WAIT, check_timeout("timeout", value))
        self.assertTrue(threading.Lock().acquire(timeout=LONGEST_WAIT))

    def test_other_values_are_refused(self) -> None:
        """Bools and text raise TypeError; NaN and negative numbers ValueError."""
        for wrong in (True, "1"):
            self.check_error(
                TypeError,
                f"timeout must be a number of seconds or None, got {wrong!r}",
                check_timeout,
                "timeout",
                wrong,
            )
        for value in (math.nan, -1, -math.inf):
            for check in (check_seconds, check_timeout):
                self.check_error(
                    ValueError, f"t must be at least 0 seconds, got {value!r}", check, "t", value
                )


class ChoiceTest(ValidationTestCase):
    """`check_choice`."""

    def test_a_choice_is_returned(self) -> None:
        """The choices may be any iterable."""
        self.assertEqual("a", check_choice("kind", "a", iter(("b", "a"))))

    def test_other_values_are_refused(self) -> None:
        """The message lists the choices, and suggests the most similar one."""
        for value, suggestion in (
            ("Green", " (did you mean 'green'?)"),
            ("gren", " (did you mean 'green'?)"),
            ("x", ""),
            (None, ""),
            (["red"], ""),
        ):
            self.check_error(
                ValueError,
                f"unknown color {value!r}{suggestion}; choose one of red, green",
                check_choice,
                "color",
                value,
                ("red", "green"),
            )


class NameTest(ValidationTestCase):
    def test_the_name_may_carry_the_function(self) -> None:
        """The name is shown as it is."""
        self.check_error(
            ValueError,
            "interleave: runs must be at least 1, got 0",
            check_integer,
            "interleave: runs",
            0,
            1,
        )


if __name__ == "__main__":
    unittest.main()
