"""Names in the file system that this process made: temporary files, shared memory, semaphores.

Other processes make theirs in the same folders, so the folders are not
compared.  What counts is what this process asked for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from itf.leaks.creation_sites import origins
from itf.leaks.leak import Leak

__all__ = ["SEES_FILES", "SEES_SHARED", "Name", "NameLog", "names", "remove"]

__unittest = True

_SHARED_FOLDER: Final = "/dev/shm"  # noqa: S108 - where the kernel shows what is shared

# What multiprocessing keeps until the program ends.
_HARMLESS: Final = f"{os.sep}pymp-"

# How many files of a directory are counted for its size.
_MOST_COUNTED: Final = 10_000


# So many names are kept before it is looked which of them are still in use.
_MANY: Final = 1_000


class Name(NamedTuple):
    """A name that was given to something.

    Attributes:
        kind: ``file``, ``shared memory``, ``semaphore``.
        path: Where it is, if it is.
        name: What `multiprocessing` calls it.
    """

    kind: str
    path: str
    name: str


class NameLog:
    """The names that this process gave, in order.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._names: dict[int, Name] = {}
        self._many = _MANY
        self.last = 0

    def add(self, name: Name) -> None:
        """Remember a name; before there is anything under it, or after."""
        if len(self._names) >= self._many:
            self.forget_gone()
        number = next(self._numbers)
        self._names[number] = name
        self.last = number
        origins.remember("name", name.path)

    def since(self, before: int) -> Iterator[Leak]:
        """Tell of what was named after a moment and is still there.

        Args:
            before: What `last` was at that moment.
        """
        for number, name in list(self._names.items()):
            if number > before and os.path.lexists(name.path):
                dimension = "files" if name.kind == "file" else "shared"
                noun = _noun(name)
                yield Leak(
                    dimension,
                    noun,
                    name.path if dimension == "files" else name.name,
                    ("name", name.path),
                    lambda name=name, noun=noun: (  # type: ignore[misc]
                        f"{noun} {name.path} ({_size_text(name.path)})"
                        f"{origins.text('name', name.path, 'made')}"
                    ),
                    name,
                )

    def keep(self, path: str) -> None:
        """Tell of a name no more: what is under it is meant to stay."""
        for number, name in list(self._names.items()):
            if name.path == path:
                self._names.pop(number, None)

    def forget_gone(self) -> None:
        """Drop the names under which there is nothing."""
        for number, name in list(self._names.items()):
            if not os.path.lexists(name.path):
                self._names.pop(number, None)
                origins.forget("name", name.path)
        # Those that are in use are not looked at again for each new one.
        self._many = max(_MANY, 2 * len(self._names))


names: Final = NameLog()
"""The names that this process gave."""


def _noun(name: Name) -> str:
    if name.kind != "file":
        return name.kind
    return "temporary directory" if os.path.isdir(name.path) else "temporary file"


def _size_text(path: str) -> str:
    """Return the size of a file, or of what is in a directory."""
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
            return f"{status.st_size} bytes"
        sizes = []
        for folder, _, files in os.walk(path):
            for file in files:
                with contextlib.suppress(OSError):
                    sizes.append(os.lstat(os.path.join(folder, file)).st_size)
            if len(sizes) >= _MOST_COUNTED:
                break
    except OSError as error:
        return f"size unknown: {error.strerror}"
    return f"{len(sizes)} files, {sum(sizes)} bytes"


def remove(name: Name) -> None:
    """Remove what is under a name.

    Raises:
        OSError: It could not be removed.
    """
    if name.kind == "shared memory":
        _unlink_shared(name, "_posixshmem", "shm_unlink", "shared_memory")
    elif name.kind == "semaphore":
        if not _finalize(name.name):
            _unlink_shared(name, "_multiprocessing", "sem_unlink", "semaphore")
    elif os.path.isdir(name.path) and not os.path.islink(name.path):
        _remove_tree(name.path)
    else:
        os.unlink(name.path)


def _remove_tree(path: str) -> None:
    # Directories that may not be written to keep what is in them.
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, stat.S_IRWXU)
    shutil.rmtree(path)


def _unlink_shared(name: Name, module: str, function: str, kind: str) -> None:
    getattr(sys.modules[module], function)(name.name)
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    if tracker is not None:
        # Otherwise it would complain, at the end, of what is gone.
        tracker.unregister(name.name, kind)


def _finalize(semaphore: str) -> bool:
    """Call what multiprocessing would call at its end to unlink a semaphore; say whether it did.

    Of a lock that somebody still has, that would otherwise fail, for the name is gone.
    """
    registry = getattr(sys.modules.get("multiprocessing.util"), "_finalizer_registry", {})
    for finalizer in list(registry.values()):
        if getattr(finalizer, "_args", None) == (semaphore,):
            finalizer()
            return True
    return False


def _watch_temporary_files() -> bool:
    """See to it that every name that `tempfile` tries is remembered; say whether that can be.

    There is no public place through which all its functions go, whichever way
    they were imported: all take their names from this sequence.
    """
    sequence = getattr(tempfile, "_RandomNameSequence", None)
    original = getattr(sequence, "__next__", None)
    if sequence is None or original is None:
        return False

    @functools.wraps(original)
    def __next__(self: Any) -> str:  # noqa: N807
        candidate: str = original(self)
        _remember_candidate(candidate, sys._getframe(1).f_locals)
        return candidate

    sequence.__next__ = __next__
    return True


def _remember_candidate(candidate: str, wanted: Mapping[str, Any]) -> None:
    """Remember the path that a function of `tempfile`, with these variables, makes of a name."""
    folder = wanted.get("dir")
    prefix = wanted.get("prefix", wanted.get("pre"))
    suffix = wanted.get("suffix", wanted.get("suf"))
    if isinstance(folder, os.PathLike):
        folder = os.fspath(folder)
    # Others, who only want a random name, have not all three.
    if all(isinstance(part, str | bytes) for part in (folder, prefix, suffix)):
        folder, prefix, suffix = map(os.fsdecode, (folder, prefix, suffix))
        path = os.path.join(os.path.abspath(folder), f"{prefix}{candidate}{suffix}")
        if _HARMLESS not in path:
            names.add(Name("file", path, path))


def _watch_shared() -> bool:
    """See to it that shared memory and named semaphores are remembered; say whether that can be.

    Both come from a C module each, in which `multiprocessing` looks them up at
    every use; who imports those need not import it.
    """
    try:
        semaphores = importlib.import_module("_multiprocessing")
        shared = importlib.import_module("_posixshmem")
    except ImportError:
        return False
    open_shared: Callable[..., int] = shared.shm_open
    original: type[Any] = semaphores.SemLock

    def shm_open(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = open_shared(path, flags, mode)
        if flags & os.O_CREAT:
            names.add(Name("shared memory", f"{_SHARED_FOLDER}/{path.lstrip('/')}", path))
        return descriptor

    class SemLock(original):  # type: ignore[misc]
        __slots__ = ()

        def __new__(cls, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> Any:
            lock = super().__new__(cls, kind, value, maxvalue, name, unlink)
            if not unlink:
                path = f"{_SHARED_FOLDER}/sem.{name.lstrip('/')}"
                names.add(Name("semaphore", path, name))
            return lock

    SemLock.__module__ = "_multiprocessing"
    shared.shm_open = shm_open  # type: ignore[attr-defined]
    semaphores.SemLock = SemLock  # type: ignore[attr-defined]
    return sys.platform == "linux"


SEES_FILES: Final = _watch_temporary_files()
SEES_SHARED: Final = _watch_shared()
