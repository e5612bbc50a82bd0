"""Errors that cross from module to module."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
import types
import unittest
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf.interfaces.error_propagation import ErrorPropagationMixin
from tests.support import in_threads, mixed_in


def fail_as(module: str, error: BaseException) -> BaseException:
    """Return an error raised by the function ``work`` of a module with this name."""
    namespace: dict[str, Any] = {"__name__": module, "error": error}
    exec("def work():\n    raise error\n", namespace)
    try:
        namespace["work"]()
    except BaseException as caught:  # noqa: BLE001 - handed back
        return caught
    raise AssertionError("not raised")


def chained(count: int) -> BaseException:
    """Return an error with a chain of causes, as ``raise ... from ...`` makes it."""
    error: BaseException = ValueError(0)
    for number in range(1, count):
        following = ValueError(number)
        following.__cause__ = following.__context__ = error
        error = following
    return error


class ErrorTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.errors = ErrorPropagationMixin()

    def assert_fails(self, message: str, function: Callable[..., object], *args: Any) -> None:
        with self.assertRaises(AssertionError) as caught:
            function(*args)
        self.assertEqual(message, str(caught.exception))


class MixinTest(unittest.TestCase):
    def test_it_works_in_every_class_without_an_init(self) -> None:
        """It needs no __init__ call: on a plain class, and with TestCase in either base order."""
        for cls in mixed_in(ErrorPropagationMixin):
            with self.subTest(cls=cls.__name__):
                first, second = cls(), cls()
                error = ValueError("x")
                first.capture_cross_module_error("a", "b", error)
                self.assertEqual(["a", "b"], first.get_error_path(error))
                self.assertEqual(1, len(first.timeline))
                self.assertEqual([], second.get_error_chain())

    def test_eight_threads_capture_at_once(self) -> None:
        """No capture is lost, and each has the name of its thread."""
        errors = ErrorPropagationMixin()

        def work(number: int) -> None:
            for index in range(50):
                context = errors.capture_cross_module_error(f"m{number}", "t", ValueError(index))
                self.assertEqual(threading.current_thread().name, context["context_data"]["thread"])

        in_threads(8, work)
        captured = [(c["source_module"], c["error_message"]) for c in errors.get_error_chain()]
        self.assertEqual(
            sorted((f"m{n}", str(i)) for n in range(8) for i in range(50)), sorted(captured)
        )
        for number in range(8):  # in order for each thread
            self.assertEqual(
                list(map(str, range(50))),
                [message for module, message in captured if module == f"m{number}"],
            )

    def test_it_works_without_asserts(self) -> None:
        """``python -O`` disables no check."""
        code = (
            "import itf\n"
            "e = itf.ErrorPropagationMixin()\n"
            "c = e.capture_cross_module_error('a', 'b', ValueError('x'))\n"
            "for check in (lambda: e.verify_error_context(c, {'operation': 'y'}),\n"
            "              lambda: e.assert_error_path(c['original_error'], 'z')):\n"
            "    try: check()\n"
            "    except AssertionError: print('checked')\n"
            "r = itf.ResourceTracker(); r.track_resource('m', 't', 'i')\n"
            "try: r.assert_no_leaks()\n"
            "except AssertionError: print('checked')\n"
        )
        done = subprocess.run(
            [sys.executable, "-O", "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(("checked\n" * 3, ""), (done.stdout, done.stderr))


class CaptureTest(ErrorTestCase):
    def test_a_context_has_exactly_the_standard_keys(self) -> None:
        """Additional data is in ``context_data``."""
        error = fail_as("chunker.parser", ValueError("Parser timeout"))
        context = self.errors.capture_cross_module_error("chunker.parser", "cli.main", error)
        self.assertEqual(
            {
                "source_module": "chunker.parser",
                "target_module": "cli.main",
                "operation": "work",
                "original_error": error,
                "error_type": "ValueError",
                "error_message": "Parser timeout",
                "timestamp": context["timestamp"],
                "context_data": context["context_data"],
            },
            context,
        )
        self.assertIsInstance(context["timestamp"], float)
        data = context["context_data"]
        self.assertEqual(
            ["call_stack", "exceptions", "process", "task", "thread", "traceback"], sorted(data)
        )
        self.assertEqual("Traceback (most recent call last):\n", data["traceback"][0])
        self.assertEqual("ValueError: Parser timeout\n", data["traceback"][-1])
        self.assertRegex(data["call_stack"][0], r"^<string>:2 in work$")
        self.assertRegex(data["call_stack"][1], r"test_error_propagation\.py:\d+ in fail_as$")
        self.assertEqual((os.getpid(), None), (data["process"], data["task"]))

    def test_modules_and_operation_are_found_out(self) -> None:
        """The defaults are the raising module, the caller's module, and the raising function."""
        context = self.errors.capture_cross_module_error(
            None, None, fail_as("chunker.parser", ValueError())
        )
        self.assertEqual(
            ("chunker.parser", __name__, "work"),
            (context["source_module"], context["target_module"], context["operation"]),
        )

    def test_the_operation_is_a_qualified_name(self) -> None:
        """The operation of a method includes its class."""
        try:
            self.raise_error()
        except ValueError as error:
            context = self.errors.capture_cross_module_error("a", "b", error)
        self.assertEqual("CaptureTest.raise_error", context["operation"])

    def raise_error(self) -> None:
        raise ValueError

    def test_an_error_never_raised_has_the_class_for_an_operation(self) -> None:
        """For an error never raised, the class and the caller's module are the defaults."""

        class Pipeline(ErrorPropagationMixin):
            pass

        context = Pipeline().capture_cross_module_error(None, "b", ValueError())
        self.assertEqual(("Pipeline", __name__), (context["operation"], context["source_module"]))
        self.assertIn("test_an_error_never_raised", context["context_data"]["call_stack"][0])

    def test_an_operation_given_is_taken(self) -> None:
        """A given operation replaces the default."""
        context = self.errors.capture_cross_module_error("a", "b", ValueError(), operation="load")
        self.assertEqual("load", context["operation"])

    def test_context_data_is_merged_in_as_a_copy(self) -> None:
        """``context_data`` may be any mapping, and is copied."""
        items = [1]
        context = self.errors.capture_cross_module_error(
            "a", "b", ValueError(), context_data=types.MappingProxyType({"items": items})
        )
        items.append(2)
        self.assertEqual([1], context["context_data"]["items"])
        self.assertIn("traceback", context["context_data"])

    def test_context_data_may_not_replace_where_it_came_from(self) -> None:
        """``traceback`` and ``call_stack`` are reserved; then nothing is captured."""
        with self.assertRaises(ValueError) as caught:
            self.errors.capture_cross_module_error(
                "a", "b", ValueError(), context_data={"traceback": [], "call_stack": []}
            )
        self.assertEqual(
            "context_data may not replace 'traceback' and 'call_stack', which itf fills in; "
            "use another key",
            str(caught.exception),
        )
        self.assertEqual([], self.errors.get_error_chain())

    def test_what_is_no_exception_is_refused(self) -> None:
        """A class or a Mock instead of an exception raises an error with a suggestion."""
        for value, message in (
            ("oops", "expected an exception, got 'oops'"),
            (
                ValueError,
                "expected an exception, got <class 'ValueError'>; pass an instance, not the class",
            ),
        ):
            with self.assertRaises(TypeError) as caught:
                self.errors.capture_cross_module_error("a", "b", value)  # type: ignore[arg-type]
            self.assertEqual(message, str(caught.exception))
        with self.assertRaisesRegex(TypeError, "^expected an exception, got <Mock spec="):
            self.errors.capture_cross_module_error("a", "b", mock.Mock(spec=ValueError))

    def test_names_that_are_no_text_are_refused(self) -> None:
        """The message names the argument."""
        with self.assertRaisesRegex(TypeError, "^target_module must be a str or None, got 7$"):
            self.errors.capture_cross_module_error("a", 7, ValueError())  # type: ignore[arg-type]

    def test_it_is_on_the_timeline(self) -> None:
        """A capture is an event of the kind ``error``."""
        self.errors.capture_cross_module_error("a", "b", ValueError("x"))
        (event,) = self.errors.timeline.events("error")
        self.assertEqual("x", event["data"]["error_message"])

    def test_contexts_handed_out_are_copies(self) -> None:
        """Changing a returned context changes neither log nor timeline."""
        context = self.errors.capture_cross_module_error("a", "b", ValueError())
        for one in (context, self.errors.get_error_chain()[0]):
            one["source_module"] = "other"
            one["context_data"]["traceback"].clear()
        (kept,) = self.errors.get_error_chain()
        self.assertEqual("a", kept["source_module"])
        self.assertTrue(kept["context_data"]["traceback"])
        self.assertEqual("a", self.errors.timeline.events()[0]["data"]["source_module"])

    def test_the_newest_ten_thousand_are_kept(self) -> None:
        """Older captures are dropped and counted."""
        error = ValueError()
        with mock.patch.multiple(
            "itf.interfaces.error_propagation", call_stack=lambda _: [], _format=lambda _: []
        ):
            for number in range(10_003):
                self.errors.capture_cross_module_error("a", "b", error, operation=str(number))
        chain = self.errors.get_error_chain()
        self.assertEqual(("3", "10002"), (chain[0]["operation"], chain[-1]["operation"]))
        self.assertEqual((10_000, 3), (len(chain), self.errors.dropped_error_count))

    def test_captured_frames_are_cleared(self) -> None:
        """After `forget_error_frames`, a captured error keeps its text, and no objects alive."""

        class Socket:
            pass

        def work() -> None:
            socket = Socket()
            alive.append(weakref.ref(socket))
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise ValueError("outer") from error

        alive: list[weakref.ref[Socket]] = []
        try:
            work()
        except ValueError as error:
            self.errors.capture_cross_module_error("a", "b", error)
        gc.collect()
        self.assertIsNotNone(alive[0]())
        self.errors.forget_error_frames()
        gc.collect()
        self.assertIsNone(alive[0]())
        text = "".join(self.errors.get_error_chain()[0]["context_data"]["traceback"])
        self.assertIn("KeyError: 'inner'", text)


