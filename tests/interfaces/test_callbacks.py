"""Callbacks, called in the order of their registration."""

from __future__ import annotations

import unittest
from typing import Any

from itf.interfaces.callbacks import CallbackRegistry, call_all
from tests.support import in_threads


def everything(key: str) -> bool:
    return True


class CallbackRegistryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.registry: CallbackRegistry[str] = CallbackRegistry()
        self.calls: list[str] = []

    def call(self) -> list[Exception]:
        return call_all(self.registry.interested(everything), lambda: "event")

    def note(self, name: str) -> Any:
        return lambda event: self.calls.append(name)

    def test_they_are_called_in_order(self) -> None:
        """Callbacks are called in order; a callback registered twice is called twice."""
        again = self.note("again")
        for callback in (self.note("a"), again, self.note("b"), again):
            self.registry.register(callback, None)
        self.call()
        self.assertEqual(["a", "again", "b", "again"], self.calls)

    def test_a_handle_unregisters_once_or_by_with(self) -> None:
        """A second `unregister` does nothing, and removes no other callback."""
        callback = self.note("x")
        first = self.registry.register(callback, None)
        self.registry.register(callback, None)
        first.unregister()
        first.unregister()
        with self.registry.register(callback, None) as handle:
            self.call()
        handle.unregister()
        self.call()
        self.assertEqual(["x", "x", "x"], self.calls)

    def test_one_unregistered_while_others_are_called_is_called_no_more(self) -> None:
        """A callback may unregister itself or others; the remaining ones are called."""
        handles: dict[str, Any] = {}

        def unregister(event: str) -> None:
            self.calls.append("unregister")
            for handle in handles.values():
                handle.unregister()

        handles["earlier"] = self.registry.register(self.note("earlier"), None)
        handles["itself"] = self.registry.register(unregister, None)
        handles["later"] = self.registry.register(self.note("later"), None)
        self.registry.register(self.note("rest"), None)
        self.call()
        self.call()
        self.assertEqual(["earlier", "unregister", "rest", "rest"], self.calls)

    def test_one_registered_while_others_are_called_waits_for_the_next(self) -> None:
        """A callback registered during an event receives only later events."""
        self.registry.register(lambda event: self.registry.register(self.note("new"), None), None)
        self.call()
        self.assertEqual([], self.calls)
        self.call()
        self.assertEqual(["new"], self.calls)

    def test_all_are_called_though_some_fail(self) -> None:
        """`call_all` calls all, and returns their errors in order."""
        errors = [ValueError("1"), KeyError("2")]

        def fail(error: Exception) -> Any:
            def callback(event: str) -> None:
                raise error

            return callback

        for callback in (fail(errors[0]), self.note("a"), fail(errors[1]), self.note("b")):
            self.registry.register(callback, None)
        self.assertEqual(errors, self.call())
        self.assertEqual(["a", "b"], self.calls)

    def test_only_those_whose_key_is_wanted(self) -> None:
        """A callback without a key receives every event."""
        self.registry.register(self.note("a"), "a")
        self.registry.register(self.note("b"), "b")
        self.registry.register(self.note("all"), None)
        call_all(self.registry.interested(lambda key: key == "b"), lambda: "event")
        self.assertEqual(["b", "all"], self.calls)

    def test_what_cannot_be_registered_is_refused(self) -> None:
        """A wrong callback or key raises at registration, not at the first event."""
        for args, message in (
            (
                ("print", None),
                "cannot register 'print' (str): it is not callable; "
                "pass a function of one argument",
            ),
            ((print, 7), "expected a str to listen to, got 7"),
        ):
            with self.assertRaises(TypeError) as caught:
                self.registry.register(*args)  # type: ignore[arg-type]
            self.assertEqual(message, str(caught.exception))

    def test_eight_threads_register_and_call_at_once(self) -> None:
        """No callback is lost, and an unregistered callback is not called."""

        def work(number: int) -> None:
            for index in range(100):
                handle = self.registry.register(self.note(f"{number}.{index}"), None)
                self.registry.interested(everything)
                if index % 2:
                    handle.unregister()

        in_threads(8, work)
        self.call()
        self.assertEqual(
            sorted(f"{n}.{i}" for n in range(8) for i in range(0, 100, 2)), sorted(self.calls)
        )
