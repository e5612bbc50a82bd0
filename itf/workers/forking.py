"""A fork after which either the caller knows the child, or there is none.

Since Python 3.15 `os.fork` beside other threads raises its DeprecationWarning,
where warnings are errors, in the parent, and the child exists already.  The
child runs on, and nobody knows its process id.  Up to Python 3.14 that warning
is lost.  An exception of a signal handler may come at the same place.
"""

from __future__ import annotations

import contextlib
import os
import signal
import types
import warnings
from collections.abc import Callable
from multiprocessing import popen_fork
from multiprocessing.connection import wait
from typing import Any, Final

from itf.tracebacks import module_of, user_frame

__all__ = ["fork", "launch"]

__unittest = True

_BETWEEN: Final = ("itf", "multiprocessing")

# Seconds to wait until the child has told its process id, which it does first.
_PATIENCE: Final = 10.0

_PID_SIZE: Final = 8


def fork() -> int:
    """Fork as `os.fork` does; beside threads that is a warning at most, never an error.

    Where the warning is an error, it is shown as a warning, for the process
    that it warns of has been forked.

    Raises:
        OSError: The system refuses.
        BaseException: What a signal handler or an audit hook raised; there is no child then.
    """
    reading, writing = os.pipe()
    try:
        try:
            pid = os.fork()
        except OSError:
            raise
        except BaseException as error:
            os.close(writing)
            writing = -1
            child = _pid_from(reading)
            if child and isinstance(error, Warning):
                _show(error)
                return child
            if child:
                _end(child)
            raise
        if pid == 0:
            # This process still has the other end: the parent may have closed its own.
            os.write(writing, os.getpid().to_bytes(_PID_SIZE, "little"))
        return pid
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _pid_from(reading: int) -> int:
    """Return the process id that a child has told, 0 if there is no child."""
    if not wait([reading], _PATIENCE):
        return 0
    return int.from_bytes(os.read(reading, _PID_SIZE), "little")


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _show(warning: Warning) -> None:
    """Show a warning, at the line of the user's that started the process."""
    frame = user_frame()
    while frame.f_back is not None and module_of(frame).partition(".")[0] in _BETWEEN:
        frame = frame.f_back
    warnings.showwarning(warning, type(warning), frame.f_code.co_filename, frame.f_lineno)


def launch(popen: Any, process: Any) -> None:
    """Fork a process for a process object, as `multiprocessing` does, by the `fork` of this module.

    Raises:
        BaseException: What `fork` raises; no descriptor is left open then.
    """
    stand_in = _ForkingOs()
    try:
        _launch_with(stand_in)(popen, process)
    except BaseException:
        if not stand_in.has_forked:
            # multiprocessing leaves them open.
            for number in stand_in.pipes:
                os.close(number)
        raise


class _ForkingOs:
    """The module `os`, with the `fork` of this module."""

    def __init__(self) -> None:
        self.pipes: list[int] = []
        self.has_forked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def pipe(self) -> tuple[int, int]:
        """Make a pipe, and remember it."""
        ends = os.pipe()
        self.pipes += ends
        return ends

    def fork(self) -> int:
        """Fork, and remember it."""
        pid = fork()
        self.has_forked = True
        return pid


def _launch_with(stand_in: _ForkingOs) -> Callable[[Any, Any], None]:
    """Return multiprocessing's function that forks a process, with another object as its `os`.

    What stands around the fork is another thing in each version of Python.
    """
    original: Any = popen_fork.Popen._launch  # type: ignore[attr-defined]  # not in the stubs
    if not isinstance(original, types.FunctionType) or "fork" not in original.__code__.co_names:
        launch_as_ever: Callable[[Any, Any], None] = original
        return launch_as_ever
    return types.FunctionType(
        original.__code__,
        {**vars(popen_fork), "os": stand_in},
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )
