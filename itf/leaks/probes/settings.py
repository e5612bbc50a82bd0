"""All the settings of the process that are looked at and put back."""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from itf.leaks.probes.changes import Change, Setting, object_text
from itf.leaks.probes.environment import Environment
from itf.leaks.probes.log_settings import LogSettings
from itf.leaks.probes.signals import SignalHandlers, Timers, restore_blocked, signals_text
from itf.leaks.probes.warning_filters import CONTEXT_AWARE, ContextFilters
from itf.leaks.quick import blocked, locale_name
from itf.safe_repr import safe_repr

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


def _restore_locale(name: str) -> None:
    import locale

    locale.setlocale(locale.LC_ALL, name)


def _restore_time_zone(before: object) -> None:
    # The environment, which has the zone's name, is put back before this.
    if hasattr(time, "tzset"):
        time.tzset()


class _Deleted:
    """Stands for an attribute that is not there."""

    def __repr__(self) -> str:
        return "deleted"


_DELETED: Final = _Deleted()


def _put(owner: Any, name: str, value: Any) -> None:
    if value is not _DELETED:
        setattr(owner, name, value)
    elif hasattr(owner, name):
        delattr(owner, name)


class _Modules:
    """The entries of `sys.modules`; new ones are no change."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        # There are hundreds of them: the last copy, as long as nothing has changed,
        # takes half of the time of another one, and is compared in no time at all.
        if self._last != sys.modules:
            self._last = sys.modules.copy()
        return self._last

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


class _Lists:
    """The lists that are changed in place, or replaced, read at once."""

    def read(self) -> tuple[Any, ...]:
        """Return which lists they are, and what is in them, in the order of ``_LISTS``."""
        try:
            path, meta, hooks, argv = sys.path, sys.meta_path, sys.path_hooks, sys.argv
            filters = warnings.filters
            # By id, too: a list that was replaced by an equal one is a change.
            return (
                (id(path), id(meta), id(hooks), id(argv), id(filters)),
                (path, meta, hooks, argv, filters),
                (tuple(path), tuple(meta), tuple(hooks), tuple(argv), tuple(filters)),
            )
        except (AttributeError, TypeError):
            # Somebody has put something else there, or nothing.
            lists = tuple(getattr(owner, name, _DELETED) for owner, name in _LISTS)
            contents = (tuple(each) if isinstance(each, list | tuple) else each for each in lists)
            return tuple(map(id, lists)), lists, tuple(contents)

    def changes(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[Change]:
        """Tell of every list that is another one, or has something else in it."""
        rows = zip(_LISTS, *before, *after, strict=True)
        for (owner, name), old_id, old, content, new_id, _, new_content in rows:
            if old_id != new_id or content != new_content:
                yield Change(
                    f"{owner.__name__}.{name}",
                    _list_text(content),
                    _list_text(new_content),
                    functools.partial(_restore_list, owner, name, old, content),
                )


_LISTS: Final = (
    *((sys, name) for name in ("path", "meta_path", "path_hooks", "argv")),
    (warnings, "filters"),
)


def _list_text(content: Any) -> str:
    return safe_repr(list(content) if isinstance(content, tuple) else content)


def _restore_list(owner: Any, name: str, value: Any, content: Any) -> None:
    if isinstance(value, list):
        value[:] = content
    _put(owner, name, value)
    if owner is warnings and isinstance(value, list):
        # Entering and leaving makes the C code read the filters anew.
        with warnings.catch_warnings():
            value[:] = content


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
            # As tempfile takes them: without a slash at the end, for one.
            *map(os.path.abspath, filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP")))),
            "/tmp",  # noqa: S108 - only compared with
            "/var/tmp",  # noqa: S108
            "/usr/tmp",
        ),
    ),
)


class _Plain:
    """The settings of one value each, read by one function.

    There are thirty of them, and a call for each would cost more than the
    reading.  What stands in `read` at a place is named at the same place in
    ``_PLAIN``.
    """

    def read(self) -> tuple[Any, ...]:
        """Return what they are now, in the order of ``_PLAIN``."""
        try:
            hooks: tuple[Any, ...] = (
                sys.excepthook,
                sys.unraisablehook,
                sys.displayhook,
                sys.stdin,
                sys.stdout,
                sys.stderr,
                threading.excepthook,
            )
        except AttributeError:
            hooks = tuple(getattr(owner, name, _DELETED) for owner, name in _HOOKS)
        # There is no way to ask without setting; what another thread makes in
        # between is nobody else's to read.
        umask = os.umask(0o077)
        os.umask(umask)
        return (
            _read_cwd(),
            umask,
            locale_name(),
            (time.tzname, time.timezone, time.altzone, time.daylight),
            sys.getrecursionlimit(),
            sys.getswitchinterval(),
            gc.isenabled(),
            gc.get_threshold(),
            gc.get_debug(),
            sys.gettrace(),
            sys.getprofile(),
            threading.gettrace(),
            threading.getprofile(),
            blocked(),
            *hooks,
        )

    def changes(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[Change]:
        """Tell of every one that is not what it was."""
        for (name, restore), old, new in zip(_PLAIN, before, after, strict=True):
            if old is not new and old != new:
                text = _TEXTS.get(name, object_text)
                yield Change(name, text(old), text(new), functools.partial(restore, old))


_HOOKS: Final = (
    *((sys, name) for name in ("excepthook", "unraisablehook", "displayhook")),
    *((sys, name) for name in ("stdin", "stdout", "stderr")),
    (threading, "excepthook"),
)

_BLOCKED: Final = "blocked signals"

# How those are shown that are not clear as they are.
_TEXTS: Final[dict[str, Callable[[Any], str]]] = {"umask": oct, _BLOCKED: signals_text}

_PLAIN: Final[tuple[tuple[str, Callable[[Any], object]], ...]] = (
    ("cwd", _restore_cwd),
    ("umask", os.umask),
    ("locale", _restore_locale),
    ("time zone", _restore_time_zone),
    ("recursion limit", sys.setrecursionlimit),
    ("switch interval", sys.setswitchinterval),
    ("gc enabled", lambda on: gc.enable() if on else gc.disable()),
    ("gc thresholds", lambda values: gc.set_threshold(*values)),
    ("gc debug flags", gc.set_debug),
    ("trace function", sys.settrace),
    ("profile function", sys.setprofile),
    ("threading trace function", threading.settrace),
    ("threading profile function", threading.setprofile),
    (_BLOCKED, restore_blocked),
    *((f"{owner.__name__}.{name}", functools.partial(_put, owner, name)) for owner, name in _HOOKS),
)


ENVIRONMENT: Final = Environment()
"""The environment; apart from the others, for it is a dimension of its own."""

SETTINGS: Final[tuple[Setting, ...]] = (
    _Plain(),
    _Lists(),
    *([ContextFilters()] if CONTEXT_AWARE else ()),
    _Modules(),
    LogSettings(),
    SignalHandlers(),
    Timers(),
    *_OF_MODULES,
)
"""All the others, in the order in which they are put back."""

_READERS: Final = tuple(setting.read for setting in SETTINGS)


def read_settings() -> tuple[Any, ...]:
    """Return what all settings are now, for `changes_of`."""
    return tuple([read() for read in _READERS])


def changes_of(before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterable[Change]:
    """Tell of every setting that has changed between two readings."""
    for setting, old, new in zip(SETTINGS, before, after, strict=True):
        if old is not new and old != new:
            yield from setting.changes(old, new)
