"""Checks of the arguments of `interleave`, and what is derived from the functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator, Sequence
from types import CodeType, ModuleType
from typing import Any

from itf.safe_repr import safe_repr

__all__ = ["check_functions", "codes_of", "names_of", "thread_names"]

__unittest = True


def thread_names(functions: Iterable[Any]) -> list[str]:
    """Return the names of the threads, such as ``deposit-1``: function and number."""
    return [f"{_name_of(function)}-{n}" for n, function in enumerate(functions, 1)]


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return "lambda" if name == "<lambda>" else str(name)


def codes_of(functions: Iterable[Any]) -> Iterator[CodeType]:
    """Yield the code objects of functions, methods, partials and callable objects.

    Decorated functions are unwrapped; functions written in C have no code and are skipped.
    """
    for function in functions:
        while isinstance(function, functools.partial):
            function = function.func  # noqa: PLW2901 - unwrapped in place
        function = inspect.unwrap(getattr(function, "__func__", function))  # noqa: PLW2901 - unwrapped in place
        code = getattr(function, "__code__", None)
        if code is None:
            code = getattr(_call_of(function), "__code__", None)
        if isinstance(code, CodeType):
            yield code


def names_of(trace: Iterable[ModuleType | str] | None) -> list[str] | None:
    """Return the names of the modules to trace; None if ``trace`` is None."""
    if trace is None:
        return None
    entries = [trace] if isinstance(trace, str | ModuleType) else [*trace]
    for entry in entries:
        if not isinstance(entry, str | ModuleType):
            raise TypeError(f"trace must be modules or their names, got {safe_repr(entry)}")
    return [entry if isinstance(entry, str) else entry.__name__ for entry in entries]


def check_functions(functions: Sequence[Any], setup: Any, check: Any) -> None:
    """Raise if a function, setup or check cannot be called in a thread."""
    if not functions:
        raise ValueError("interleave needs functions to run as threads, got none")
    named = [(f"function {number}", function) for number, function in enumerate(functions, 1)]
    named += [(name, f) for name, f in (("setup", setup), ("check", check)) if f is not None]
    for name, function in named:
        if not callable(function):
            hint = "" if function is not None else "; did you call it, instead of passing it?"
            raise TypeError(f"interleave: {name} cannot be called: {safe_repr(function)}{hint}")
        called = _called(function)
        if any(map(inspect.isgeneratorfunction, called)):
            raise TypeError(
                f"interleave: {name} is a generator function: {safe_repr(function)}; "
                "calling it executes none of its body, so pass a function that iterates over it"
            )
        if any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in called):
            raise TypeError(
                f"interleave: {name} is a coroutine function: {safe_repr(function)}; "
                "interleave runs threads; use async_test_runner for coroutines"
            )


def _called(function: Any) -> tuple[Any, Any]:
    """Return a function without its partials, and the ``__call__`` of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    return function, _call_of(function)


def _call_of(function: Any) -> Any:
    """Return the method that is executed when the object is called."""
    return getattr(type(function), "__call__", None)  # noqa: B004 - the method, not a check
