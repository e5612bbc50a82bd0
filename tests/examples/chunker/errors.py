"""What the chunker raises; every error survives a trip between processes."""

from __future__ import annotations

import pickle
import signal
from typing import Any

__all__ = [
    "CacheError",
    "ChunkerError",
    "ConfigError",
    "ParseError",
    "ReadError",
    "WorkerDiedError",
    "WorkerError",
    "WorkerTimeoutError",
]


class ChunkerError(Exception):
    """The base of all errors of this program.

    A pickle keeps the attributes, the notes and the cause. Python's own keeps no cause.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__, _portable(self.__cause__))


class ConfigError(ChunkerError):
    """A configuration key has a value it may not have, or is no key at all."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key}: got {value!r}; allowed: {allowed}")
        self.key = key
        # As text: the value may be anything, and must not keep the error from being pickled.
        self.value = repr(value)
        self.allowed = allowed


class ReadError(ChunkerError):
    """A source file cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: cannot be read: {reason}")
        self.path = path
        self.reason = reason


class ParseError(ChunkerError):
    """A source file cannot be parsed; line and column count from 1, None when not known."""

    def __init__(
        self, path: str, reason: str, line: int | None = None, column: int | None = None
    ) -> None:
        place = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{place}: {reason}")
        self.path = path
        self.reason = reason
        self.line = line
        self.column = column


class CacheError(ChunkerError):
    """The cache directory cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: cache entry cannot be used: {reason}")
        self.path = path
        self.reason = reason


class WorkerError(ChunkerError):
    """A worker could not finish its file; the cause says why.

    Attributes:
        path: The file, or None when the worker had none.
        worker: The worker's name.
        pid: The process it ran in, or None when it never ran.
        reason: What happened, in words.
    """

    def __init__(self, path: str | None, worker: str, pid: int | None, reason: str) -> None:
        at_work = "without a file" if path is None else f"on {path}"
        super().__init__(f"worker {worker!r} (pid {pid}) failed {at_work}: {reason}")
        self.path = path
        self.worker = worker
        self.pid = pid
        self.reason = reason


class WorkerDiedError(WorkerError):
    """A worker process ended before its file was done."""

    def __init__(
        self, path: str | None, worker: str, pid: int | None, exitcode: int | None
    ) -> None:
        super().__init__(path, worker, pid, _fate(exitcode))
        self.exitcode = exitcode


class WorkerTimeoutError(WorkerError):
    """A worker took longer than it may."""

    def __init__(self, path: str | None, worker: str, pid: int | None, timeout: float) -> None:
        super().__init__(path, worker, pid, f"no result after {timeout:g} s")
        self.timeout = timeout


def _fate(exitcode: int | None) -> str:
    """Say in words how a process ended."""
    if exitcode is not None and exitcode < 0:
        return f"the process was killed by {signal.Signals(-exitcode).name}"
    return f"the process exited with code {exitcode}"


def _portable(error: BaseException | None) -> BaseException | None:
    """Return the error if it survives a pickle, else one that tells what it was."""
    if isinstance(error, ChunkerError):
        return error
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - a foreign class's own code may raise anything
        return ChunkerError(f"{type(error).__qualname__}: {error}")
    return error


def _rebuild(
    cls: type[ChunkerError],
    args: tuple[object, ...],
    attributes: dict[str, object],
    cause: BaseException | None,
) -> ChunkerError:
    """Undo ``ChunkerError.__reduce__``, without a second run of ``__init__``."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    error.__cause__ = cause
    return error
