"""A fork that never leaves an unknown child process.

In a process with several threads, `os.fork` gives a DeprecationWarning.  If warnings
are errors, Python 3.15 raises it in the parent after the child was made.  The child
then runs on, and its process id is unknown.  (Python up to 3.14 ignores the error.)
An exception of a signal handler may be raised at the same place.
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

# Seconds to wait for the process id, which the child writes before anything else.
_PATIENCE: Final = 10.0

_PID_SIZE: Final = 8


def fork() -> int:
    """Fork as `os.fork` does; the warning about other threads never becomes an error.

    If warnings are errors, the warning is shown instead, because the child exists.

    Raises:
        OSError: The system cannot fork.
        BaseException: Raised by a signal handler or an audit hook; the child was killed.
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
            # The write succeeds if the parent has closed its reading end: this process has
            # a copy of it.
            os.write(writing, os.getpid().to_bytes(_PID_SIZE, "little"))
        return pid
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _pid_from(reading: int) -> int:
    """Return the process id that a child has written; 0 if there is no child."""
    if not wait([reading], _PATIENCE):
        return 0
    return int.from_bytes(os.read(reading, _PID_SIZE), "little")


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _show(warning: Warning) -> None:
    """Show a warning, at the user's line that has started the process."""
    frame = user_frame()
    while frame.f_back is not None and module_of(frame).partition(".")[0] in _BETWEEN:
        frame = frame.f_back
    warnings.showwarning(warning, type(warning), frame.f_code.co_filename, frame.f_lineno)


def launch(popen: Any, process: Any) -> None:
    """Start a process object as `multiprocessing` does, but with `fork` of this module.

    Raises:
        BaseException: Raised by `fork`; no descriptor is left open then.
    """
    stand_in = _ForkingOs()
    try:
        _launch_with(stand_in)(popen, process)
    except BaseException:
        if not stand_in.has_forked:
            # `multiprocessing` does not close its pipes after an error.
            for number in stand_in.pipes:
                os.close(number)
        raise


class _ForkingOs:
    """A replacement for the module `os`, with `fork` of this module.

    Attributes:
        pipes: Both descriptors of each pipe that was made.
        has_forked: Whether `fork` has succeeded.
    """

    def __init__(self) -> None:
        self.pipes: list[int] = []
        self.has_forked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def pipe(self) -> tuple[int, int]:
        """Return a new pipe, and record its descriptors."""
        ends = os.pipe()
        self.pipes += ends
        return ends

    def fork(self) -> int:
        """Fork, and record that."""
        pid = fork()
        self.has_forked = True
        return pid


def _launch_with(stand_in: _ForkingOs) -> Callable[[Any, Any], None]:
    """Return multiprocessing's function that forks a process, with another object as its `os`.

    The function is not copied into this module, because it differs between the versions
    of Python.
    """
    original: Any = popen_fork.Popen._launch  # type: ignore[attr-defined]  # not in the stubs
    if not isinstance(original, types.FunctionType) or "fork" not in original.__code__.co_names:
        unchanged: Callable[[Any, Any], None] = original
        return unchanged
    return types.FunctionType(
        original.__code__,
        {**vars(popen_fork), "os": stand_in},
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )
