"""What is said of an error that Python could not raise, on every version."""

from __future__ import annotations

import _thread
import sys
import threading
import unittest
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

from itf.texts import REDACTED, unraisable_text

TIMEOUT = 30


def broken(*_: object) -> None:
    """Raise where nobody can catch."""
    raise ValueError("planted")


class Dying:
    """Cannot be finalized without an error, and shows a secret."""

    def __del__(self) -> None:
        broken()

    def __repr__(self) -> str:
        return "<dying password='hunter2'>"


class UnraisableTest(unittest.TestCase):
    """The text names the object or the function, wherever Python has put it."""

    def text_of(self, cause: Callable[[], object]) -> str:
        """Return what is said of the one error that something causes."""
        texts: list[str] = []
        seen = threading.Event()

        def hook(args: Any) -> None:
            self.assertIsInstance(args.exc_value, ValueError)
            texts.append(unraisable_text(args))
            seen.set()

        with mock.patch.object(sys, "unraisablehook", hook):
            cause()
            self.assertTrue(seen.wait(TIMEOUT))
        (text,) = texts
        self.assertRegex(text, "^Exception ignored ")
        self.assertNotIn("None", text)
        return text

    def test_a_finalizer(self) -> None:
        """By the function that raised."""
        self.assertRegex(self.text_of(Dying), r"<function Dying\.__del__ at 0x\w+>")

    def test_a_callback_of_a_weak_reference(self) -> None:
        """By the callback."""

        class Thing:
            """Something that goes."""

        def cause() -> None:
            thing = Thing()
            reference = weakref.ref(thing, broken)
            del thing
            self.assertIsNone(reference())

        self.assertRegex(self.text_of(cause), r"<function broken at 0x\w+>")

    def test_a_thread_of_the_low_level_module(self) -> None:
        """By the function that the thread runs."""
        text = self.text_of(lambda: _thread.start_new_thread(broken, ()))
        self.assertRegex(text, r"<function broken at 0x\w+>")

    def test_what_the_arguments_may_hold(self) -> None:
        """An object or none, a text or none, a traceback or none; secrets are hidden."""
        try:
            broken()
        except ValueError as error:
            traceback = error.__traceback__
        here = f"{type(self).__name__}.test_what_the_arguments_may_hold"
        rows = [
            (("Exception ignored in", "x", None), "Exception ignored in: 'x'"),
            ((None, "x", None), "Exception ignored in: 'x'"),
            (("Exception ignored on 'x'", None, None), "Exception ignored on 'x'"),
            ((None, None, traceback), f"Exception ignored in: {here}"),
            ((None, None, None), "Exception ignored"),
            (
                ("Exception ignored on <dying password='hunter2'>", None, None),
                f"Exception ignored on <dying password={REDACTED}>",
            ),
            (("y" * 2000, None, None), f"{'y' * 997}..."),
        ]
        for (message, thing, traced), expected in rows:
            args: Any = SimpleNamespace(err_msg=message, object=thing, exc_traceback=traced)
            with self.subTest(expected[:40]):
                self.assertEqual(expected, unraisable_text(args))


if __name__ == "__main__":
    unittest.main()
