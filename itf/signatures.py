"""Signatures of callables, without their annotations.

Since Python 3.14 annotations are evaluated when they are read (PEP 649), and
`inspect.signature` reads them: a name that is imported under
``if TYPE_CHECKING:`` is a `NameError` there.  itf needs parameters only.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, Final

__all__ = ["signature_of"]

__unittest = True


def _without_evaluation() -> dict[str, Any]:
    """Return the options with which `inspect.signature` leaves names in annotations alone."""
    try:
        from annotationlib import Format  # type: ignore[import-not-found,unused-ignore]  # 3.14
    except ImportError:
        return {}  # before Python 3.14 annotations were evaluated when the function was made
    return {"annotation_format": Format.STRING}


# For what is no function of Python: a class, whose signature `inspect` composes.
_OPTIONS: Final = _without_evaluation()


def signature_of(
    function: Callable[..., Any], *, follow_wrapped: bool = True
) -> inspect.Signature | None:
    """Return the signature of a callable, None if the callable does not say.

    No code of annotations runs for functions, methods and `functools.partial`
    objects; for classes and other callables, no name in an annotation has to exist.

    Args:
        function: Anything.
        follow_wrapped: Whether a decorated function has the signature of the
            function that it wraps, as `inspect.signature` says.
    """
    bare = _without_annotations(function, follow_wrapped)
    try:
        return inspect.signature(bare, follow_wrapped=follow_wrapped, **_OPTIONS)
    except Exception:  # noqa: BLE001 - ValueError, TypeError, and whatever a class's annotations raise
        return _signature_of_call(bare, follow_wrapped)


def _signature_of_call(function: Any, follow_wrapped: bool) -> inspect.Signature | None:
    """Return the signature of the ``__call__`` of an object's class, None if it does not say.

    `inspect` takes an object that has both ``__call__`` and ``__get__`` for a
    method written in C; asgiref's, and so Django's, ``async_to_sync`` makes such objects.
    """
    call = inspect.getattr_static(type(function), "__call__", None)
    if not isinstance(call, types.FunctionType):
        return None
    bound = _without_annotations(types.MethodType(call, function), follow_wrapped)
    try:
        return inspect.signature(bound, follow_wrapped=follow_wrapped, **_OPTIONS)
    except Exception:  # noqa: BLE001 - as above; and a __call__ without parameters cannot be bound
        return None


def _without_annotations(function: Any, follow_wrapped: bool) -> Any:
    """Return a copy of a function, method or partial that has the same parameters only."""
    if isinstance(function, types.MethodType):
        inner = _without_annotations(function.__func__, follow_wrapped)
        return types.MethodType(inner, function.__self__)
    if follow_wrapped:
        function = _unwrapped(function)
        if isinstance(function, types.MethodType):
            return _without_annotations(function, follow_wrapped)
    if type(function) is functools.partial:
        inner = _without_annotations(function.func, follow_wrapped)
        return functools.partial(inner, *function.args, **function.keywords)
    if not isinstance(function, types.FunctionType) or not _SPEAK_FOR_THEMSELVES.isdisjoint(
        vars(function)
    ):
        return function
    bare = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    bare.__kwdefaults__ = function.__kwdefaults__
    return bare


def _unwrapped(function: Any) -> Any:
    try:
        # As `inspect.signature` does it.
        return inspect.unwrap(
            function,
            stop=lambda f: hasattr(f, "__signature__") or isinstance(f, types.MethodType),
        )
    except ValueError:
        return function  # functions that wrap one another in a circle


# Attributes by which a function has another signature than its code; the last
# two are those of `functools.partialmethod`, up to 3.12 and since 3.13.
_SPEAK_FOR_THEMSELVES: Final = frozenset({"__signature__", "_partialmethod", "__partialmethod__"})
