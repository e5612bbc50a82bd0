"""All the settings of the process that are looked at and put back."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from itf.guard.changes import Attributes, Change, Setting, Single, list_of
from itf.guard.environment import Environment
from itf.guard.log_settings import LogSettings
from itf.guard.quick import locale_name
from itf.guard.signals import SignalHandlers, Timers, blocked_signals
from itf.texts import safe_repr

__all__ = ["ENVIRONMENT", "SETTINGS", "changes_of", "read_settings"]

__unittest = True


def _read_cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # it has been removed


def _restore_cwd(path: str | None) -> None:
    if path is not None:
        os.chdir(path)


def _read_umask() -> int:
    # There is no way to ask without setting; what another thread makes in
    # between is nobody else's to read.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _restore_locale(name: str) -> None:
    import locale

    locale.setlocale(locale.LC_ALL, name)


def _restore_time_zone(before: object) -> None:
    # The environment, which has the zone's name, is put back before this.
    if hasattr(time, "tzset"):
        time.tzset()


class _Modules:
    """The entries of `sys.modules`; new ones are no change."""

    def read(self) -> dict[str, Any]:
        return sys.modules.copy()

    def changes(self, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
        for name, module in before.items():
            now = after.get(name)
            if now is not module:
                yield Change(
                    f"sys.modules[{name!r}]",
                    safe_repr(module),
                    "not there" if name not in after else safe_repr(now),
                    lambda name=name, module=module: sys.modules.__setitem__(name, module),  # type: ignore[misc]
                )


class _Filters:
    """The filters of `warnings`, whose C code has to be told when they are put back."""

    _list: Final = list_of(warnings, "filters")

    def read(self) -> Any:
        return self._list.read()

    def changes(self, before: Any, after: Any) -> Iterator[Change]:
        for change in self._list.changes(before, after):
            yield change._replace(restore=lambda: self._restore(before))

    def _restore(self, before: Any) -> None:
        self._list.restore(before)
        # Entering and leaving makes the C code read the filters anew.
        with warnings.catch_warnings():
            self._list.restore(before)


class _OfModule:
    """A setting that a module gives by one function and takes by another.

    As long as nobody imports the module there is none; and the usual value,
    which it gets at its first use, is no change.
    """

    def __init__(
        self,
        module: str,
        name: str,
        read: Callable[[Any], Any],
        write: Callable[[Any, Any], object],
        usual: Callable[[Any], tuple[Any, ...]] = lambda module: (),
    ) -> None:
        self._module = module
        self._name = name
        self._read = read
        self._write = write
        self._usual = usual

    def read(self) -> Any:
        module = sys.modules.get(self._module)
        try:
            return None if module is None else self._read(module)
        except AttributeError:
            return None  # half imported, in another thread

    def changes(self, before: Any, after: Any) -> Iterator[Change]:
        module = sys.modules[self._module]
        if before is not None or after not in self._usual(module):
            yield Change(
                self._name, safe_repr(before), safe_repr(after), lambda: self._write(module, before)
            )


_OF_MODULES: Final = (
    _OfModule(
        "multiprocessing",
        "multiprocessing start method",
        lambda module: module.get_start_method(allow_none=True),
        lambda module, method: module.set_start_method(method, force=True),
        lambda module: tuple(module.get_all_start_methods()[:1]),
    ),
    _OfModule(
        "socket",
        "socket default timeout",
        lambda module: module.getdefaulttimeout(),
        lambda module, seconds: module.setdefaulttimeout(seconds),
    ),
    _OfModule(
        "tempfile",
        "tempfile.tempdir",
        lambda module: module.tempdir,
        lambda module, folder: setattr(module, "tempdir", folder),
        lambda module: (
            *map(os.environ.get, ("TMPDIR", "TEMP", "TMP")),
            "/tmp",  # noqa: S108 - only compared with
            "/var/tmp",  # noqa: S108
            "/usr/tmp",
        ),
    ),
)

# Each with how it is read, and how it is put back.
_SINGLES: Final = (
    Single("cwd", _read_cwd, _restore_cwd),
    Single("umask", _read_umask, os.umask, oct),
    Single("locale", locale_name, _restore_locale),
    Single(
        "time zone",
        lambda: (time.tzname, time.timezone, time.altzone, time.daylight),
        _restore_time_zone,
    ),
    Single("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Single("switch interval", sys.getswitchinterval, sys.setswitchinterval),
    Single("gc enabled", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    Single("gc thresholds", gc.get_threshold, lambda values: gc.set_threshold(*values)),
    Single("gc debug flags", gc.get_debug, gc.set_debug),
    Single("trace function", sys.gettrace, sys.settrace),
    Single("profile function", sys.getprofile, sys.setprofile),
    Single("threading trace function", threading.gettrace, threading.settrace),  # type: ignore[arg-type]
    Single("threading profile function", threading.getprofile, threading.setprofile),  # type: ignore[arg-type]
)

ENVIRONMENT: Final = Environment()
"""The environment; apart from the others, for it is a dimension of its own."""

SETTINGS: Final[tuple[Setting, ...]] = (
    *_SINGLES,
    Attributes(sys, "excepthook", "unraisablehook", "displayhook", "stdin", "stdout", "stderr"),
    Single(
        "threading.excepthook",
        lambda: threading.excepthook,
        lambda hook: setattr(threading, "excepthook", hook),
    ),
    *(list_of(sys, name) for name in ("path", "meta_path", "path_hooks", "argv")),
    _Modules(),
    _Filters(),
    LogSettings(),
    SignalHandlers(),
    Timers(),
    *blocked_signals(),
    *_OF_MODULES,
)
"""All the others, in the order in which they are put back."""

_READERS: Final = tuple(setting.read for setting in SETTINGS)


def read_settings() -> list[Any]:
    """Return what all settings are now, for `changes_of`."""
    return [read() for read in _READERS]


def changes_of(before: list[Any], after: list[Any]) -> Iterable[Change]:
    """Tell of every setting that has changed between two readings."""
    for setting, old, new in zip(SETTINGS, before, after, strict=True):
        if old is not new and old != new:
            yield from setting.changes(old, new)
