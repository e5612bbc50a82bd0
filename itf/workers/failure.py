"""What a worker's failure looks like, here and on its way home from another process."""

from __future__ import annotations

import contextlib
import pickle
import re
import traceback
from typing import Final, NamedTuple

from itf.exceptions import WorkerError
from itf.texts import safe_str

__all__ = ["Failure", "RemoteWorkerError"]

__unittest = True

# A pipe takes 64 KiB without a reader.  A failure that fits in that is sent
# before the worker ends, whether or not anybody is reading.  So many bytes may
# each of its parts have; together they leave room for what pickle adds.
_MAX_PICKLE: Final = 32_000
_MAX_TEXT: Final = 24_000
_MAX_LINE: Final = 2_000


class RemoteWorkerError(WorkerError):
    """The traceback of an error in another process, as text; the cause of that error here."""

    def __str__(self) -> str:
        return f"\n{super().__str__()}"


class Failure(NamedTuple):
    """An error that ended a worker."""

    module: str
    text: str
    description: str
    pickled: bytes | None

    @classmethod
    def of(cls, error: BaseException, module: str) -> Failure:
        """Describe an error so that it can be sent."""
        description = f"{type(error).__qualname__}: {safe_str(error)}"
        try:
            text = "".join(traceback.format_exception(error))
        except Exception:  # noqa: BLE001 - an exception class can break its own formatting
            text = description
        return cls(
            _cut(module, _MAX_LINE),
            _cut(text, _MAX_TEXT),
            _cut(description, _MAX_LINE),
            _pickled(error),
        )

    def exception(self, worker: str) -> BaseException:
        """Return the error as the other process raised it, as far as it can be brought back.

        Returns:
            The error itself with the remote traceback as its cause; one that
            cannot be pickled, or not be sent whole, as a `WorkerError` with its
            type, message and text.
        """
        cause = RemoteWorkerError(self.text, worker)
        if self.pickled is not None:
            # Whatever is raised: its class may exist in the worker alone.
            with contextlib.suppress(Exception):
                # Only ever from a process that this one started, over a pipe of its own.
                error: BaseException = pickle.loads(self.pickled)  # noqa: S301
                error.__cause__ = cause
                return error
        described = WorkerError(f"worker {worker!r} raised {self.description}", worker)
        described.__cause__ = cause
        return described


def _cut(text: str, size: int) -> str:
    """Cut the middle out of a text that has more than so many bytes."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= size:
        return text
    start, end = data[: size // 2], data[-size // 2 :]
    return f"{start.decode('utf-8', 'ignore')}\n... cut ...\n{end.decode('utf-8', 'ignore')}"


def _pickled(error: BaseException) -> bytes | None:
    """Pickle an error, None if that cannot be undone or is too long to be sent."""
    try:
        data = pickle.dumps(error)
        # Many exceptions can be pickled and not unpickled, or come back saying
        # something else: their __init__ takes other arguments than they pass on.
        back = pickle.loads(data)  # noqa: S301 - what was dumped on the line above
    except Exception:  # noqa: BLE001 - a user's exception class may fail in any way
        return None
    if type(back) is not type(error) or _says(back) != _says(error) or len(data) > _MAX_PICKLE:
        return None
    return data


def _says(error: BaseException) -> str:
    """Return the message of an error, without the addresses of the objects it speaks of."""
    return re.sub("0x[0-9a-fA-F]+", "0x", safe_str(error))
