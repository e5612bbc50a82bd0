"""What a worker's failure looks like, here and on its way home from another process."""

from __future__ import annotations

import pickle
import traceback
from typing import Final, NamedTuple

from itf.exceptions import WorkerError
from itf.formats import safe_str

__all__ = ["Failure", "RemoteWorkerError"]

__unittest = True

# A pipe takes 64 KiB without a reader.  A failure that fits in that is sent
# before the worker ends, whether or not anybody is reading.
_MAX_MESSAGE: Final = 60_000
_MAX_TEXT: Final = 24_000


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
        text = "".join(traceback.format_exception(error))
        if len(text) > _MAX_TEXT:
            text = f"{text[: _MAX_TEXT // 2]}\n... cut ...\n{text[-_MAX_TEXT // 2 :]}"
        description = f"{type(error).__qualname__}: {safe_str(error)}"[:1000]
        return cls(module, text, description, _pickled(error))

    def exception(self, worker: str) -> BaseException:
        """Return the error as the other process raised it, as far as it can be brought back.

        Returns:
            The error itself with the remote traceback as its cause; one that
            cannot be pickled, as a `WorkerError` with its type, message and text.
        """
        cause = RemoteWorkerError(self.text, worker)
        error: BaseException
        if self.pickled is None:
            error = WorkerError(f"worker {worker!r} raised {self.description}", worker)
        else:
            # Only ever from a process that this one started, over a pipe of its own.
            error = pickle.loads(self.pickled)  # noqa: S301
        error.__cause__ = cause
        return error


def _pickled(error: BaseException) -> bytes | None:
    """Pickle an error, None if that cannot be undone or is too long to be sent."""
    try:
        data = pickle.dumps(error)
        # Many exceptions can be pickled and not unpickled: their __init__ takes
        # other arguments than they pass on.
        back = pickle.loads(data)  # noqa: S301 - what was dumped on the line above
    except Exception:  # noqa: BLE001 - a user's exception class may fail in any way
        return None
    if type(back) is not type(error) or len(data) > _MAX_MESSAGE - 2 * _MAX_TEXT:
        return None
    return data
