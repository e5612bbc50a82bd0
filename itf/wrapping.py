"""Fast versions of functools.update_wrapper and inspect.iscoroutinefunction.

itf calls them for every test.
"""

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
    """Copy name, docstring and attributes of a method to its wrapper, and return the wrapper.

    Like `functools.update_wrapper`, which takes longer than all other work to
    wrap a test.  Annotations are not copied; they are available from ``__wrapped__``.
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
    """Return the result of `inspect.iscoroutinefunction`, ten times faster for functions."""
    function = getattr(method, "__func__", method)
    if type(function) is FunctionType:
        # inspect.markcoroutinefunction sets an attribute, so without one the answer is no.
        if function.__code__.co_flags & inspect.CO_COROUTINE:
            return True
        if not function.__dict__:
            return False
    return inspect.iscoroutinefunction(method)
