"""The environment: what `os.environ` has, and what the C library has behind its back."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from itf._private import is_gil_enabled
from itf.leaks.probes.changes import Change
from itf.leaks.quick import environment
from itf.safe_repr import REDACTED, is_secret_key, safe_repr

__all__ = ["Environment"]

__unittest = True

_OF_READLINE: Final = (b"LINES", b"COLUMNS")


class _Reading(NamedTuple):
    """What the environment is at one moment.

    Attributes:
        identity: Tells one mapping from another: two are equal with the same in them.
        mapping: What is `os.environ`.
        data: What is in it.
        behind: What the C library has that `os.environ` does not know of; the
            value is None for what it lacks.  None where nobody could look.
    """

    identity: int
    mapping: Any
    data: dict[Any, Any]
    behind: tuple[tuple[bytes, bytes | None], ...] | None


class Environment:
    """The environment as a setting.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        # The C library's variables, and what was read when they were so:
        # together, for several threads may read at once.
        self._last: tuple[bytes | None, _Reading] | None = None

    def read(self) -> _Reading:
        """Return what it is now: the last reading, as long as nothing has changed."""
        # The C library's first: if another thread sets a variable now, the next
        # reading finds them changed.
        block = _read_c()
        if self._last is not None:
            seen, last = self._last
            if (
                last.mapping is os.environ
                and block == seen
                and last.data == getattr(os.environ, "_data", None)
            ):
                return last
        data = environment()
        behind = None if block is None else _behind(_parsed(block), data)
        reading = _Reading(id(os.environ), os.environ, data, behind)
        self._last = block, reading
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
        if before.behind is None or after.behind is None:
            return
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


def _find_reader() -> Callable[[], bytes] | None:
    """Return what copies the C library's variables in one call; None if nothing does.

    Whoever reads them one by one may find that another thread has freed them in
    between.  A single call of C that keeps the GIL excludes `os.putenv`, which
    keeps it too.
    """
    if sys.platform != "linux":
        return None
    try:
        library = ctypes.PyDLL(None)
        return functools.partial(
            _copy, library.argz_create, library.free, ctypes.c_void_p.in_dll(library, "environ")
        )
    except (AttributeError, OSError, ValueError):
        pass  # a C library other than glibc
    create = getattr(sys.modules.get("posix"), "_create_environ", None)  # since 3.14
    return None if create is None else lambda: _joined(create())


def _copy(argz_create: Any, free: Any, variables: ctypes.c_void_p) -> bytes:
    """Return the variables with a null byte behind each; by a function of glibc."""
    block, size = ctypes.c_void_p(), ctypes.c_size_t()
    if not variables or argz_create(variables, ctypes.byref(block), ctypes.byref(size)):
        return b""  # there is none, or no memory
    try:
        return ctypes.string_at(block, size.value)
    finally:
        free(block)


def _joined(variables: dict[bytes, bytes]) -> bytes:
    return b"".join(b"%s=%s\0" % pair for pair in variables.items())


def _parsed(block: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for entry in block.split(b"\0")[:-1]:
        key, _, value = entry.partition(b"=")
        # Of a name that is there twice, the first counts.
        found.setdefault(key, value)
    return found


_reader: Callable[[], bytes] | None = _find_reader()


def _read_c() -> bytes | None:
    """Return the C library's variables; None where nobody may look.

    Without the GIL nothing keeps other threads from changing them meanwhile.
    """
    if _reader is None or not (is_gil_enabled() or len(sys._current_frames()) == 1):
        return None
    return _reader()


def _text(value: bytes | str) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def _bytes(value: Any) -> bytes:
    return os.fsencode(value) if isinstance(value, bytes | str) else safe_repr(value).encode()


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "not set"
    return REDACTED if is_secret_key(name) else safe_repr(_text(value))
