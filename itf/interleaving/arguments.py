"""What interleave is given: looked at, and refused where it makes no sense."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator, Sequence
from types import CodeType, ModuleType
from typing import Any

from itf.safe_repr import safe_repr

__all__ = ["check_functions", "check_numbers", "codes_of", "names_of", "thread_names"]

__unittest = True


def thread_names(functions: Iterable[Any]) -> list[str]:
    """Return the names of the threads: each function's own, and its number."""
    return [f"{_name_of(function)}-{n}" for n, function in enumerate(functions, 1)]


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return "lambda" if name == "<lambda>" else str(name)


def codes_of(functions: Iterable[Any]) -> Iterator[CodeType]:
    """Walk the code of functions, methods, partials, wrapped ones, and callable objects."""
    for function in functions:
        while isinstance(function, functools.partial):
            function = function.func  # noqa: PLW2901 - what is inside of it
        function = inspect.unwrap(getattr(function, "__func__", function))  # noqa: PLW2901 - likewise
        code = getattr(function, "__code__", None)
        if code is None:
            code = getattr(_call_of(function), "__code__", None)
        if isinstance(code, CodeType):
            yield code


def names_of(trace: Iterable[ModuleType | str] | None) -> list[str] | None:
    """Return the names of the modules to trace; None if nothing is said of it."""
    if trace is None:
        return None
    entries = [trace] if isinstance(trace, str | ModuleType) else [*trace]
    for entry in entries:
        if not isinstance(entry, str | ModuleType):
            raise TypeError(f"trace takes modules and their names, got {safe_repr(entry)}")
    return [entry if isinstance(entry, str) else entry.__name__ for entry in entries]


def check_functions(functions: Sequence[Any], setup: Any, check: Any) -> None:
    """Refuse what cannot run as a thread."""
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
                "calling it runs nothing of it, so pass a function that walks through it"
            )
        if any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in called):
            raise TypeError(
                f"interleave: {name} is a coroutine function: {safe_repr(function)}; "
                "interleave runs threads, for coroutines there is async_test_runner"
            )


def _called(function: Any) -> tuple[Any, Any]:
    """Return what is called where a function or an object is, partials taken off."""
    while isinstance(function, functools.partial):
        function = function.func
    return function, _call_of(function)


def _call_of(function: Any) -> Any:
    """Return the method by which objects of its class are called."""
    return getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted


def check_numbers(runs: Any, seed: Any, timeout: Any) -> None:
    """Refuse numbers that make no sense."""
    if isinstance(runs, bool) or not isinstance(runs, int):
        raise TypeError(f"interleave: runs must be an int, got {safe_repr(runs)}")
    if runs < 1:
        raise ValueError(f"interleave: runs must be at least 1, got {runs}")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise TypeError(f"interleave: seed must be an int or None, got {safe_repr(seed)}")
    if seed is not None and seed < 0:
        raise ValueError(f"interleave: seed must not be negative, got {seed}")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"interleave: timeout must be above 0, got {safe_repr(timeout)}")
