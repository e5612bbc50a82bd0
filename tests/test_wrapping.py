"""Tests of the fast versions of update_wrapper and iscoroutinefunction."""

from __future__ import annotations

import functools
import inspect
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf.wrapping import is_coroutine_function, passed_off_as


class Sample:
    """Class with a plain and a coroutine method."""

    def plain(self) -> None:
        """Do nothing."""

    async def asynchronous(self) -> None:
        """Do nothing, as a coroutine."""

    plain.mark = "x"  # type: ignore[attr-defined]
    partial = functools.partialmethod(plain)
    static = staticmethod(plain)


def wrapper_of(method: Callable[..., Any]) -> Any:
    """Return a function that passed_off_as made a wrapper of a method."""

    def wrapper() -> None:
        """Do nothing."""

    return passed_off_as(method, wrapper)


class PassedOffAsTest(unittest.TestCase):
    """Attributes that a test runner reads from a test method."""

    def test_what_update_wrapper_gives(self) -> None:
        """Name, docstring, module, attributes and __wrapped__ are those of update_wrapper."""
        for method in (Sample().plain, Sample().static, Sample.plain):
            made, standard = wrapper_of(method), functools.update_wrapper(lambda: None, method)
            for name in (
                "__name__",
                "__qualname__",
                "__doc__",
                "__module__",
                "__wrapped__",
                "mark",
            ):
                with self.subTest(method, attribute=name):
                    self.assertEqual(getattr(standard, name), getattr(made, name))

    def test_other_callables(self) -> None:
        """For a callable that is no function, the available attributes are copied."""
        for method in (Sample().partial, mock.Mock(spec=Sample().plain), len):
            self.assertIs(method, wrapper_of(method).__wrapped__)
        self.assertEqual("len", wrapper_of(len).__name__)


class IsCoroutineFunctionTest(unittest.TestCase):
    """Comparison with `inspect.iscoroutinefunction`."""

    def test_the_same_answer(self) -> None:
        """The results agree for functions, methods and other callables."""
        sample = Sample()
        candidates = [
            sample.plain,
            sample.asynchronous,
            Sample.asynchronous,
            functools.partial(sample.asynchronous),
            len,
            mock.AsyncMock(),
        ]
        for candidate in candidates:
            with self.subTest(candidate):
                self.assertEqual(
                    inspect.iscoroutinefunction(candidate), is_coroutine_function(candidate)
                )

    @unittest.skipUnless(hasattr(inspect, "markcoroutinefunction"), "new in 3.12")
    def test_a_marked_function(self) -> None:
        """A function marked by inspect.markcoroutinefunction is a coroutine function."""
        marked = inspect.markcoroutinefunction(lambda: None)
        self.assertTrue(is_coroutine_function(marked))