class OddErrorsTest(ErrorTestCase):
    def capture(self, error: BaseException) -> dict[str, Any]:
        context = self.errors.capture_cross_module_error("a", "b", error)
        self.assertIn(type(error).__name__, self.errors.timeline.describe())
        return dict(context)

    def test_a_tree_is_kept_whole(self) -> None:
        """Causes, contexts, notes and group members are a flat list."""
        member = ValueError("member")
        member.add_note("a note")
        error = ExceptionGroup("group", [member])
        error.__cause__, error.__context__ = KeyError("cause"), OSError("context")
        self.assertEqual(
            [
                (0, None, None, "ExceptionGroup", "group (1 sub-exception)", []),
                (1, 0, "cause", "KeyError", "'cause'", []),
                (2, 0, "context", "OSError", "context", []),
                (3, 0, "member", "ValueError", "member", ["a note"]),
            ],
            [
                (e["id"], e["parent_id"], e["relation"], e["type"], e["message"], e["notes"])
                for e in self.capture(error)["context_data"]["exceptions"]
            ],
        )
        for entry in self.capture(error)["context_data"]["exceptions"]:
            self.assertEqual(
                ["id", "message", "module", "notes", "parent_id", "relation", "type"],
                sorted(entry),
            )

    def test_a_chain_of_five_thousand_causes(self) -> None:
        """All causes are kept, without a RecursionError."""
        data = self.capture(chained(5000))["context_data"]
        self.assertEqual(5000, len(data["exceptions"]))
        self.assertEqual("ValueError: 4999\n", data["traceback"][-1])
        self.assertEqual(
            (4998, "cause"), tuple(data["exceptions"][-1][k] for k in ("parent_id", "relation"))
        )

    def test_circular_contexts(self) -> None:
        """Each error of a cycle is kept once."""
        first, second = ValueError("1"), ValueError("2")
        first.__context__, second.__context__ = second, first
        self.assertEqual(2, len(self.capture(first)["context_data"]["exceptions"]))

    def test_groups_in_groups(self) -> None:
        """Five hundred nested groups are kept."""
        error: Exception = ValueError("leaf")
        for _ in range(500):
            error = ExceptionGroup("g", [error])
        entries = self.capture(error)["context_data"]["exceptions"]
        self.assertEqual((501, "leaf"), (len(entries), entries[-1]["message"]))

    def test_raise_from_none_keeps_the_context(self) -> None:
        """A context hidden by ``from None`` is kept."""
        try:
            try:
                raise KeyError("hidden")
            except KeyError:
                raise ValueError("shown") from None
        except ValueError as error:
            data = self.capture(error)["context_data"]
        self.assertEqual(["shown", "'hidden'"], [e["message"] for e in data["exceptions"]])
        self.assertNotIn("hidden'", data["traceback"][-1])

    def test_base_exceptions(self) -> None:
        """A BaseException can be captured."""
        for error in (
            SystemExit(3),
            KeyboardInterrupt(),
            GeneratorExit(),
            BaseExceptionGroup("g", [SystemExit(1)]),
        ):
            with self.subTest(error=error):
                caught = fail_as("m", error)
                self.assertIs(error, self.capture(caught)["original_error"])

    def test_exceptions_that_break_their_own_text(self) -> None:
        """A failing ``__str__``, ``__repr__`` or ``__notes__`` is reported; frames are kept."""

        class BrokenError(Exception):
            def __str__(self) -> str:
                raise OSError("no str")

            __repr__ = __str__

            @property
            def __notes__(self) -> Any:
                raise OSError("no notes")

        context = self.capture(fail_as("m", BrokenError()))
        self.assertEqual("<exception str() failed: OSError>", context["error_message"])
        data = context["context_data"]
        self.assertEqual(["<notes cannot be read: OSError>"], data["exceptions"][0]["notes"])
        self.assertIn("in work", "".join(data["traceback"]))
        self.assertIn("<exception str() failed", "".join(data["traceback"]))

    def test_notes_that_are_no_list_of_text(self) -> None:
        """Malformed notes are shown as well as possible."""
        for notes, told in ((["a", 7], ["a", "7"]), ("text", []), (7, []), (b"x", [])):
            error = ValueError()
            error.__notes__ = notes  # type: ignore[assignment]
            with self.subTest(notes=notes):
                self.assertEqual(
                    told, self.capture(error)["context_data"]["exceptions"][0]["notes"]
                )


