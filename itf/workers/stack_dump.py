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
from itf.workers.stack_request import ANSWER, FAULTHANDLER_SIGNAL, END, FILE, HANDLER_SIGNAL, ask

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
    """What this process writes its stacks to."""

    def __init__(self) -> None:
        # Held while the others change.
        self.changing = threading.Lock()
        self.own: StackFile | None = None
        # For how many environments, and the file if it was made for them: a
        # worker has one from its birth.
        self.users = 0
        self.made: StackFile | None = None
        # What was there before them.
        self.before: Any = signal.SIG_DFL


_state = _State()


class StackFile:
    """The file that a process writes the stacks of its threads to when it is asked."""

    def __init__(self) -> None:
        self._file = anonymous_file(FILE)

    def listen(self) -> None:
        """Write the stacks whenever the signals come; called in the process itself."""
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
        """Write an answer; in one piece, for one who asks may be looking."""
        os.write(self._file.number, (text + END).encode(errors="replace"))

    def ask(self, pid: int, seconds: float = ANSWER) -> str:
        """Return the stacks of the process as text, empty if it does not answer.

        Args:
            pid: The process.
            seconds: How long it may take.
        """
        return ask(self._file.number, pid, seconds)

    @property
    def number(self) -> int:
        """The descriptor of the file in this process; -1 once it is closed."""
        return self._file.number

    @property
    def is_ready(self) -> bool:
        """Whether the process listens."""
        return self._file.number >= 0 and os.fstat(self._file.number).st_size > 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __getstate__(self) -> Descriptor:
        return self._file

    def __setstate__(self, state: Descriptor) -> None:
        self._file = state


def _answer(number: int, frame: FrameType | None) -> None:
    own = _state.own
    if own is not None and own.number >= 0:
        # Where it cannot be written, who asks is told nothing, as by one who is stuck.
        with contextlib.suppress(OSError):
            own.write("".join(f"{line}\n" for line in _lines(" (most recent call first):")))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


# The test's process


def own_number() -> int | None:
    """Return the descriptor that this process writes its stacks to; None if it does not listen."""
    return None if _state.own is None else _state.own.number


def begin_listening() -> None:
    """Let others ask this process for its stacks, until `end_listening` is called as often.

    If somebody else has a handler for the signals, it keeps it, and nobody is answered.
    """
    state = _state
    with state.changing:
        state.users += 1
        if state.own is not None or HANDLER_SIGNAL is None or FAULTHANDLER_SIGNAL is None:
            return
        # One of ours is left where no main thread could take it back.
        is_ours = signal.getsignal(HANDLER_SIGNAL) is _answer
        pid = os.getpid()
        if (catches(pid, HANDLER_SIGNAL) and not is_ours) or catches(pid, FAULTHANDLER_SIGNAL):
            return
        state.made = StackFile()
        state.made.listen()


def end_listening() -> None:
    """Put the signals back as they were, if nobody needs them any more; who asked must be gone."""
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
    global _state  # noqa: PLW0603 - a new process begins anew
    if _state.own is not None and FAULTHANDLER_SIGNAL is not None:
        faulthandler.unregister(FAULTHANDLER_SIGNAL)
    _state = _State()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# Their texts


def readable(dump: str) -> str:
    """Cut from stacks what is not the worker's own: itf, and how it began."""
    kept: list[str] = []
    below = False
    for line in dump.splitlines():
        if not line.startswith("  File "):
            below = False
        elif f'File "{_ITF}workers' in line and line.endswith(" in run"):
            below = True  # from here on out it is itf's and multiprocessing's own
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
    """Return where each thread is."""
    # In early versions of 3.11, a collection in the middle of it hangs.
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()
