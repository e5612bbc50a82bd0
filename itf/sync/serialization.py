"""Objects to bytes and back, as `multiprocessing` does it, with less copying and making.

Bytes are their own message; everything else is pickled, by picklers that are
used again.
"""

from __future__ import annotations

import io
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

__all__ = ["dumps", "loads"]

__unittest = True

# A pickler that has written more than this is not kept: its buffer would be, too.
_KEPT: Final = 64 << 10

# Taken out while in use: an object's own __reduce__ may come back here.
_idle: Final[list[tuple[ForkingPickler, io.BytesIO]]] = []


def loads(data: bytes, pickled: bool) -> Any:
    """Return the object of a message; it comes from a process of the same environment."""
    return pickle.loads(data) if pickled else data  # noqa: S301 - from our own processes only


def dumps(obj: Any) -> tuple[bytes, bool]:
    """Return the bytes of an object, and whether it was pickled."""
    kind = type(obj)
    if kind is bytes:
        return obj, False
    # What no reducer of multiprocessing has a say in.  By identity, for a class
    # of the user's may have no hash.
    if kind is int or kind is str or kind is float or kind is bool or obj is None:
        return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL), True
    try:
        pickler, buffer = _idle.pop()
    except IndexError:
        buffer = io.BytesIO()
        pickler = ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dump(obj)
    # It knows the object; nobody else may still want it.
    pickler.clear_memo()
    data = buffer.getvalue()
    if len(data) < _KEPT:
        buffer.seek(0)
        buffer.truncate()
        _idle.append((pickler, buffer))
    return data, True
