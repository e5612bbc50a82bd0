"""A weak mapping by identity, and the names of classes, without calling code of the user.

A `weakref.WeakKeyDictionary` calls ``==`` and ``hash`` of its keys.  If a key is a
class, they are methods of its metaclass, and may raise, warn or be missing.
"""

from __future__ import annotations

import weakref
from typing import Any, Final, Generic, TypeVar

__all__ = ["IdentityMap", "module_and_name"]

__unittest = True

_V = TypeVar("_V")

# The descriptors of `type` itself, because a metaclass may define attributes of these names.
_MODULE: Final[Any] = vars(type)["__module__"]
_QUALNAME: Final[Any] = vars(type)["__qualname__"]


class IdentityMap(Generic[_V]):
    """A mapping that compares its keys by ``is`` and refers to them weakly.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], _V]] = {}

    def get(self, key: object) -> _V | None:
        """Return the value of a key; None if the mapping does not have the key."""
        entry = self._entries.get(id(key))
        # After a key was collected, another object may have the same id.
        return entry[1] if entry is not None and entry[0]() is key else None

    def set(self, key: object, value: _V) -> None:
        """Set the value of a key."""
        number, entries = id(key), self._entries
        entries[number] = (weakref.ref(key, lambda _: entries.pop(number, None)), value)

    def __len__(self) -> int:
        return len(self._entries)


def module_and_name(kind: type) -> tuple[str | None, str]:
    """Return the module of a class, None if the class has none, and its qualified name.

    This function calls no code of the class or of its metaclass.
    """
    try:
        module = _MODULE.__get__(kind)
    except AttributeError:
        module = None  # the class was made by code whose globals have no __name__
    # A subclass of str may define ``==``, so only plain strings are returned.
    return (module if type(module) is str else None), _QUALNAME.__get__(kind)
