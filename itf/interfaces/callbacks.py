"""A registry of callbacks, called in the order of their registration."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

from itf.safe_repr import safe_repr

__all__ = ["CallbackRegistry", "Registration", "call_all"]

__unittest = True

_E = TypeVar("_E")


class Registration:
    """The handle of a registered callback.

    `unregister`, or the end of a ``with`` on the handle, ends the registration.

    Thread safety: every method, from any thread.
    """

    def __init__(self, unregister: Callable[[], object]) -> None:
        self._unregister = unregister

    def unregister(self) -> None:
        """Stop calling the callback; a second call does nothing."""
        self._unregister()

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unregister()


class CallbackRegistry(Generic[_E]):
    """Callbacks, each with a key that filters the events it receives.

    Thread safety: every method, from any thread.  Dict operations are atomic, and the
    numbers preserve the order.
    """

    def __init__(self) -> None:
        self._next_number = itertools.count()
        self._callbacks: dict[int, tuple[Callable[[_E], object], str | None]] = {}

    def register(self, callback: Callable[[_E], object], key: str | None) -> Registration:
        """Add a callback after the existing ones.

        Raises:
            TypeError: The callback is not callable, or the key is no str.
        """
        if not callable(callback):
            raise TypeError(
                f"cannot register {safe_repr(callback)} ({type(callback).__name__}): "
                "it is not callable; pass a function of one argument"
            )
        if key is not None and not isinstance(key, str):
            raise TypeError(f"expected a str to listen to, got {safe_repr(key)}")
        number = next(self._next_number)
        self._callbacks[number] = (callback, key)
        return Registration(lambda: self._callbacks.pop(number, None))

    def interested(self, wants: Callable[[str], bool]) -> list[Callable[[_E], object]]:
        """Return, in order, the callbacks without a key and those whose key is wanted.

        A callback that is unregistered before it is called does nothing.
        """
        return [
            functools.partial(self._call, number)
            for number, (_, key) in sorted(self._callbacks.copy().items(), key=lambda item: item[0])
            if key is None or wants(key)
        ]

    def _call(self, number: int, event: _E) -> object:
        callback, _ = self._callbacks.get(number, (None, None))
        return None if callback is None else callback(event)


def call_all(
    callbacks: Iterable[Callable[[Any], object]], make: Callable[[], Any]
) -> list[Exception]:
    """Call every callback with a new value from ``make``; return what they raised.

    A failing callback does not keep the others from being called.
    """
    failures = []
    for callback in callbacks:
        try:
            callback(make())
        except Exception as error:  # noqa: BLE001 - all of them are handed to the caller
            failures.append(error)
    return failures
