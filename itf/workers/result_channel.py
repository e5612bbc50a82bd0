"""How a worker's last word comes home: a file that never blocks and is never torn.

A worker fills its file and commits it with one last byte.  The parent reads it
when the worker is gone: it has all of it, or nothing.
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

_COMMITTED: Final = b"\x01"
_START: Final = 16


class Outcome(NamedTuple):
    """What a worker had to say at its end.

    Attributes:
        kind: ``result``, ``failure`` or ``exit``.
        about: Plain values that describe it, whatever becomes of the value.
        load: Unpickles the value; may raise anything.
    """

    kind: str
    about: dict[str, Any]
    load: Callable[[], Any]


class ResultChannel:
    """One worker's file."""

    def __init__(self) -> None:
        self._file = anonymous_file("itf-mailbox")

    def post(
        self, kind: str, about: dict[str, Any], dump: Callable[[io.BufferedIOBase], None]
    ) -> None:
        """Leave the last word; called once, in the worker.

        Args:
            kind: What it is.
            about: Plain values that describe it.
            dump: Writes the value's pickle; if it raises, nothing is committed,
                and something else may be posted.
        """
        number = self._file.number
        os.ftruncate(number, 0)
        with open(number, "wb", closefd=False) as file:
            file.seek(_START)
            pickle.dump((kind, about), file)
            dump(file)
        os.pwrite(number, _COMMITTED, 0)

    def read(self) -> Outcome | None:
        """Return the word of a worker that has ended, None if it left none."""
        file = open(self._file.number, "rb", closefd=False)  # noqa: SIM115 - load() reads on
        file.seek(0)  # the worker has moved it
        if file.read(1) != _COMMITTED:
            return None
        file.seek(_START)
        # Only ever from a process that this one started.
        kind, about = pickle.load(file)  # noqa: S301
        return Outcome(kind, about, lambda: pickle.load(file))  # noqa: S301

    def close(self) -> None:
        """Let go of the file; without another owner, it is gone."""
        self._file.close()

    def __getstate__(self) -> Descriptor:
        return self._file

    def __setstate__(self, state: Descriptor) -> None:
        self._file = state
