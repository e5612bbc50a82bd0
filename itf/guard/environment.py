"""The environment: what `os.environ` has, and what the C library has behind its back."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from itf.guard.changes import Change
from itf.guard.quick import environment
from itf.texts import REDACTED, is_secret_key, safe_repr

__all__ = ["Environment"]

__unittest = True

_POINTER: Final = ctypes.sizeof(ctypes.c_void_p)

# No process has as many variables; where the list should end and does not,
# somebody else is writing in it.
_MOST: Final = 100_000


_OF_READLINE: Final = (b"LINES", b"COLUMNS")


class _Reading(NamedTuple):
    """What the environment is at one moment.

    Attributes:
        identity: Tells one mapping from another: two are equal with the same in them.
        mapping: What is `os.environ`.
        data: What is in it.
        behind: What the C library has that `os.environ` does not know of; the
            value is None for what it lacks.
    """

    identity: int
    mapping: Any
    data: dict[Any, Any]
    behind: tuple[tuple[bytes, bytes | None], ...]


class Environment:
    """The environment as a setting.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        # The C library's list of pointers, and what was read when it was so:
        # together, for several threads may read at once.
        self._last: tuple[bytes, _Reading] | None = None

    def read(self) -> _Reading:
        """Return what it is now.

        Whatever changes a variable past `os.environ` replaces one of the C
        library's pointers: as long as they, and what `os.environ` holds, are the
        same, so is the last reading.
        """
        if self._last is not None and _libc_environ is not None:
            seen, last = self._last
            address = _libc_environ.value
            if (
                last.mapping is os.environ
                and address
                and seen
                and ctypes.string_at(address, len(seen)) == seen
                and last.data == getattr(os.environ, "_data", None)
            ):
                return last
        # The pointers first: if another thread sets a variable now, the next
        # reading finds them changed.
        theirs, pointers = _read_libc()
        data = environment()
        behind = () if _libc_environ is None else _behind(theirs, data)
        reading = _Reading(id(os.environ), os.environ, data, behind)
        self._last = pointers, reading
        return reading

    def changes(self, before: _Reading, after: _Reading) -> Iterable[Change]:
        """Tell of every variable that has changed, and of an `os.environ` that was replaced."""
        if after.mapping is not before.mapping:
            yield Change(
                "os.environ",
                f"a mapping at {id(before.mapping):#x}",
                f"a {type(after.mapping).__qualname__} at {id(after.mapping):#x}",
                lambda: setattr(os, "environ", before.mapping),
            )
        for key in sorted({*before.data, *after.data}, key=_text):
            old, new = before.data.get(key), after.data.get(key)
            if old != new:
                name = _text(key)
                yield Change(name, _shown(name, old), _shown(name, new), _Putter(name, old))
        known = dict(before.behind)
        for raw, value in after.behind:
            if raw not in known or known[raw] != value:
                name = os.fsdecode(raw)
                yield Change(
                    f"{name} (behind os.environ)",
                    _shown(name, after.data.get(raw)),
                    _shown(name, value),
                    _Putter(name, before.data.get(raw), behind=True),
                )


def _behind(
    theirs: dict[bytes, bytes], data: dict[Any, Any]
) -> tuple[tuple[bytes, bytes | None], ...]:
    """Compare the C library's variables with those of `os.environ`."""
    ours = {_bytes(key): _bytes(value) for key, value in data.items()}
    # GNU readline sets them when it is imported, for its children.
    harmless = _OF_READLINE if "readline" in sys.modules else ()
    return tuple(
        (key, theirs.get(key))
        for key in sorted({*theirs, *ours}.difference(harmless))
        if theirs.get(key) != ours.get(key)
    )


class _Putter:
    """Gives a variable the value that it had."""

    def __init__(self, name: str, value: bytes | str | None, *, behind: bool = False) -> None:
        self.name = name
        self.value = value
        self.behind = behind

    def __call__(self) -> None:
        if self.value is None:
            if not self.behind:
                os.environ.pop(self.name, None)
            os.unsetenv(self.name)
        elif self.behind:
            os.putenv(self.name, _text(self.value))
        else:
            os.environ[self.name] = _text(self.value)


def _find_libc_environ() -> ctypes.c_void_p | None:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ")
    except (OSError, ValueError):
        return None


_libc_environ: Final = _find_libc_environ()


def _read_libc() -> tuple[dict[bytes, bytes], bytes]:
    """Return the C library's variables, and the pointers to them."""
    found: dict[bytes, bytes] = {}
    address = _libc_environ.value if _libc_environ is not None else None
    if not address:
        return found, b""
    count = 0
    while count < _MOST:
        entry = ctypes.c_char_p.from_address(address + count * _POINTER).value
        if entry is None:
            break
        key, _, value = entry.partition(b"=")
        # Of a name that is there twice, the first counts.
        found.setdefault(key, value)
        count += 1
    return found, ctypes.string_at(address, (count + 1) * _POINTER)


def _text(value: bytes | str) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def _bytes(value: Any) -> bytes:
    return os.fsencode(value) if isinstance(value, bytes | str) else safe_repr(value).encode()


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "not set"
    return REDACTED if is_secret_key(name) else safe_repr(_text(value))
