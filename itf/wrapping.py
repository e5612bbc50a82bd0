"""Functions that stand in for others around every test: made and asked about in little time."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

__all__ = ["is_coroutine_function", "passed_off_as"]

__unittest = True

_F = TypeVar("_F", bound=Callable[..., Any])


def passed_off_as(method: Callable[..., Any], wrapper: _F) -> _F:
    """Give a wrapper the name, the text and the marks of a method, and return it.

    As `functools.update_wrapper`, which takes longer than all else that wraps
    a test.  Annotations stay behind: nobody asks a wrapper for them who cannot
    ask what it wraps.
    """
    function = getattr(method, "__func__", method)
    if type(function) is not FunctionType:
        functools.update_wrapper(wrapper, method)
        return wrapper
    made = cast(FunctionType, wrapper)
    made.__name__, made.__qualname__ = function.__name__, function.__qualname__
    made.__doc__, made.__module__ = function.__doc__, function.__module__
    made.__dict__.update(function.__dict__, __wrapped__=method)
    return wrapper


def is_coroutine_function(method: Callable[..., Any]) -> bool:
    """Say what `inspect.iscoroutinefunction` says, which takes ten times as long."""
    function = getattr(method, "__func__", method)
    if type(function) is FunctionType:
        # A function may also be marked as one that returns a coroutine.
        if function.__code__.co_flags & inspect.CO_COROUTINE:
            return True
        if not function.__dict__:
            return False
    return inspect.iscoroutinefunction(method)
