"""What a worker's failure looks like, on its way home and there."""

from __future__ import annotations

import io
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from itf.exception_notes import add_note, get_notes
from itf.exceptions import WorkerDiedError, WorkerError
from itf.safe_repr import safe_str
from itf.tracebacks import code_location, module_of, strip_own_frames, traceback_frames
from itf.workers.pickling.diagnosis import Place, find_unpicklable, place_of_function
from itf.workers.pickling.pickler import ResultPickler, pickling_error
from itf.workers.result_channel import Outcome, ResultChannel

__all__ = [
    "RemoteWorkerError",
    "death",
    "failure_of",
    "module_of_error",
    "post_exit",
    "post_failure",
    "post_result",
    "signal_name",
]

__unittest = True


# Where an object was in the memory of its process is no part of what it says.
_ADDRESS: Final = re.compile("0x[0-9a-fA-F]+")


class RemoteWorkerError(WorkerError):
    """The traceback of an error in another process, as text; the cause of that error here."""

    def __str__(self) -> str:
        return f"\n{super().__str__()}"


def module_of_error(error: BaseException) -> str:
    """Return the module of the user's that an error came out of, the worker's own function."""
    frames = traceback_frames(error)
    return module_of(frames[-1][0]) if frames else "<unknown>"


def post_result(channel: ResultChannel, worker: str, target: object, value: object) -> None:
    """Send what a worker returned home.

    Raises:
        WorkerPicklingError: It cannot be sent; nothing was.
    """
    about = {"time": time.monotonic()}
    try:
        channel.post("result", about, lambda file: ResultPickler(file).dump(value))
    except Exception as error:
        place = Place("result", value, f"returned by {place_of_function(target)}")
        check: Callable[[Any], Exception | None] = lambda part: pickling_error(part, ResultPickler)  # noqa: E731
        raise find_unpicklable(worker, [place], error, check, "to the parent process") from error


def post_exit(channel: ResultChannel, error: SystemExit) -> None:
    """Tell that a worker left by `sys.exit`."""
    frames = traceback_frames(error)
    about = {
        "time": time.monotonic(),
        "code": error.code if isinstance(error.code, int | str | None) else str(error.code),
        "site": code_location(frames[0][0]) if frames else "",
    }
    channel.post("exit", about, _nothing)


def post_failure(channel: ResultChannel, error: BaseException) -> None:
    """Send the error that ended a worker home."""
    frames = traceback_frames(error)
    about: dict[str, Any] = {
        "time": time.monotonic(),
        "module": module_of_error(error),
        "operation": frames[0][0].f_code.co_qualname if frames else "",
    }
    strip_own_frames(error)
    about["text"] = "".join(traceback.format_exception(error))
    about["description"] = _description(error)
    about["notes"] = get_notes(error)
    try:
        channel.post("failure", about, lambda file: ResultPickler(file).dump(error))
    except Exception:  # noqa: BLE001 - a user's exception class may fail in any way
        channel.post("failure", about, _nothing)


def _description(error: BaseException) -> str:
    return f"{type(error).__qualname__}: {safe_str(error)}"


def _nothing(_: io.BufferedIOBase) -> None:
    """Write no value."""


def failure_of(word: Outcome, worker: str, pid: int | None) -> BaseException:
    """Return the error as the other process raised it, as far as it can be brought back.

    Returns:
        The error itself with the remote traceback as its cause; one that
        cannot be brought back, as a `WorkerError` with its type, message and text.
    """
    description = word.about["description"]
    error: BaseException
    try:
        loaded = word.load()
    except Exception:  # noqa: BLE001 - a user's exception class may fail in any way
        loaded = None
    if isinstance(loaded, KeyboardInterrupt | SystemExit | GeneratorExit):
        # Raised as they are, they would end the test run.
        error = WorkerDiedError(f"worker {worker!r} (pid {pid}) was ended by {description}", worker)
    elif isinstance(loaded, BaseException) and _says(loaded, description):
        error = loaded
    else:
        error = WorkerError(f"worker {worker!r} raised {description}", worker)
    # At the end of the chain: what the error was raised from has come along.
    _origin(error).__cause__ = RemoteWorkerError(word.about["text"].rstrip(), worker)
    if error is not loaded:
        for note in word.about["notes"]:
            add_note(error, note)
    add_note(error, f"in worker {worker!r} (pid {pid}), raised in {word.about['module']}")
    return error


def _says(error: BaseException, description: str) -> bool:
    """Say whether an error that was unpickled says what it said when it was raised.

    One whose ``__init__`` makes its message of its arguments may not.
    """
    said = _description(error)
    # Counted, for a set may be shown in another order in another process.
    return said == description or Counter(_ADDRESS.sub("", said)) == Counter(
        _ADDRESS.sub("", description)
    )


def _origin(error: BaseException) -> BaseException:
    """Return the first of the causes of an error, the error itself if it has none."""
    seen = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in seen:
        error = error.__cause__
        seen.add(id(error))
    return error


def death(worker: str, pid: int | None, code: int, when: str = "") -> WorkerDiedError:
    """Return the error that tells how a process ended that had not much to say.

    Args:
        worker: Its name.
        pid: Its process id.
        code: Its exit code, negative for a signal.
        when: What is known of the moment, to go at the end.
    """
    name = signal_name(-code) if code < 0 else None
    how = f"was killed by {name}" if name else f"ended with exit code {code}"
    return WorkerDiedError(f"worker {worker!r} (pid {pid}) {how}{when}", worker, code, name)


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
