"""Notes on exceptions (PEP 678), also on exceptions whose class does not allow notes."""

from __future__ import annotations

from collections.abc import Sequence

from itf.safe_repr import safe_repr

__all__ = ["add_note", "get_notes"]

__unittest = True


def add_note(error: BaseException, note: str) -> None:
    """Add a note; do nothing if the exception refuses attributes, as a frozen dataclass does."""
    try:
        error.add_note(note)
    except Exception:  # noqa: BLE001 - a missing note must not hide the exception itself
        return


def get_notes(error: BaseException) -> list[str]:
    """Return the notes of an exception as text.

    If reading them raises, the result is one line that says so.
    """
    try:
        notes = getattr(error, "__notes__", None)
        if isinstance(notes, str | bytes) or not isinstance(notes, Sequence):
            return []
        return [note if isinstance(note, str) else safe_repr(note) for note in notes]
    except Exception as failure:  # noqa: BLE001 - `__notes__` may be any object, or a property
        return [f"<notes cannot be read: {type(failure).__qualname__}>"]
