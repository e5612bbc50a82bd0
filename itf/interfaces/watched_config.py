"""Configuration that tells of its changes: a mapping and a list over the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any, TypeAlias

__all__ = ["WatchedList", "WatchedMapping", "same_value"]

__unittest = True

_OnChange: TypeAlias = Callable[[str, Any, Any], object]


def same_value(old: Any, new: Any) -> bool:
    """Say whether setting ``new`` in place of ``old`` changes nothing."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False  # 1, True and 1.0 are equal and yet not the same setting
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

    Thread safety: as much as the mapping behind it has.
    """

    def __init__(self, raw: MutableMapping[str, Any], path: str, on_change: _OnChange) -> None:
        self.raw = raw
        self._path = path
        self._on_change = on_change

    def reports_to(self, on_change: _OnChange) -> bool:
        """Say whether changes made through this view are told to this very function."""
        return self._on_change == on_change

    def _path_of(self, key: object) -> str:
        return f"{self._path}.{key}" if self._path else str(key)

    def __getitem__(self, key: str) -> Any:
        return _watched(self.raw[key], self._path_of(key), self._on_change)

    def __setitem__(self, key: str, value: Any) -> None:
        value = _unwatched(value)
        there = key in self.raw
        old = _unwatched(self.raw[key]) if there else None
        self.raw[key] = value
        if not there or not same_value(old, value):
            self._on_change(self._path_of(key), old, value)

    def __delitem__(self, key: str) -> None:
        old = _unwatched(self.raw[key])
        del self.raw[key]
        self._on_change(self._path_of(key), old, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __contains__(self, key: object) -> bool:
        # The inherited one asks for the value, which a defaultdict then makes.
        return key in self.raw

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, watched, or ``default`` if it is not there."""
        return self[key] if key in self.raw else default

    def copy(self) -> dict[str, Any]:
        """Return a dict with the same items, no longer watched."""
        return {key: _unwatched(self.raw[key]) for key in self.raw}

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key and return its value, no longer watched."""
        if key not in self.raw and default:
            return default[0]
        value = _unwatched(self.raw[key])
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove a key and return it with its value, no longer watched."""
        key, value = self.raw.popitem()
        value = _unwatched(value)
        self._on_change(self._path_of(key), value, None)
        return key, value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, set to ``default`` if it was not there; watched."""
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
    """A view of a list that reports every change made through it, as one of the whole list.

    Thread safety: as much as the list behind it has.
    """

    def __init__(self, raw: list[Any] | WatchedList, path: str, on_change: _OnChange) -> None:
        self.raw = raw
        self._path = path
        self._on_change = on_change

    def __getitem__(self, index: Any) -> Any:
        places = range(len(self.raw))[index]
        if isinstance(places, range):
            return [self[place] for place in places]
        # The place, not the index: -1 is another one when the list has grown.
        return _watched(self.raw[places], f"{self._path}.{places}", self._on_change)

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
        """Append all values; one change, where the inherited method would make one for each."""
        self._change(lambda: self.raw.extend(_unwatched(list(values))))

    def pop(self, index: int = -1) -> Any:
        """Remove a value by its index and return it, no longer watched."""
        value = _unwatched(self.raw[index])
        del self[index]
        return value

    def copy(self) -> list[Any]:
        """Return a list of the same values, no longer watched."""
        return [_unwatched(value) for value in self.raw]

    def clear(self) -> None:
        """Remove all values; one change."""
        self._change(self.raw.clear)

    def reverse(self) -> None:
        """Reverse in place; one change."""
        self._change(self.raw.reverse)

    def sort(self, **options: Any) -> None:
        """Sort in place, as `list.sort` does; one change."""
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
    """Return what is behind a watched value, or a container with watched ones in it.

    The user's own configuration holds none of our views: each would report to
    the path that it was taken from.
    """
    while isinstance(value, WatchedMapping | WatchedList):
        value = value.raw
    kind = type(value)
    # By identity: `in` would call the == of the class's metaclass.
    if (kind is list or kind is tuple) and any(map(_is_watched, value)):
        return kind(map(_unwatched, value))
    if kind is dict and any(map(_is_watched, value.values())):
        return {key: _unwatched(item) for key, item in value.items()}
    return value


def _is_watched(value: Any) -> bool:
    return isinstance(value, WatchedMapping | WatchedList)
