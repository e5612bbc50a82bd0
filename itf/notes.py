"""Notes on exceptions (PEP 678), which the class of an exception may refuse."""

from __future__ import annotations

from collections.abc import Sequence

from itf.texts import safe_repr

__all__ = ["add_note", "notes_of"]

__unittest = True


def add_note(error: BaseException, note: str) -> None:
    """Add a note, unless the error's class refuses attributes (a frozen dataclass does)."""
    try:
        error.add_note(note)
    except Exception:  # noqa: BLE001 - the error matters more than the note
        return


def notes_of(error: BaseException) -> list[str]:
    """Return the notes (PEP 678) of an exception as text; broken ones are told, not raised."""
    try:
        notes = getattr(error, "__notes__", None)
        if isinstance(notes, str | bytes) or not isinstance(notes, Sequence):
            return []
        return [note if isinstance(note, str) else safe_repr(note) for note in notes]
    except Exception as failure:  # noqa: BLE001 - an exception class can break its own notes
        return [f"<notes cannot be read: {type(failure).__qualname__}>"]
