"""Transfer of a worker's result or error: posting it in the worker, restoring it in the parent."""

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


# Addresses in messages, which are ignored when two messages are compared.
_ADDRESS: Final = re.compile("0x[0-9a-fA-F]+")


class RemoteWorkerError(WorkerError):
    """The text of a traceback from another process; set as the cause of the error."""

    def __str__(self) -> str:
        return f"\n{super().__str__()}"


def module_of_error(error: BaseException) -> str:
    """Return the module of the outermost function of the user in an error's traceback."""
    frames = traceback_frames(error)
    return module_of(frames[-1][0]) if frames else "<unknown>"


def post_result(channel: ResultChannel, worker: str, target: object, value: object) -> None:
    """Post the value that a worker's target returned.

    Raises:
        WorkerPicklingError: The value cannot be pickled; nothing was posted.
    """
    about = {"time": time.monotonic()}
    try:
        channel.post("result", about, lambda file: ResultPickler(file).dump(value))
    except Exception as error:
        place = Place("result", value, f"returned by {place_of_function(target)}")
        check: Callable[[Any], Exception | None] = lambda part: pickling_error(part, ResultPickler)  # noqa: E731
        raise find_unpicklable(worker, [place], error, check, "to the parent process") from error


def post_exit(channel: ResultChannel, error: SystemExit) -> None:
    """Post that a worker ended with `sys.exit`."""
    frames = traceback_frames(error)
    about = {
        "time": time.monotonic(),
        "code": error.code if isinstance(error.code, int | str | None) else str(error.code),
        "site": code_location(frames[0][0]) if frames else "",
    }
    channel.post("exit", about, _nothing)


def post_failure(channel: ResultChannel, error: BaseException) -> None:
    """Post the error that ended a worker."""
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
    """Write no value, for an outcome without one."""


def failure_of(outcome: Outcome, worker: str, pid: int | None) -> BaseException:
    """Return the error that a worker has posted.

    Returns:
        The unpickled error with the remote traceback as its cause.  If the error cannot
        be unpickled, a `WorkerError` with its type and message in its place.
    """
    description = outcome.about["description"]
    error: BaseException
    try:
        loaded = outcome.load()
    except Exception:  # noqa: BLE001 - a user's exception class may fail in any way
        loaded = None
    if isinstance(loaded, KeyboardInterrupt | SystemExit | GeneratorExit):
        # These errors would end the test run if they were raised in the test.
        error = WorkerDiedError(f"worker {worker!r} (pid {pid}) was ended by {description}", worker)
    elif isinstance(loaded, BaseException) and _says(loaded, description):
        error = loaded
    else:
        error = WorkerError(f"worker {worker!r} raised {description}", worker)
    # At the end of the chain of causes, because the error's own causes were sent too.
    _origin(error).__cause__ = RemoteWorkerError(outcome.about["text"].rstrip(), worker)
    if error is not loaded:
        for note in outcome.about["notes"]:
            add_note(error, note)
    add_note(error, f"in worker {worker!r} (pid {pid}), raised in {outcome.about['module']}")
    return error


def _says(error: BaseException, description: str) -> bool:
    """Return whether an unpickled error has the message that it had in the worker.

    The message may differ if the ``__init__`` of the class makes it from its arguments.
    """
    said = _description(error)
    # Compared as a multiset of characters, because the repr of a set may have another
    # order in another process.
    return said == description or Counter(_ADDRESS.sub("", said)) == Counter(
        _ADDRESS.sub("", description)
    )


def _origin(error: BaseException) -> BaseException:
    """Return the last error in the chain of causes; the error itself if it has no cause."""
    seen = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in seen:
        error = error.__cause__
        seen.add(id(error))
    return error


def death(worker: str, pid: int | None, code: int, when: str = "") -> WorkerDiedError:
    """Return the error for a worker process that ended without posting a result or error.

    Args:
        worker: Name of the worker.
        pid: Its process id.
        code: Its exit code, negative for a signal.
        when: Text to append to the message.
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
