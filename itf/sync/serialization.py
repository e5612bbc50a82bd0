"""Serialization of queue items, with the picklers of `multiprocessing`.

Bytes are stored unchanged; all other objects are pickled.  Picklers are reused,
because making one takes longer than pickling a small object.
"""

from __future__ import annotations

import io
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

__all__ = ["dumps", "loads"]

__unittest = True

# Bytes.  A pickler that has written more is discarded with its large buffer.
_KEPT: Final = 64 << 10

# Picklers that are not in use.  `dumps` removes one while it uses it, because an object's
# `__reduce__` may call `dumps` again.
_idle: Final[list[tuple[ForkingPickler, io.BytesIO]]] = []


def loads(data: bytes, pickled: bool) -> Any:
    """Return the object of a message, which a process of the same environment has written."""
    return pickle.loads(data) if pickled else data  # noqa: S301 - from our own processes only


def dumps(obj: Any) -> tuple[bytes, bool]:
    """Return the bytes of an object, and whether it was pickled."""
    kind = type(obj)
    if kind is bytes:
        return obj, False
    # These types never have a reducer of multiprocessing, so plain pickle is enough.
    # Compared by identity, because a class of the user may have no hash.
    if kind is int or kind is str or kind is float or kind is bool or obj is None:
        return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL), True
    try:
        pickler, buffer = _idle.pop()
    except IndexError:
        buffer = io.BytesIO()
        pickler = ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dump(obj)
    # The memo would keep the object alive.
    pickler.clear_memo()
    data = buffer.getvalue()
    if len(data) < _KEPT:
        buffer.seek(0)
        buffer.truncate()
        _idle.append((pickler, buffer))
    return data, True
