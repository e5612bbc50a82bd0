"""Text for any object: of limited length, never raising, without secrets."""

from __future__ import annotations

import _thread
import sys
import threading
import types
import unittest
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

from itf.safe_repr import (
    REDACTED,
    is_secret_key,
    items_with_secrecy,
    safe_repr,
    safe_str,
    unraisable_text,
)

TIMEOUT = 30


def broken(*_: object) -> None:
    """Raise an error; called where Python cannot propagate errors."""
    raise ValueError("planted")


class FailingFinalizer:
    """Its finalizer raises an error, and its repr contains a secret."""

    def __del__(self) -> None:
        broken()

    def __repr__(self) -> str:
        return "<failing password='hunter2'>"


class UnraisableTest(unittest.TestCase):
    """The text names the object or the function, in the arguments of any Python version."""

    def text_of(self, cause: Callable[[], object]) -> str:
        """Call a function that causes one unraisable error; return the text for that error."""
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
        """The text names the finalizer that raised."""
        self.assertRegex(
            self.text_of(FailingFinalizer), r"<function FailingFinalizer\.__del__ at 0x\w+>"
        )

    def test_a_callback_of_a_weak_reference(self) -> None:
        """The text names the callback that raised."""

        class Thing:
            """An object that is freed."""

        def cause() -> None:
            thing = Thing()
            reference = weakref.ref(thing, broken)
            del thing
            self.assertIsNone(reference())

        self.assertRegex(self.text_of(cause), r"<function broken at 0x\w+>")

    def test_a_thread_of_the_low_level_module(self) -> None:
        """The text names the function that the thread runs."""
        text = self.text_of(lambda: _thread.start_new_thread(broken, ()))
        self.assertRegex(text, r"<function broken at 0x\w+>")

    def test_what_the_arguments_may_hold(self) -> None:
        """Object, text and traceback may each be None; secrets are hidden, long text is cut."""
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
                ("Exception ignored on <failing password='hunter2'>", None, None),
                f"Exception ignored on <failing password={REDACTED}>",
            ),
            (("y" * 2000, None, None), f"{'y' * 997}..."),
        ]
        for (message, thing, traced), expected in rows:
            args: Any = SimpleNamespace(err_msg=message, object=thing, exc_traceback=traced)
            with self.subTest(expected[:40]):
                self.assertEqual(expected, unraisable_text(args))


class Raising:
    def __repr__(self) -> str:
        raise ValueError("no repr")


class SafeReprTest(unittest.TestCase):
    def test_ordinary_values(self) -> None:
        """Short values have their usual repr."""
        for value in (1, "a'b", b"x", None, [1, (2,)], {"b": 1, "a": [2]}, {3}, 1.5):
            self.assertEqual(repr(value), safe_repr(value))

    def test_a_repr_that_raises(self) -> None:
        """The text names both classes; the other values of a container are shown."""
        self.assertEqual("[1, <unrepresentable Raising: ValueError>]", safe_repr([1, Raising()]))

    def test_length(self) -> None:
        """Long strings, bytes and containers, and deep ones, are shortened."""
        deep: list[Any] = []
        for _ in range(5000):
            deep = [deep]
        for value in ("x" * 10**6, b"x" * 10**6, list(range(10**5)), deep):
            self.assertLessEqual(len(safe_repr(value)), 1000)
        self.assertTrue(safe_repr(b"x" * 10**6).endswith("... (1000000 bytes)"))

    def test_secrets(self) -> None:
        """Values of secret keys are redacted, in mappings and in the repr of objects."""
        self.assertEqual("{'user': 'me', 'password': <redacted>}", safe_repr(
            {"user": "me", "password": "hunter2"}
        ))  # fmt: skip
        text = safe_repr(types.SimpleNamespace(api_key="hunter2", user="me"))
        self.assertEqual("namespace(api_key=<redacted>, user='me')", text)

    def test_a_mock_of_a_mapping(self) -> None:
        """An object that only pretends to be a dict is shown by its repr."""
        value = mock.Mock(spec=dict, name="fake")
        self.assertEqual(repr(value), safe_repr(value))


class SafeStrTest(unittest.TestCase):
    def test_a_str_that_raises(self) -> None:
        """The text says which exception str() raised."""

        class BrokenError(Exception):
            def __str__(self) -> str:
                raise ValueError("no str")

        self.assertEqual("<exception str() failed: ValueError>", safe_str(BrokenError()))
        self.assertEqual("fine", safe_str(ValueError("fine")))


class SecretKeysTest(unittest.TestCase):
    def test_spellings(self) -> None:
        """Case, punctuation and other words around do not matter; other keys are no secrets."""
        for key in (
            "PGPASSWORD",
            "X-Api-Key",
            "apiKey",
            "client secret",
            b"token",
            ("db", "passwd"),
        ):
            self.assertTrue(is_secret_key(key), key)
        for key in ("user", "key", "author", 7, None):
            self.assertFalse(is_secret_key(key), key)

    def test_items(self) -> None:
        """Each item says whether its value is secret; a secret path hides old and new value."""
        change = {"config_path": "db.password", "old_value": 1, "new_value": 2, "n": 3}
        self.assertEqual(
            {"config_path": False, "old_value": True, "new_value": True, "n": False},
            {key: hidden for key, _, hidden in items_with_secrecy(change)},
        )
        self.assertEqual("<redacted>", REDACTED)


if __name__ == "__main__":
    unittest.main()
