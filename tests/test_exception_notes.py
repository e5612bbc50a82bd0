"""Notes on exceptions, also on exceptions whose class does not allow notes."""

from __future__ import annotations

import dataclasses
import unittest

from itf.exception_notes import add_note


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    """Exception whose class refuses attributes."""


class AddNoteTest(unittest.TestCase):
    """`add_note` and `get_notes`."""

    def test_a_note_is_added(self) -> None:
        """A note is added as BaseException.add_note does it."""
        error = ValueError()
        add_note(error, "first")
        add_note(error, "second")
        self.assertEqual(["first", "second"], error.__notes__)

    def test_a_class_that_refuses_attributes(self) -> None:
        """An exception that refuses attributes stays unchanged, and nothing is raised."""
        error = FrozenError()
        add_note(error, "hello")
        self.assertFalse(hasattr(error, "__notes__"))

    def test_notes_that_are_no_list(self) -> None:
        """`__notes__` that is not a list stays unchanged, and nothing is raised."""
        error = ValueError()
        error.__notes__ = None  # type: ignore[assignment]
        add_note(error, "hello")
        self.assertIsNone(error.__notes__)


if __name__ == "__main__":
    unittest.main()
