"""A wrapper is taken for what it wraps."""

from __future__ import annotations

import functools
import inspect
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf.wrapping import is_coroutine_function, passed_off_as


class Sample:
    """What methods are taken from."""

    def plain(self) -> None:
        """Do nothing."""

    async def asynchronous(self) -> None:
        """Do nothing, later."""

    plain.mark = "x"  # type: ignore[attr-defined]
    partial = functools.partialmethod(plain)
    static = staticmethod(plain)


def wrapper_of(method: Callable[..., Any]) -> Any:
    """Return a function that stands in for a method."""

    def wrapper() -> None:
        """Stand in."""

    return passed_off_as(method, wrapper)


class PassedOffAsTest(unittest.TestCase):
    """All that a runner asks a test method for, it finds on its wrapper."""

    def test_what_update_wrapper_gives(self) -> None:
        """Name, text, module, marks, and the way to the method."""
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

    def test_what_is_no_function(self) -> None:
        """Has at least what it has."""
        for method in (Sample().partial, mock.Mock(spec=Sample().plain), len):
            self.assertIs(method, wrapper_of(method).__wrapped__)
        self.assertEqual("len", wrapper_of(len).__name__)


class IsCoroutineFunctionTest(unittest.TestCase):
    """The answer is that of `inspect`."""

    def test_the_same_answer(self) -> None:
        """For functions, methods and whatever else can be called."""
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
    def test_one_that_is_marked(self) -> None:
        """Counts, as it does for `inspect`."""
        marked = inspect.markcoroutinefunction(lambda: None)
        self.assertTrue(is_coroutine_function(marked))
