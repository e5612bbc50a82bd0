"""Notes on exceptions (PEP 678), which the class of an exception may refuse."""

from __future__ import annotations

__all__ = ["add_note"]

__unittest = True


def add_note(error: BaseException, note: str) -> None:
    """Add a note, unless the error's class refuses attributes (a frozen dataclass does)."""
    try:
        error.add_note(note)
    except Exception:  # noqa: BLE001 - the error matters more than the note
        return
