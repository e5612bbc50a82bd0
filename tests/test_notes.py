"""Notes on exceptions, whatever their class thinks of it."""

from __future__ import annotations

import dataclasses
import unittest

from itf.notes import add_note


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    """An exception whose class refuses attributes."""


class AddNoteTest(unittest.TestCase):
    """What add_note promises."""

    def test_a_note_is_added(self) -> None:
        """As BaseException.add_note does."""
        error = ValueError()
        add_note(error, "first")
        add_note(error, "second")
        self.assertEqual(["first", "second"], error.__notes__)

    def test_a_class_that_refuses_notes_is_left_alone(self) -> None:
        """The error matters more than the note."""
        error = FrozenError()
        add_note(error, "hello")
        self.assertFalse(hasattr(error, "__notes__"))

    def test_notes_that_are_no_list_are_left_alone(self) -> None:
        """Somebody may have set the attribute to anything."""
        error = ValueError()
        error.__notes__ = None  # type: ignore[assignment]
        add_note(error, "hello")
        self.assertIsNone(error.__notes__)


if __name__ == "__main__":
    unittest.main()
