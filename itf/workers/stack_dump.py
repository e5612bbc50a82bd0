"""Stack dumps: what a process writes about its threads on request, and about itself."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import pathlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

from itf.descriptors import Descriptor, anonymous_file
from itf.workers.kernel_threads import can_signal_tasks, catches
from itf.workers.stack_request import ANSWER, END, FAULTHANDLER_SIGNAL, FILE, HANDLER_SIGNAL, ask

__all__ = [
    "StackFile",
    "begin_listening",
    "end_listening",
    "own_number",
    "readable",
    "stacks_of_this_process",
]

__unittest = True

_ITF: Final = str(pathlib.Path(__file__).parents[1]) + os.sep

_READY: Final = b"\n"


class _State:
    """The file and the signal handlers of this process."""

    def __init__(self) -> None:
        # Protects `users`, `made` and `own` in `begin_listening` and `end_listening`.
        self.changing = threading.Lock()
        self.own: StackFile | None = None
        # Number of calls of `begin_listening` without `end_listening`.
        self.users = 0
        # The file that `begin_listening` has made; None in a worker, which has its file
        # from `ChildSetup`.
        self.made: StackFile | None = None
        # The handler of the signal before `listen`.
        self.before: Any = signal.SIG_DFL


_state = _State()


class StackFile:
    """The file to which a process writes the stacks of its threads on request."""

    def __init__(self) -> None:
        self._file = anonymous_file(FILE)

    def listen(self) -> None:
        """Install the signal handlers that write the stacks; called in the process itself."""
        if (
            HANDLER_SIGNAL is None
            or FAULTHANDLER_SIGNAL is None
            or not hasattr(faulthandler, "register")
        ):
            return
        faulthandler.register(
            FAULTHANDLER_SIGNAL,
            file=self._file.number,
            all_threads=not can_signal_tasks(),
            chain=False,
        )
        if _is_main_thread():
            before = signal.signal(HANDLER_SIGNAL, _answer)
            _state.before = signal.SIG_DFL if before is _answer else before
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {HANDLER_SIGNAL, FAULTHANDLER_SIGNAL})
        os.write(self._file.number, _READY)
        _state.own = self

    def write(self, text: str) -> None:
        """Write an answer, in one system call, because the requester may be reading."""
        os.write(self._file.number, (text + END).encode(errors="replace"))

    def ask(self, pid: int, seconds: float = ANSWER) -> str:
        """Return the stacks of a process as text; empty if it does not answer.

        Args:
            pid: Process id.
            seconds: Longest time to wait for the answer.
        """
        return ask(self._file.number, pid, seconds)

    @property
    def number(self) -> int:
        """The file's descriptor in this process; -1 after `close`."""
        return self._file.number

    @property
    def is_ready(self) -> bool:
        """Whether the process has installed its handlers."""
        return self._file.number >= 0 and os.fstat(self._file.number).st_size > 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __getstate__(self) -> Descriptor:
        return self._file

    def __setstate__(self, state: Descriptor) -> None:
        self._file = state


def _answer(number: int, frame: FrameType | None) -> None:
    own = _state.own
    if own is not None and own.number >= 0:
        # An error of the write must not be raised in the user's code that the signal has
        # interrupted.  The requester gets no answer then.
        with contextlib.suppress(OSError):
            own.write("".join(f"{line}\n" for line in _lines(" (most recent call first):")))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def own_number() -> int | None:
    """Return the descriptor of this process's stack file; None if it does not answer requests."""
    return None if _state.own is None else _state.own.number


def begin_listening() -> None:
    """Answer requests for the stacks of this process until the matching `end_listening`.

    If other code has a handler for one of the signals, the handler stays, and this
    process does not answer requests.
    """
    state = _state
    with state.changing:
        state.users += 1
        if state.own is not None or HANDLER_SIGNAL is None or FAULTHANDLER_SIGNAL is None:
            return
        # itf's handler may have stayed: only the main thread can remove it.
        is_ours = signal.getsignal(HANDLER_SIGNAL) is _answer
        pid = os.getpid()
        if (catches(pid, HANDLER_SIGNAL) and not is_ours) or catches(pid, FAULTHANDLER_SIGNAL):
            return
        state.made = StackFile()
        state.made.listen()


def end_listening() -> None:
    """Restore the signal handlers after the last `begin_listening`.

    No other process may request stacks at that time: its signal would kill this process.
    """
    state = _state
    with state.changing:
        state.users -= 1
        if (
            state.users
            or state.made is None
            or HANDLER_SIGNAL is None
            or FAULTHANDLER_SIGNAL is None
        ):
            return
        faulthandler.unregister(FAULTHANDLER_SIGNAL)
        if _is_main_thread() and signal.getsignal(HANDLER_SIGNAL) is _answer:
            signal.signal(HANDLER_SIGNAL, state.before)
        state.made.close()
        state.made = state.own = None


def _after_fork() -> None:
    global _state  # noqa: PLW0603 - a new process has a new state
    if _state.own is not None and FAULTHANDLER_SIGNAL is not None:
        faulthandler.unregister(FAULTHANDLER_SIGNAL)
    _state = _State()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def readable(dump: str) -> str:
    """Return a stack dump without the frames of itf, and without those below `run`."""
    kept: list[str] = []
    below = False
    for line in dump.splitlines():
        if not line.startswith("  File "):
            below = False
        elif f'File "{_ITF}workers' in line and line.endswith(" in run"):
            below = True  # the remaining frames of this thread start the worker
        if line.strip() and not below and f'File "{_ITF}' not in line:
            kept.append(line)
    return "\n".join(kept)


def stacks_of_this_process() -> str:
    """Return the stacks of the threads of this process, without itf's own frames."""
    return readable("\n".join(_lines(f" of this process (pid {os.getpid()}):")))


def _lines(whose: str) -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, top in _frames().items():
        yield f"thread {names.get(ident, ident)!r}{whose}"
        for frame, line in traceback.walk_stack(top):
            yield f'  File "{frame.f_code.co_filename}", line {line} in {frame.f_code.co_name}'


def _frames() -> dict[int, FrameType]:
    """Return the current frame of each thread."""
    # In early versions of Python 3.11, a garbage collection during the call hangs.
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()