class VerifyTest(ErrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.context = self.errors.capture_cross_module_error(
            "chunker.parser",
            "cli.main",
            ValueError("Parser timeout"),
            context_data={"file": {"name": "a.py", "size": 3}, "none": None},
        )

    def verify(self, expected: Any) -> None:
        self.errors.verify_error_context(self.context, expected)

    def test_what_holds_passes(self) -> None:
        """Values, types, patterns, custom ``==`` and subsets match."""
        self.verify({})
        self.verify(
            {
                "source_module": "chunker.parser",
                "original_error": ValueError,
                "error_type": str,
                "error_message": re.compile("time"),
                "operation": mock.ANY,
                "context_data": {"file": {"size": 3}, "none": None, "traceback": list},
            }
        )
        self.verify({"original_error": self.context["original_error"]})
        self.verify({"original_error": re.compile("^Parser")})
        self.verify({"original_error": Exception})
        self.verify({"context_data": {"exceptions": [mock.ANY]}})

    def test_all_mismatches_are_reported_at_once(self) -> None:
        """The error has one line for each missing key and each mismatch."""
        self.assert_fails(
            "the error context has 6 problems:\n"
            "  source_module: got 'chunker.parser', expected 'parser'\n"
            "  absent: missing, expected 1\n"
            "  error_message: got 'Parser timeout', expected text in which '^time' is found\n"
            "  original_error: got ValueError('Parser timeout'), expected an instance of KeyError\n"
            "  context_data['file']['size']: got 3, expected 4\n"
            "  context_data['file']['owner']: missing, expected an instance of str",
            self.verify,
            {
                "source_module": "parser",
                "absent": 1,
                "error_message": re.compile("^time"),
                "original_error": KeyError,
                "context_data": {"file": {"size": 4, "owner": str}},
            },
        )

    def test_one_problem_is_one(self) -> None:
        """The message has singular and plural."""
        self.assert_fails(
            "the error context has 1 problem:\n"
            "  context_data['file']: got {'name': 'a.py', 'size': 3}, expected 'a.py'",
            self.verify,
            {"context_data": {"file": "a.py"}},
        )
        self.assert_fails(
            "the error context has 1 problem:\n  operation: got "
            "'ErrorPropagationMixin', expected {'a': 1}",
            self.verify,
            {"operation": {"a": 1}},
        )

    def test_the_timestamp_is_checked_but_not_by_value(self) -> None:
        """The timestamp must be a float; its value is not compared."""
        self.verify({"timestamp": 0.0})
        context: Any = dict(self.context, timestamp=1)
        self.assert_fails(
            "the error context has 1 problem:\n  timestamp: got 1, expected a float",
            self.errors.verify_error_context,
            context,
            {},
        )
        del context["timestamp"]
        self.assert_fails(
            "the error context has 1 problem:\n  timestamp: missing, expected a float",
            self.errors.verify_error_context,
            context,
            {"timestamp": 1.0},
        )

    def test_a_comparison_that_fails_is_a_mismatch(self) -> None:
        """A failing ``==``, ``str`` or isinstance is a mismatch; the others are reported too."""

        class Broken:
            def __eq__(self, other: object) -> bool:
                raise OSError("no ==")

            __hash__ = None  # type: ignore[assignment]

            def __str__(self) -> str:
                raise OSError("no str")

            def __repr__(self) -> str:
                return "Broken()"

        context: Any = dict(self.context, operation=Broken())
        self.assert_fails(
            "the error context has 2 problems:\n"
            "  error_type: got 'ValueError', expected Broken()\n"
            "  operation: got Broken(), expected text in which 'x' is found",
            self.errors.verify_error_context,
            context,
            {"error_type": Broken(), "operation": re.compile("x")},
        )

    def test_what_is_no_dict_is_refused(self) -> None:
        """The message shows the value that is no mapping."""
        for args, got in (((None, {}), "None"), ((self.context, ["a"]), r"\['a'\]")):
            with self.assertRaisesRegex(
                TypeError,
                "^verify_error_context takes an error context and what is expected of it, "
                f"both dicts; got {got}$",
            ):
                self.errors.verify_error_context(*args)  # type: ignore[arg-type]


class PathTest(ErrorTestCase):
    def hop(self, source: str, target: str, error: BaseException) -> None:
        self.errors.capture_cross_module_error(source, target, error)

    def test_a_wrapped_error_has_one_path(self) -> None:
        """An error wrapped on its way (parser, parallel, cli) has one path."""
        inner = ValueError()
        outer = RuntimeError()
        outer.__cause__ = inner
        self.hop("chunker.parser", "chunker.parallel", inner)
        self.hop("chunker.parallel", "cli.main", outer)
        path = ["chunker.parser", "chunker.parallel", "cli.main"]
        self.assertEqual(path, self.errors.get_error_path(outer))
        self.assertEqual(path[:2], self.errors.get_error_path(inner))
        self.errors.assert_error_path(outer, *path)

    def test_the_order_of_capture_does_not_matter(self) -> None:
        """A cause precedes the error raised from it, even if captured later."""
        inner, outer = ValueError(), RuntimeError()
        outer.__context__ = inner
        self.hop("b", "c", outer)
        self.hop("a", "b", inner)
        self.assertEqual(["a", "b", "c"], self.errors.get_error_path(outer))

    def test_the_root_raised_from_again_still_comes_first(self) -> None:
        """In ``raise D from A`` while handling C (from B, from A), A is still first."""
        a, b, c, d = (ValueError(name) for name in "abcd")
        b.__cause__, c.__cause__, d.__context__, d.__cause__ = a, b, c, a
        for source, target, error in (("3", "4", d), ("2", "3", c), ("1", "2", b), ("0", "1", a)):
            self.hop(source, target, error)
        self.assertEqual(list("01234"), self.errors.get_error_path(d))

    def test_an_error_that_goes_on_unwrapped(self) -> None:
        """Several captures of one error are one path; a repeated crossing counts once."""
        error = ValueError()
        for source, target in (("a", "b"), ("a", "b"), ("b", "c"), ("c", "c"), ("c", "d")):
            self.hop(source, target, error)
        self.assertEqual(["a", "b", "c", "d"], self.errors.get_error_path(error))

    def test_members_of_a_group_count(self) -> None:
        """Captures of members precede the group; equal paths are merged."""
        members = [ValueError(n) for n in range(4)]
        for member in members:
            self.hop("worker", "pool", member)
        group = ExceptionGroup("g", members)
        self.hop("pool", "cli", group)
        self.assertEqual(["worker", "pool", "cli"], self.errors.get_error_path(group))

    def test_a_gap_is_shown_as_it_is(self) -> None:
        """If a capture's source is not the previous target, both modules are listed."""
        error = ValueError()
        self.hop("a", "b", error)
        self.hop("x", "y", error)
        self.assertEqual(["a", "b", "x", "y"], self.errors.get_error_path(error))

    def test_another_error_has_no_path(self) -> None:
        """An equal but different error has no path."""
        self.hop("a", "b", ValueError("x"))
        self.assertEqual([], self.errors.get_error_path(ValueError("x")))

    def test_a_long_or_circular_chain_has_a_path(self) -> None:
        """Neither 5,000 causes nor a cycle raise a RecursionError."""
        error = chained(5000)
        self.hop("a", "b", error)
        first, second = ValueError("1"), ValueError("2")
        first.__context__, second.__context__ = second, first
        self.hop("c", "d", second)
        self.assertEqual(["a", "b"], self.errors.get_error_path(error))
        self.assertEqual(["c", "d"], self.errors.get_error_path(first))

    def test_another_path_is_reported(self) -> None:
        """The message shows actual and expected path below each other."""
        error = ValueError()
        self.assert_fails(
            "ValueError took another path:\n  got:      (nothing was captured)\n  expected: a -> b",
            self.errors.assert_error_path,
            error,
            "a",
            "b",
        )
        self.hop("a", "c", error)
        self.assert_fails(
            "ValueError took another path:\n  got:      a -> c\n  expected: a -> b",
            self.errors.assert_error_path,
            error,
            "a",
            "b",
        )
