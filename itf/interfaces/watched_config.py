"""Views of a mapping and a list that report every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any, TypeAlias

__all__ = ["WatchedList", "WatchedMapping", "same_value"]

__unittest = True

_OnChange: TypeAlias = Callable[[str, Any, Any], object]


def same_value(old: Any, new: Any) -> bool:
    """Return whether replacing ``old`` by ``new`` changes nothing."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False  # 1, True and 1.0 are equal, but different settings
    try:
        return bool(old == new)
    except Exception:  # noqa: BLE001 - an array's == has no truth; count it as a change
        return False


class WatchedMapping(MutableMapping[str, Any]):
    """A view of a mapping that reports every change made through it.

    Example:
        >>> config = WatchedMapping({"parser": {"timeout": 1}}, "", print)
        >>> config["parser"]["timeout"] = 5
        parser.timeout 1 5

    Thread safety: that of the underlying mapping.
    """

    def __init__(self, raw: MutableMapping[str, Any], path: str, on_change: _OnChange) -> None:
        self.raw = raw
        self._path = path
        self._on_change = on_change

    def reports_to(self, on_change: _OnChange) -> bool:
        """Return whether changes made through this view are reported to this function."""
        return self._on_change == on_change

    def _path_of(self, key: object) -> str:
        return f"{self._path}.{key}" if self._path else str(key)

    def __getitem__(self, key: str) -> Any:
        return _watched(self.raw[key], self._path_of(key), self._on_change)

    def __setitem__(self, key: str, value: Any) -> None:
        value = _unwatched(value)
        exists = key in self.raw
        old = _unwatched(self.raw[key]) if exists else None
        self.raw[key] = value
        if not exists or not same_value(old, value):
            self._on_change(self._path_of(key), old, value)

    def __delitem__(self, key: str) -> None:
        old = _unwatched(self.raw[key])
        del self.raw[key]
        self._on_change(self._path_of(key), old, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __contains__(self, key: object) -> bool:
        # The inherited method reads the value, which makes a defaultdict create it.
        return key in self.raw

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, watched, or ``default`` if the key is missing."""
        return self[key] if key in self.raw else default

    def copy(self) -> dict[str, Any]:
        """Return a dict with the same items, not watched."""
        return {key: _unwatched(self.raw[key]) for key in self.raw}

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key and return its value, not watched."""
        if key not in self.raw and default:
            return default[0]
        value = _unwatched(self.raw[key])
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove a key and return it with its value, not watched."""
        key, value = self.raw.popitem()
        value = _unwatched(value)
        self._on_change(self._path_of(key), value, None)
        return key, value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, watched; a missing key is set to ``default`` first."""
        if key not in self.raw:
            self[key] = default
        return self[key]

    def __len__(self) -> int:
        return len(self.raw)

    def __ior__(self, other: Mapping[str, Any]) -> WatchedMapping:
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        return bool(self.raw == _unwatched(other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"


class WatchedList(MutableSequence[Any]):
    """A view of a list; every change made through it is reported as a change of the list.

    Thread safety: that of the underlying list.
    """

    def __init__(self, raw: list[Any] | WatchedList, path: str, on_change: _OnChange) -> None:
        self.raw = raw
        self._path = path
        self._on_change = on_change

    def __getitem__(self, index: Any) -> Any:
        indexes = range(len(self.raw))[index]
        if isinstance(indexes, range):
            return [self[place] for place in indexes]
        # The absolute index, because -1 refers to another item once the list has grown.
        return _watched(self.raw[indexes], f"{self._path}.{indexes}", self._on_change)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            value = list(value)
        self._change(lambda: self.raw.__setitem__(index, _unwatched(value)))

    def __delitem__(self, index: Any) -> None:
        self._change(lambda: self.raw.__delitem__(index))

    def __len__(self) -> int:
        return len(self.raw)

    def insert(self, index: int, value: Any) -> None:
        """Insert a value before an index."""
        self._change(lambda: self.raw.insert(index, _unwatched(value)))

    def extend(self, values: Any) -> None:
        """Append all values as one change; the inherited method would report each value."""
        self._change(lambda: self.raw.extend(_unwatched(list(values))))

    def pop(self, index: int = -1) -> Any:
        """Remove a value by its index and return it, not watched."""
        value = _unwatched(self.raw[index])
        del self[index]
        return value

    def copy(self) -> list[Any]:
        """Return a list of the same values, not watched."""
        return [_unwatched(value) for value in self.raw]

    def clear(self) -> None:
        """Remove all values, as one change."""
        self._change(self.raw.clear)

    def reverse(self) -> None:
        """Reverse in place, as one change."""
        self._change(self.raw.reverse)

    def sort(self, **options: Any) -> None:
        """Sort in place, as `list.sort` does, as one change."""
        self._change(lambda: self.raw.sort(**options))

    def __iadd__(self, values: Any) -> WatchedList:
        self.extend(values)
        return self

    def __imul__(self, times: int) -> WatchedList:
        self._change(lambda: self.raw.__imul__(times))
        return self

    def __add__(self, other: Any) -> list[Any]:
        return self.copy() + list(_unwatched(other))

    def __radd__(self, other: Any) -> list[Any]:
        return list(other) + self.copy()

    def __eq__(self, other: object) -> bool:
        return bool(self.raw == _unwatched(other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"

    def _change(self, change: Callable[[], object]) -> None:
        old = self.copy()
        change()
        new = self.copy()
        if not same_value(old, new):
            self._on_change(self._path, old, new)


def _watched(value: Any, path: str, on_change: _OnChange) -> Any:
    if isinstance(value, MutableMapping):
        return WatchedMapping(value, path, on_change)
    if isinstance(value, list | WatchedList):
        return WatchedList(value, path, on_change)
    return value


def _unwatched(value: Any) -> Any:
    """Return the object behind a watched value, also for values in a container.

    The user's configuration must not contain views: a view reports changes under the
    path that it was read from.
    """
    while isinstance(value, WatchedMapping | WatchedList):
        value = value.raw
    kind = type(value)
    # Compared by identity: `in` would call the == of a metaclass.
    if (kind is list or kind is tuple) and any(map(_is_watched, value)):
        return kind(map(_unwatched, value))
    if kind is dict and any(map(_is_watched, value.values())):
        return {key: _unwatched(item) for key, item in value.items()}
    return value


def _is_watched(value: Any) -> bool:
    return isinstance(value, WatchedMapping | WatchedList)
