"""Functions each of whose calls is timed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from itf.texts import safe_repr

if TYPE_CHECKING:
    from itf.measures.timing import Timing

__all__ = ["timed"]

__unittest = True

_F = TypeVar("_F", bound=Callable[..., Any])


def timed(fresh: Callable[[], Timing], function: _F) -> _F:
    """Return a function that does the same, inside a fresh timing at each call.

    Raises:
        TypeError: It is not a function, or one whose calls have no end that can be seen.
    """
    if not callable(function):
        raise TypeError(f"measure decorates functions, got {safe_repr(function)}")
    if inspect.isasyncgenfunction(function):
        raise TypeError(
            f"measure cannot decorate {function.__qualname__}, an asynchronous generator; "
            "use `async with` in it, or around the loop over it"
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            async with fresh():
                return await function(*args, **kwargs)

        return cast(_F, coroutine)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            with fresh():
                return (yield from function(*args, **kwargs))

        return cast(_F, generator)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with fresh():
            return function(*args, **kwargs)

    return cast(_F, call)
