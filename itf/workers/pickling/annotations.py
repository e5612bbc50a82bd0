"""Annotations of functions and classes that are pickled by value.

An annotation whose value can be pickled is sent as that value.  Any other annotation
is sent as text, as with ``from __future__ import annotations``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ForwardRef

from itf.safe_repr import safe_repr
from itf.workers.pickling.used_globals import is_importable

__all__ = ["sendable_annotations"]

__unittest = True


def sendable_annotations(owner: Any, can_send: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the annotations of a function or class in a form that can be sent.

    Args:
        owner: The function or class.
        can_send: Function that returns whether a value can be sent; called only where
            this is not obvious.
    """
    return {
        name: value if _is_plain(value) or can_send(value) else _text(owner, name, value)
        for name, value in _values(owner).items()
        if isinstance(name, str)
    }


def _is_plain(value: Any) -> bool:
    return value is None or type(value) is str or (isinstance(value, type) and is_importable(value))


def _values(owner: Any) -> dict[str, Any]:
    """Return the annotations; an undefined name is replaced by its text."""
    try:
        from annotationlib import (  # type: ignore[import-not-found,unused-ignore]  # 3.14
            Format,
            get_annotations,
        )
    except ImportError:
        return _get(inspect.get_annotations, owner)
    # Python evaluates annotations here for the first time (PEP 649), and a name may be
    # defined for type checkers only.  If evaluation raises another error than a
    # NameError, the texts of all annotations are used.
    values = _get(get_annotations, owner, format=Format.FORWARDREF)
    if not values:
        values = _get(get_annotations, owner, format=Format.STRING)
    return {
        name: value.__forward_arg__ if isinstance(value, ForwardRef) else value
        for name, value in values.items()
    }


def _text(owner: Any, name: str, value: Any) -> str:
    """Return the text of an annotation as it was written, or a text made from its value."""
    try:
        from annotationlib import (  # type: ignore[import-not-found,unused-ignore]  # 3.14
            Format,
            get_annotations,
        )
    except ImportError:
        texts = {}
    else:
        texts = _get(get_annotations, owner, format=Format.STRING)
    known = texts.get(name)
    if type(known) is str:
        return known
    # As `annotationlib.type_repr` of Python 3.14.
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    return safe_repr(value)


def _get(function: Callable[..., dict[str, Any]], owner: Any, **options: Any) -> dict[str, Any]:
    try:
        return dict(function(owner, **options))
    except Exception:  # noqa: BLE001 - annotations are code of the user
        return {}
