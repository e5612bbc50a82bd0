"""Decorator that times each call of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from itf.safe_repr import safe_repr

__all__ = ["timed"]

__unittest = True

_F = TypeVar("_F", bound=Callable[..., Any])


def timed(new_timing: Callable[[], AbstractContextManager[object]], function: _F) -> _F:
    """Return a function that calls another one and times each call.

    Args:
        new_timing: Called for each call of the function; returns the context manager
            that times it.
        function: A function, a coroutine function or a generator function.

    Raises:
        TypeError: The object is not callable, or is an asynchronous generator function.
            The end of an asynchronous generator cannot be observed from outside.
    """
    if not callable(function):
        raise TypeError(f"measure can only decorate a function, got {safe_repr(function)}")
    if inspect.isasyncgenfunction(function):
        raise TypeError(
            f"measure cannot decorate {function.__qualname__}, an asynchronous generator; "
            "use `async with` in its body, or around the `async for` loop"
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with new_timing():
                return await function(*args, **kwargs)

        return cast(_F, coroutine)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            with new_timing():
                return (yield from function(*args, **kwargs))

        return cast(_F, generator)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with new_timing():
            return function(*args, **kwargs)

    return cast(_F, call)
