"""The filters of `warnings`, wherever this Python keeps them.

Up to 3.13 there is one list, `warnings.filters`, which `warnings.catch_warnings`
replaces by a copy.  Since 3.14, with ``-X context_aware_warnings=1`` (the default
without the GIL), `catch_warnings` leaves that list alone and puts its copy into a
context variable.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from itf.leaks.probes.changes import Change
from itf.safe_repr import safe_repr

__all__ = ["CONTEXT_AWARE", "ContextFilters", "all_filters", "are_in_effect", "filters_here"]

__unittest = True


def _find(name: str) -> Callable[..., Any] | None:
    """Return a private function of `warnings`; None where filters are in no context.

    There is no public way to the filters of a context.  Where the function is
    missing, the filters of contexts are not seen, and those of the module are.
    """
    aware = getattr(sys.flags, "context_aware_warnings", False)
    function: Callable[..., Any] | None = getattr(warnings, name, None) if aware else None
    return function


_get_context: Callable[[], Any] | None = _find("_get_context")
_set_context: Callable[[Any], object] | None = _find("_set_context")

CONTEXT_AWARE: Final = _get_context is not None and _set_context is not None
"""Whether a context may have filters of its own."""


def filters_here() -> Any:
    """Return the list of filters that is in effect in this thread and context."""
    return warnings.filters if _get_context is None else _get_context()._filters


def all_filters() -> list[Any]:
    """Return the list that is in effect here and, if it is another one, the module's.

    The module's is in effect in every thread that has inherited no context.
    """
    here, of_module = filters_here(), warnings.filters
    return [here] if here is of_module else [here, of_module]


def are_in_effect(filters: Any) -> bool:
    """Say whether no `catch_warnings` was entered here since `filters_here` returned this list.

    A thread without an inherited context has the module's list, in which
    `catch_warnings` of another thread changes nothing.
    """
    here = filters_here()
    return here is filters or (_get_context is not None and here is warnings.filters)


class _Reading(NamedTuple):
    """The filters of one context at one moment.

    Attributes:
        thread: The thread in which they were read; the next one may have another context.
        context: What holds them; another one, once a `catch_warnings` was entered.
        filters: What they are; None where they are the module's.
    """

    thread: int
    context: Any
    filters: tuple[Any, ...] | None


class ContextFilters:
    """The filters of a context as a setting; those of the module are another one."""

    def read(self) -> _Reading | None:
        """Return what they are now, in this thread and context."""
        if _get_context is None:
            return None
        context = _get_context()
        filters = context._filters
        own = None if filters is warnings.filters else tuple(filters)
        return _Reading(threading.get_ident(), context, own)

    def changes(self, before: _Reading, after: _Reading) -> Iterator[Change]:
        """Tell of a `catch_warnings` that is still entered, and of filters that were changed."""
        if before.thread == after.thread:
            yield Change(
                "warnings.filters",
                _text_of(before),
                _text_of(after),
                lambda: _restore(before),
            )


def _text_of(reading: _Reading) -> str:
    return safe_repr(list(warnings.filters if reading.filters is None else reading.filters))


def _restore(reading: _Reading) -> None:
    if _set_context is None:
        return
    _set_context(reading.context)
    if reading.filters is not None:
        reading.context._filters[:] = reading.filters
    # Entering and leaving makes Python forget which warnings the filters have let through.
    with warnings.catch_warnings():
        """Nothing is to be caught."""
