"""Signatures of callables, without evaluating annotations.

Since Python 3.14, annotations are evaluated when they are read (PEP 649), and
`inspect.signature` reads them.  Names that are imported only under
``if TYPE_CHECKING:`` then raise `NameError`.  itf needs only the parameters.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, Final

from itf._private import has_partialmethod_signature

__all__ = ["signature_of"]

__unittest = True


def _without_evaluation() -> dict[str, Any]:
    """Return options that make `inspect.signature` return annotations as strings."""
    try:
        from annotationlib import Format  # type: ignore[import-not-found,unused-ignore]  # 3.14
    except ImportError:
        return {}  # before Python 3.14, annotations are evaluated at definition
    return {"annotation_format": Format.STRING}


# For callables whose annotations `_without_annotations` cannot remove, such as classes.
_OPTIONS: Final = _without_evaluation()


def signature_of(
    function: Callable[..., Any], *, follow_wrapped: bool = True
) -> inspect.Signature | None:
    """Return the signature of a callable; None if it has none, like some builtins.

    For functions, methods and `functools.partial` objects, no annotation is
    evaluated.  For classes and other callables, names in annotations need not exist.

    Args:
        function: Any object.
        follow_wrapped: Whether to return the signature of the wrapped function for
            a decorated one, as in `inspect.signature`.
    """
    bare = _without_annotations(function, follow_wrapped)
    try:
        return inspect.signature(bare, follow_wrapped=follow_wrapped, **_OPTIONS)
    except Exception:  # noqa: BLE001 - ValueError, TypeError, and any error of a class's annotations
        return _signature_of_call(bare, follow_wrapped)


def _signature_of_call(function: Any, follow_wrapped: bool) -> inspect.Signature | None:
    """Return the signature of the ``__call__`` of an object's class; None without one.

    `inspect` treats an object with both ``__call__`` and ``__get__`` as a method
    written in C, and raises ValueError.  The ``async_to_sync`` of asgiref, which
    Django uses, makes such objects.
    """
    call = inspect.getattr_static(type(function), "__call__", None)
    if not isinstance(call, types.FunctionType):
        return None
    bound = _without_annotations(types.MethodType(call, function), follow_wrapped)
    try:
        return inspect.signature(bound, follow_wrapped=follow_wrapped, **_OPTIONS)
    except Exception:  # noqa: BLE001 - as above, or a __call__ without the parameter self
        return None


def _without_annotations(function: Any, follow_wrapped: bool) -> Any:
    """Return a copy of a function, method or partial object without annotations.

    Other callables are returned unchanged.
    """
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
    if not isinstance(function, types.FunctionType) or _has_own_signature(function):
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
        # The same condition as in `inspect.signature`.
        return inspect.unwrap(
            function,
            stop=lambda f: hasattr(f, "__signature__") or isinstance(f, types.MethodType),
        )
    except ValueError:
        return function  # __wrapped__ attributes that form a cycle


def _has_own_signature(function: types.FunctionType) -> bool:
    """Return whether a function has a signature that is not that of its code."""
    return "__signature__" in vars(function) or has_partialmethod_signature(function)
