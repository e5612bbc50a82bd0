"""Four questions whose usual way is too slow to be asked around every test.

Each uses a private name of the standard library, and the public way where that
name is missing.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

try:
    import _locale
except ImportError:
    _locale = None  # type: ignore[assignment]

__all__ = ["blocked", "environment", "locale_name", "signal_handlers"]

__unittest = True

SIGNALS: Final = tuple(sorted(map(int, signal.valid_signals())))


def environment() -> dict[Any, Any]:
    """Return a copy of what `os.environ` holds, encoded as it is in there.

    `dict(os.environ)` decodes every key and value, and takes a hundred times as long.
    """
    data = getattr(os.environ, "_data", None)
    if type(data) is dict:
        return data.copy()
    # A test has put another mapping in its place.
    return {os.fsencode(key): os.fsencode(value) for key, value in os.environ.items()}


def _quick(name: str) -> Callable[..., Any]:
    """Return a function of `signal` as C has it.

    The public one turns each answer into an enum, at ten times the price.
    """
    public: Callable[..., Any] = getattr(signal, name, set)
    quick: Callable[..., Any] = getattr(sys.modules.get("_signal"), name, public)
    return quick


_get: Final = _quick("getsignal")
_mask: Final = _quick("pthread_sigmask")
_BLOCK: Final = getattr(signal, "SIG_BLOCK", None)


def signal_handlers() -> tuple[Any, ...]:
    """Return the handlers of all signals, in the order of `SIGNALS`."""
    return tuple(map(_get, SIGNALS))


def blocked() -> set[int]:
    """Return the signals that this thread does not let through."""
    if _BLOCK is None:
        return set()  # no such thing here
    found: set[int] = _mask(_BLOCK, ())
    return found


def locale_name() -> str | None:
    """Return the name of the locale in all its categories; None if there is no way to know.

    The module `locale` need not be imported for it.
    """
    return None if _locale is None else _locale.setlocale(_locale.LC_ALL)
