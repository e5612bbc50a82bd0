"""Wrappers around functions that create resources, to record creator and stack.

The wrappers are installed while a test is traced, or while several tests run
concurrently. At all other times the standard library's functions are in place.
"""

from __future__ import annotations

import _thread
import builtins
import contextlib
import functools
import importlib
import io
import os
import select
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

from itf.leaks.creation_sites import current_detector, frames_here, origins

__all__ = ["CreationTracer", "watch"]

__unittest = True

_Note = Callable[[tuple[Any, ...], Any], object]

# Stack frames from `Origins.remember` to the caller: skips the note and the wrapper.
_CALLER: Final = 3


class _Watched:
    """A wrapper that records each result of a built-in function.

    Not a Python function: as a class attribute, that would become a method,
    which a built-in function does not.
    """

    def __init__(self, original: Any, note: _Note) -> None:
        self.original = original
        self.note = note
        # False after removal: user code may still hold a reference to the wrapper.
        self.active = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.original(*args, **kwargs)
        if self.active:
            self.note(args, result)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled by name, like the original.
        return _find, (self.original.__module__, self.original.__name__)


def _find(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _identity(number: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status[1], status[2]


def _note_number(args: tuple[Any, ...], number: Any) -> None:
    origins.remember("descriptor", number, _identity(number), _CALLER)


def _note_numbers(args: tuple[Any, ...], numbers: Any) -> None:
    for number in numbers:
        origins.remember("descriptor", number, _identity(number), _CALLER)


def _note_file(args: tuple[Any, ...], file: Any) -> None:
    try:
        number = file.fileno()
    except Exception:  # noqa: BLE001 - some files have no descriptor, and say so in their own way
        return
    origins.remember("descriptor", number, _identity(number), _CALLER)


def _note_child(args: tuple[Any, ...], result: Any) -> None:
    pid = result[0] if isinstance(result, tuple) else result
    if pid:
        origins.remember("process", pid, None, _CALLER)


def _note_interpreter(args: tuple[Any, ...], number: Any) -> None:
    origins.remember("interpreter", number, None, _CALLER)


def _note_setting(name: str | Callable[[Any], str]) -> _Note:
    def note(args: tuple[Any, ...], result: Any) -> None:
        told = name if isinstance(name, str) else name(args[0])
        origins.remember("setting", told, None, _CALLER)

    return note


def _signal_setting(number: Any) -> str:
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(number).name}"
    return f"signal {number}"


_FUNCTIONS: Final[tuple[tuple[Any, str, _Note], ...]] = (
    (io, "open", _note_file),
    (builtins, "open", _note_file),
    *(
        (os, name, _note_number)
        for name in (
            "open",
            "dup",
            "dup2",
            "memfd_create",
            "eventfd",
            "pidfd_open",
            "timerfd_create",
        )
    ),
    *((os, name, _note_numbers) for name in ("pipe", "pipe2", "openpty")),
    (select, "epoll", _note_file),
    *((os, name, _note_child) for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp")),
    *((os, name, _note_setting("cwd")) for name in ("chdir", "fchdir")),
    *((os, name, _note_setting(os.fsdecode)) for name in ("putenv", "unsetenv")),
    (os, "umask", _note_setting("umask")),
    (signal, "signal", _note_setting(_signal_setting)),
    (signal, "setitimer", _note_setting("timer ITIMER_REAL")),
    (signal, "alarm", _note_setting("timer ITIMER_REAL")),
)


def _methods() -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
    """Yield the methods to wrap and their wrappers; imports the modules only when needed."""
    import socket
    import subprocess
    from concurrent.futures import ThreadPoolExecutor

    yield threading.Thread, "start", _started_thread
    yield _thread, "start_new_thread", _started_raw_thread
    yield ThreadPoolExecutor, "submit", _submitted
    yield socket.socket, "__init__", _made_socket
    yield subprocess.Popen, "__init__", _started_process
    # `concurrent.futures` has imported this module where it exists (3.14 and later).
    interpreters = sys.modules.get("_interpreters")
    if interpreters is not None and hasattr(interpreters, "create"):
        yield interpreters, "create", lambda original: _Watched(original, _note_interpreter)
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        yield process.BaseProcess, "start", _started_process
    events = sys.modules.get("asyncio.base_events")
    if events is not None:
        yield events.BaseEventLoop, "create_task", _created_task


def _started_thread(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        origins.adopt(self)
        original(self)
        origins.remember("thread", self.native_id, None, _CALLER - 1)

    return start


def _started_raw_thread(original: Callable[..., Any]) -> Callable[..., Any]:
    def start_new_thread(
        function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> int:
        guard = origins.detector_here()
        sight = frames_here(2) if origins.tracing else ()

        def run(*args: Any, **kwargs: Any) -> None:
            current_detector.set(guard)
            origins.remember_as("thread", threading.get_native_id(), guard, sight)
            function(*args, **kwargs)

        number: int = original(run, args, kwargs or {})
        return number

    return start_new_thread


def _submitted(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        guard = origins.detector_here()
        if guard is None or _runs_elsewhere(self):
            return original(self, fn, *args, **kwargs)

        def run(*args: Any, **kwargs: Any) -> Any:
            token = current_detector.set(guard)
            try:
                return fn(*args, **kwargs)
            finally:
                current_detector.reset(token)

        return original(self, run, *args, **kwargs)

    return submit


def _runs_elsewhere(pool: Any) -> bool:
    """Return whether a pool runs functions in subinterpreters, which accept no closures."""
    module = sys.modules.get("concurrent.futures.interpreter")
    kind = getattr(module, "InterpreterPoolExecutor", None)
    return kind is not None and isinstance(pool, kind)


def _made_socket(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        number = self.fileno()
        origins.remember("descriptor", number, _identity(number), _CALLER - 1)

    return __init__


def _started_process(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        origins.remember("process", self.pid, None, _CALLER - 1)
        return result

    return start


def _created_task(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        task = original(self, *args, **kwargs)
        origins.remember("task", weakref.ref(task), None, _CALLER - 1)
        return task

    return create_task


class CreationTracer:
    """The installed wrappers of this process, counted by user.

    Thread safety: every method, from any thread.
    """

    def __init__(self) -> None:
        # Protects the counts, and installation and removal of the wrappers.
        self._lock = threading.RLock()
        self._count = 0
        self._traced = 0
        self._undo: list[Callable[[], object]] = []

    def acquire(self, *, trace: bool) -> None:
        """Install the wrappers at the first call.

        Args:
            trace: Whether to record the stack of each creation, too.
        """
        with self._lock:
            self._count += 1
            self._traced += trace
            origins.tracing = self._traced > 0
            if self._count == 1:
                self._put_in()

    def release(self, *, trace: bool) -> None:
        """Remove the wrappers if this was their last user."""
        with self._lock:
            self._count -= 1
            self._traced -= trace
            origins.tracing = self._traced > 0
            if not self._count:
                for undo in reversed(self._undo):
                    undo()
                self._undo.clear()
                origins.clear()

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread may have held it."""
        self._lock = threading.RLock()

    def _put_in(self) -> None:
        for owner, name, note in _FUNCTIONS:
            original = getattr(owner, name, None)
            if original is not None:
                self._replace(owner, name, _Watched(original, note))
        for owner, name, wrap in _methods():
            self._replace(owner, name, wrap(getattr(owner, name)))

    def _replace(self, owner: Any, name: str, wrapper: Any) -> None:
        original = getattr(owner, name)
        setattr(owner, name, wrapper)
        # `os.supports_fd` and its kin contain functions: the wrapper must be a member, too.
        abilities = [
            ability
            for ability in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks)
            if owner is os and original in ability
        ]
        for ability in abilities:
            ability.add(wrapper)

        def undo() -> None:
            if isinstance(wrapper, _Watched):
                wrapper.active = False
            # Keep the attribute if other code has replaced it meanwhile.
            if getattr(owner, name) is wrapper:
                setattr(owner, name, original)
            for ability in abilities:
                ability.discard(wrapper)

        self._undo.append(undo)


watch: Final = CreationTracer()
"""The wrappers of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watch.renew)
