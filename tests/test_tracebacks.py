"""Frames and tracebacks of user code, without the frames of itf."""

from __future__ import annotations

import sys
import traceback
import types
import unittest
from contextlib import contextmanager
from typing import Any
from unittest import mock

from itf.exceptions import FormatError
from itf.formats import event_from_json
from itf.tracebacks import (
    call_stack,
    code_location,
    exception_depths,
    exception_tree,
    module_of,
    strip_own_frames,
    traceback_frames,
    user_frame,
)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - handed back
        return caught


def from_itf() -> BaseException:
    """Return an exception whose innermost frame is one of itf."""
    try:
        event_from_json("no")
    except FormatError as error:
        return error
    raise AssertionError("not raised")


def call_as(module: str, function: Any) -> Any:
    """Call a function from a frame of a module with a name."""
    namespace: dict[str, Any] = {"__name__": module, "function": function}
    exec("def call():\n    return function()\n", namespace)
    return namespace["call"]()


class UserFrameTest(unittest.TestCase):
    def test_the_callers_frame(self) -> None:
        """In user code it is the frame of the caller."""
        self.assertIs(sys._getframe(), user_frame())
        self.assertEqual(__name__, module_of(user_frame()))

    def test_frames_of_itf_and_contextlib_are_skipped(self) -> None:
        """Frames of itf and of contextlib are skipped, also inside a `with`."""
        here = call_as.__code__
        self.assertIs(here, call_as("itf.inner", user_frame).f_code)
        self.assertIs(here, call_as("contextlib", user_frame).f_code)

        @contextmanager
        def manager() -> Any:
            yield user_frame()

        with manager() as frame:
            self.assertIs(manager.__wrapped__.__code__, frame.f_code)  # type: ignore[attr-defined]

    def test_a_module_whose_name_starts_with_itf(self) -> None:
        """A module `itf_plugins` is user code."""
        frame = call_as("itf_plugins", user_frame)
        self.assertEqual("itf_plugins", module_of(frame))

    def test_location_of_a_frame(self) -> None:
        """The text is file, line and function, as in a call stack."""
        line, here = sys._getframe().f_lineno, code_location()
        name = "UserFrameTest.test_location_of_a_frame"
        self.assertEqual(f"{__file__}:{line} in {name}", here)

    def test_a_frame_without_a_module(self) -> None:
        """Code that exec runs without `__name__` has the module name `<unknown>`."""
        frame: Any = types.SimpleNamespace(f_globals={})
        self.assertEqual("<unknown>", module_of(frame))


class TracebackFramesTest(unittest.TestCase):
    def test_innermost_first(self) -> None:
        """Frames are in the order from innermost to outermost, each with its line number."""
        here = sys._getframe()
        error = raised(ValueError())
        self.assertEqual([raised.__code__], [frame.f_code for frame, _ in traceback_frames(error)])
        try:
            raise error
        except ValueError:
            line = here.f_lineno - 2
        self.assertEqual((here, line), traceback_frames(error)[-1])

    def test_an_exception_raised_by_itf(self) -> None:
        """Frames of itf are omitted, so the innermost is the user's call of itf."""
        self.assertEqual(
            [from_itf.__code__], [frame.f_code for frame, _ in traceback_frames(from_itf())]
        )


class CallStackTest(unittest.TestCase):
    def test_innermost_first_with_the_callers(self) -> None:
        """The frame that raised comes first, then the one that caught, then its callers."""
        stack = call_stack(raised(ValueError()))
        self.assertRegex(stack[0], r"test_tracebacks\.py:\d+ in raised$")
        self.assertIn("test_innermost_first", stack[1])
        self.assertGreater(len(stack), 2)

    def test_an_error_never_raised_has_the_callers_stack(self) -> None:
        """For an exception that was never raised, the result is the caller's stack."""
        self.assertIn("test_an_error_never_raised", call_stack(ValueError())[0])

    def test_frames_of_itf_are_left_out(self) -> None:
        """Frames of itf are omitted."""
        self.assertFalse([line for line in call_stack(from_itf()) if "/itf/formats.py" in line])

    def test_a_deep_stack_is_cut(self) -> None:
        """A stack of more than 100 frames ends with a line that says so."""

        def down(levels: int) -> None:
            if levels:
                down(levels - 1)
            raise ValueError

        try:
            down(300)
        except ValueError as error:
            stack = call_stack(error)
        self.assertEqual((101, "... further frames omitted"), (len(stack), stack[-1]))


class ExceptionTreeTest(unittest.TestCase):
    def test_causes_contexts_and_members(self) -> None:
        """Each exception occurs once, with the index of its parent and the relation to it."""
        cause, context, shared = KeyError("cause"), OSError("context"), TypeError("shared")
        cause.__context__ = shared
        group = ExceptionGroup("g", [ExceptionGroup("inner", [shared]), ValueError("member")])
        group.__cause__, group.__context__ = cause, context
        self.assertEqual(
            [
                (group, None, None),
                (cause, 0, "cause"),
                (context, 0, "context"),
                (group.exceptions[0], 0, "member"),
                (group.exceptions[1], 0, "member"),
                (shared, 1, "context"),
            ],
            list(exception_tree(group)),
        )

    def test_a_circle_of_contexts(self) -> None:
        """Exceptions that are contexts of each other occur once each."""
        first, second = ValueError("1"), ValueError("2")
        first.__context__, second.__context__ = second, first
        self.assertEqual([first, second], [error for error, _, _ in exception_tree(first)])
        self.assertEqual({id(first): 0, id(second): 1}, exception_depths(first))

    def test_the_longest_path_is_the_depth(self) -> None:
        """In `raise D from A`, where C came from B and B from A, A is deeper than B."""
        a, b, c, d = (ValueError(name) for name in "abcd")
        b.__cause__, c.__cause__, d.__context__, d.__cause__ = a, b, c, a
        self.assertEqual({id(d): 0, id(c): 1, id(b): 2, id(a): 3}, exception_depths(d))

    def test_thousands_of_causes(self) -> None:
        """A chain of 5,000 causes does not exceed the recursion limit."""
        error = ValueError(0)
        for number in range(1, 5000):
            following = ValueError(number)
            following.__cause__ = following.__context__ = error
            error = following
        self.assertEqual(5000, len(list(exception_tree(error))))
        self.assertEqual(4999, max(exception_depths(error).values()))


class StripOwnFramesTest(unittest.TestCase):
    def modules(self, error: BaseException | None) -> list[str]:
        assert error is not None
        return [module_of(frame) for frame, _ in traceback.walk_tb(error.__traceback__)]

    def test_frames_of_itf_are_cut(self) -> None:
        """Frames of itf are removed, also from the tracebacks of causes."""
        error = RuntimeError()
        error.__cause__ = from_itf()
        strip_own_frames(error)
        self.assertEqual([__name__], self.modules(error.__cause__))

    def test_a_traceback_of_itf_alone_stays(self) -> None:
        """A traceback that has only frames of itf stays unchanged."""
        error = from_itf()
        assert error.__traceback__ is not None
        error.__traceback__ = error.__traceback__.tb_next
        strip_own_frames(error)
        self.assertEqual(["itf.formats"], self.modules(error))

    def test_full_tracebacks(self) -> None:
        """With ITF_FULL_TRACEBACK in the environment all tracebacks stay unchanged."""
        error = from_itf()
        with mock.patch.dict("os.environ", ITF_FULL_TRACEBACK="1"):
            strip_own_frames(error)
        self.assertEqual([__name__, "itf.formats"], self.modules(error))
