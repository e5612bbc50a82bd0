"""The Python stacks of whoever is stuck: of a worker process, and of this process's threads."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from typing import Final

from itf.descriptors import Descriptor, anonymous_file

__all__ = ["StackFile", "process_state", "readable", "stacks_of_this_process"]

__unittest = True

_ITF: Final = str(pathlib.Path(__file__).parents[1]) + os.sep


def _stack_signal() -> int | None:
    """Choose the signal on which a worker writes its stacks: one that nobody uses."""
    if hasattr(signal, "SIGRTMAX"):
        return int(signal.SIGRTMAX) - 3
    number = getattr(signal, "SIGUSR2", None)
    return None if number is None else int(number)


_SIGNAL: Final = _stack_signal() if hasattr(faulthandler, "register") else None

# A dump takes well below a millisecond; one who is not back by then is stuck
# in the kernel, where no signal reaches it.
_TIMEOUT: Final = 1.0
_FIRST_LOOK: Final = 0.0002
_LONGEST_PAUSE: Final = 0.01

_READY: Final = b"\n"


class StackFile:
    """The file into which `faulthandler` writes a worker's stacks."""

    def __init__(self) -> None:
        self._file = anonymous_file("itf-stacks")

    def listen(self) -> None:
        """Write the stacks of all threads whenever the signal comes; called in the worker.

        The handler runs in C: also while the worker is stuck there, or holds
        the interpreter lock.
        """
        if _SIGNAL is None:
            return
        faulthandler.register(_SIGNAL, file=self._file.number, all_threads=True, chain=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {_SIGNAL})
        os.write(self._file.number, _READY)

    def ask(self, pid: int, timeout: float = _TIMEOUT) -> str:
        """Return the stacks of the worker as text, empty if it does not answer.

        Args:
            pid: The worker.
            timeout: How long it may take.
        """
        number = self._file.number
        before = os.fstat(number).st_size
        if _SIGNAL is None or not before or not _catches(pid, _SIGNAL):
            return ""
        try:
            os.kill(pid, _SIGNAL)
        except OSError:
            return ""
        deadline = time.monotonic() + timeout
        pause = _FIRST_LOOK
        while time.monotonic() < deadline:
            time.sleep(pause)  # a handler that runs in another process tells nobody when it is done
            pause = min(2 * pause, _LONGEST_PAUSE)
            if os.fstat(number).st_size > before and not _handles(pid, _SIGNAL):
                break
        size = os.fstat(number).st_size
        return os.pread(number, size - before, before).decode(errors="replace")

    @property
    def is_ready(self) -> bool:
        """Whether the worker has begun."""
        return self._file.number >= 0 and os.fstat(self._file.number).st_size > 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __getstate__(self) -> Descriptor:
        return self._file

    def __setstate__(self, state: Descriptor) -> None:
        self._file = state


def _status_bit(path: str, field: str, number: int) -> bool | None:
    """Return whether a signal is in a set of /proc's status file, None if that cannot be read."""
    with contextlib.suppress(OSError), open(path) as file:
        for line in file:
            if line.startswith(field):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return None


def _catches(pid: int, number: int) -> bool:
    """Say whether a process has a handler for a signal, which else would kill it."""
    return _status_bit(f"/proc/{pid}/status", "SigCgt:", number) is not False


def _handles(pid: int, number: int) -> bool:
    """Say whether a signal is on its way to a process or being handled by one of its threads."""
    if _status_bit(f"/proc/{pid}/status", "ShdPnd:", number):
        return True
    with contextlib.suppress(OSError):
        # A signal is blocked while its handler runs.
        return any(
            _status_bit(f"/proc/{pid}/task/{task}/status", "SigBlk:", number)
            for task in os.listdir(f"/proc/{pid}/task")
        )
    return False


def process_state(pid: int) -> str:
    """Return ``running``, ``paused`` or ``dead``, as far as this system tells."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            letter = file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "dead" if sys.platform == "linux" else "running"
    return {"T": "paused", "t": "paused", "Z": "dead", "X": "dead"}.get(letter, "running")


def readable(dump: str) -> str:
    """Cut from what `faulthandler` wrote what is not the worker's own: itf, and how it began."""
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
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in list(sys._current_frames().items()):
        parts.append(f"thread {names.get(ident, ident)!r} of this process (pid {os.getpid()}):")
        for entry in reversed(traceback.extract_stack(frame)):
            if not entry.filename.startswith(_ITF):
                parts.append(f'  File "{entry.filename}", line {entry.lineno} in {entry.name}')
    return "\n".join(parts)
