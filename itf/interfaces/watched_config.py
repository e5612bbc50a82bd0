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

    def _path_of(self, key: object) -> str:
        return f"{self._path}.{key}" if self._path else str(key)

    def __getitem__(self, key: str) -> Any:
        return _watched(self.raw[key], self._path_of(key), self._on_change)

    def __setitem__(self, key: str, value: Any) -> None:
        value = _unwatched(value)
        there = key in self.raw
        old = self.raw[key] if there else None
        self.raw[key] = value
        if not there or not same_value(old, value):
            self._on_change(self._path_of(key), old, value)

    def __delitem__(self, key: str) -> None:
        old = self.raw[key]
        del self.raw[key]
        self._on_change(self._path_of(key), old, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key and return its value, no longer watched."""
        if key not in self.raw and default:
            return default[0]
        value = self.raw[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove a key and return it with its value, no longer watched."""
        for key in self.raw:
            return key, self.pop(key)
        raise KeyError("popitem(): the configuration is empty")

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

    def __init__(self, raw: list[Any], path: str, on_change: _OnChange) -> None:
        self.raw = raw
        self._path = path
        self._on_change = on_change

    def __getitem__(self, index: Any) -> Any:
        value = self.raw[index]
        if isinstance(index, slice):
            return value
        return _watched(value, f"{self._path}.{index}", self._on_change)

    def __setitem__(self, index: Any, value: Any) -> None:
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
        self._change(lambda: self.raw.extend(map(_unwatched, list(values))))

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

    def __eq__(self, other: object) -> bool:
        return bool(self.raw == _unwatched(other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"

    def _change(self, change: Callable[[], object]) -> None:
        old = list(self.raw)
        change()
        if not same_value(old, self.raw):
            self._on_change(self._path, old, list(self.raw))


def _watched(value: Any, path: str, on_change: _OnChange) -> Any:
    if isinstance(value, MutableMapping) and not isinstance(value, WatchedMapping):
        return WatchedMapping(value, path, on_change)
    if isinstance(value, list):
        return WatchedList(value, path, on_change)
    return value


def _unwatched(value: Any) -> Any:
    return value.raw if isinstance(value, WatchedMapping | WatchedList) else value
