"""The channel for a worker's result or error: a file without a name.

The worker writes its outcome to the file, and then commits it with one byte at the
start.  The parent reads the file after the worker has ended, so it gets the complete
outcome or none.  Unlike a pipe, the file never blocks the worker.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from itf.descriptors import Descriptor, anonymous_file

__all__ = ["Outcome", "ResultChannel"]

__unittest = True

# First byte of a file with a complete outcome.
_COMMITTED: Final = b"\x01"

# Offset of the outcome in bytes.
_START: Final = 16


class Outcome(NamedTuple):
    """The outcome that a worker has posted.

    Attributes:
        kind: ``result``, ``failure`` or ``exit``.
        about: Plain values that describe the outcome, readable even if `load` fails.
        load: Function that unpickles the result or error; it may raise anything.
    """

    kind: str
    about: dict[str, Any]
    load: Callable[[], Any]


class ResultChannel:
    """The file of one worker, shared by the worker and its parent."""

    def __init__(self) -> None:
        self._file = anonymous_file("itf-results")

    def post(
        self, kind: str, about: dict[str, Any], dump: Callable[[io.BufferedIOBase], None]
    ) -> None:
        """Write and commit the outcome; called in the worker.

        Args:
            kind: ``result``, ``failure`` or ``exit``.
            about: Plain values that describe the outcome.
            dump: Function that writes the value's pickle to a file.  If it raises,
                nothing is committed, and another outcome may be posted.
        """
        number = self._file.number
        os.ftruncate(number, 0)
        with open(number, "wb", closefd=False) as file:
            file.seek(_START)
            pickle.dump((kind, about), file)
            dump(file)
        os.pwrite(number, _COMMITTED, 0)

    def read(self) -> Outcome | None:
        """Return the outcome of a worker that has ended; None if it committed none."""
        file = open(self._file.number, "rb", closefd=False)  # noqa: SIM115 - load() reads on
        file.seek(0)  # both processes share the file position, and the worker has moved it
        if file.read(1) != _COMMITTED:
            return None
        file.seek(_START)
        # Safe: the file was written by a process that this one has started.
        kind, about = pickle.load(file)  # noqa: S301
        return Outcome(kind, about, lambda: pickle.load(file))  # noqa: S301

    def close(self) -> None:
        """Close the file; the kernel deletes it when no process has it open."""
        self._file.close()

    def __getstate__(self) -> Descriptor:
        return self._file

    def __setstate__(self, state: Descriptor) -> None:
        self._file = state
