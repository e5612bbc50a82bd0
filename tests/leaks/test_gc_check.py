"""What a test leaves to the garbage collector."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import io
import logging
import os
import socket
import sys
import tempfile
import threading
import tracemalloc
import unittest
import warnings
from unittest import mock

from itf.leaks.gc_check import Garbage, GarbageCheck, collect, heap_is_frozen
from itf.leaks.probes.warning_filters import filters_here
from tests.support import in_threads, run_script

BY_COLLECTOR = "freed by the garbage collector"


class Connection:
    """Says so when it was never closed."""

    def __init__(self, name="db"):
        self.name = name

    def __del__(self):
        warnings.warn(
            f"unclosed connection {self.name}", ResourceWarning, stacklevel=1, source=self
        )


def circle(thing):
    """Make a thing part of a circle, which only the collector frees."""
    thing.itself = thing


async def answer():
    """Never awaited by the tests."""


def after(function, check=None):
    """Run a function as a test, and return what is blamed on it."""
    check = check or GarbageCheck()
    check.begin()
    try:
        function()
    finally:
        found = check.end()
        check.close()
    return found


def told(found):
    """Return kinds and texts."""
    return [(garbage.kind, garbage.text) for garbage in found]


class MachineryTestCase(unittest.TestCase):
    """Each test finds and leaves the warnings machinery and the heap as they were."""

    def setUp(self):
        self.lists = warnings.filters, filters_here()
        self.filters = [list(filters) for filters in self.lists]
        self.hooks = warnings.showwarning, sys.unraisablehook, list(gc.callbacks)
        if heap_is_frozen():  # by whoever imported what freezes it
            gc.unfreeze()
            self.addCleanup(gc.freeze)
        self.enabled = gc.isenabled()
        self.addCleanup(self.assert_as_before)

    def assert_as_before(self):
        self.assertIs(self.lists[0], warnings.filters)
        self.assertIs(self.lists[1], filters_here())
        self.assertEqual(self.filters, [list(filters) for filters in self.lists])
        hooks = warnings.showwarning, sys.unraisablehook, list(gc.callbacks)
        self.assertEqual(self.hooks, hooks)
        self.assertEqual(self.enabled, gc.isenabled())
        self.assertFalse(heap_is_frozen())


class FoundTest(MachineryTestCase):
    def test_a_clean_test_is_blamed_for_nothing(self):
        """A test that closes, awaits and drops what it makes, circles too."""

        def clean():
            asyncio.run(answer())
            with tempfile.TemporaryFile():
                circle(mock.Mock())

        self.assertEqual([], after(clean))

    def test_what_reference_counting_frees_is_found_where_it_was_dropped(self):
        """The place is the line that dropped it, in the middle of the test."""

        def drop():
            made = socket.socket()
            del made

        [garbage] = after(drop)
        self.assertEqual("resource", garbage.kind)
        self.assertIn("unclosed <socket.socket fd=", garbage.text)
        self.assertEqual(f"{__file__}:{drop.__code__.co_firstlineno + 2}", garbage.where)
        self.assertEqual("socket.socket", garbage.type_name)

    def test_what_the_collector_frees_is_found_at_the_end(self):
        """A file in a circle; the line that happened to run is not blamed."""

        def drop():
            connection = Connection()
            circle(connection)

        expected = Garbage(
            "resource", "unclosed connection db", BY_COLLECTOR, f"{__name__}.Connection"
        )
        self.assertEqual([expected], after(drop))

    def test_a_file_of_the_c_library_is_found_by_both_ways(self):
        """io.FileIO warns from C; once dropped, once in a circle."""

        def drop():
            open(os.devnull)
            held = [open(os.devnull, "rb")]
            held.append(held)

        first, second = after(drop)
        line = drop.__code__.co_firstlineno + 1
        self.assertEqual((f"{__file__}:{line}", BY_COLLECTOR), (first.where, second.where))
        for garbage in (first, second):
            self.assertEqual("resource", garbage.kind)
            self.assertIn(
                f"unclosed file <_io.{garbage.type_name.rpartition('.')[2]}"[:16], garbage.text
            )
            self.assertIn(f"name='{os.devnull}'", garbage.text)

    def test_a_coroutine_never_awaited_is_found_by_both_ways(self):
        """Dropped at once, and kept by a circle."""

        def drop():
            answer()
            held = [answer()]
            held.append(held)

        first, second = after(drop)
        for garbage in (first, second):
            self.assertEqual("coroutine", garbage.kind)
            self.assertEqual("coroutine 'answer' was never awaited", garbage.text)
            self.assertEqual("coroutine", garbage.type_name)
        line = drop.__code__.co_firstlineno + 1
        self.assertEqual((f"{__file__}:{line}", BY_COLLECTOR), (first.where, second.where))

    def test_each_test_is_blamed_for_its_own(self):
        """One check around three tests, the second of them clean."""
        check = GarbageCheck()
        found = []
        for name in ("first", "", "third"):
            check.begin()
            if name:
                circle(Connection(name))
            found.append(told(check.end()))
        self.assertEqual([], check.close())
        first, second, third = found
        self.assertEqual([("resource", "unclosed connection first")], first)
        self.assertEqual([], second)
        self.assertEqual([("resource", "unclosed connection third")], third)

    def test_what_was_garbage_before_is_blamed_on_nobody(self):
        """The first test of a class is not charged with what came before."""
        with warnings.catch_warnings(record=True) as log:
            warnings.simplefilter("always")
            circle(Connection("old"))
            self.assertEqual([], after(lambda: None))
        self.assertEqual(["unclosed connection old"], [str(entry.message) for entry in log])

    def test_what_was_alive_after_its_test_is_found_when_the_class_is_over(self):
        """It was frozen while later tests ran; close() has it."""
        check = GarbageCheck()
        held = []
        check.begin()
        held.append(Connection("kept"))
        circle(held[0])
        self.assertEqual([], check.end())
        check.begin()
        held.clear()
        self.assertEqual([], check.end())
        self.assertEqual([("resource", "unclosed connection kept")], told(check.close()))

    def test_the_place_where_it_was_made_is_told_when_traced(self):
        """By tracemalloc; of a coroutine also by its origin."""

        def drop():
            held = [open(os.devnull, "rb")]
            held.append(held)
            answer()

        tracing = tracemalloc.is_tracing()
        depth = sys.get_coroutine_origin_tracking_depth()
        if not tracing:
            tracemalloc.start(5)
            self.addCleanup(tracemalloc.stop)
        sys.set_coroutine_origin_tracking_depth(1)
        try:
            coroutine, resource = after(drop)
        finally:
            sys.set_coroutine_origin_tracking_depth(depth)
        line = drop.__code__.co_firstlineno + 1
        self.assertEqual(f"{BY_COLLECTOR}, made at {__file__}:{line}", resource.where)
        made = f"{__file__}:{line + 2}"
        self.assertEqual(f"{made}, made at {made}", coroutine.where)
        self.assertEqual("coroutine 'answer' was never awaited", coroutine.text)


class FiltersTest(MachineryTestCase):
    def test_filters_set_before_hide_nothing(self):
        """Ignored, shown once before, or made an error: it is found."""

        def drop():
            circle(Connection())
            Connection()

        expected = [("resource", "unclosed connection db")] * 2
        for action in ("ignore", "once", "default", "module", "error"):
            with self.subTest(action), warnings.catch_warnings():
                warnings.simplefilter(action)
                with contextlib.redirect_stderr(io.StringIO()):
                    drop()  # so that "once" and "default" have been
                    collect()
                self.assertEqual(expected, told(after(drop)))

    def test_what_the_test_makes_an_error_is_found(self):
        """Nobody can raise it where an object is freed: it is unraisable."""

        def drop():
            warnings.simplefilter("error")
            open(os.devnull)
            Connection()
            answer()

        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()) as printed:
            found = after(drop)
        self.assertEqual(["resource", "resource", "coroutine"], [g.kind for g in found])
        line = drop.__code__.co_firstlineno
        inner = Connection.__del__.__code__.co_firstlineno + 1
        places = [f"{__file__}:{number}" for number in (line + 2, inner, line + 4)]
        self.assertEqual(places, [garbage.where for garbage in found])
        # Since 3.14, what C frees is not in the arguments of the hook.
        of_c = "ResourceWarning" if sys.version_info >= (3, 14) else "_io.FileIO"
        kinds = [of_c, f"{__name__}.Connection", "coroutine"]
        self.assertEqual(kinds, [garbage.type_name for garbage in found])
        self.assertEqual("", printed.getvalue())

    def test_in_a_python_that_takes_warnings_for_errors(self):
        """-W error, in a process of its own: found, and nothing printed."""
        done = run_script(
            "from tests.leaks.test_gc_check import *\n"
            "def drop():\n"
            "    open(os.devnull); answer(); circle(Connection())\n"
            "print([garbage.kind for garbage in after(drop)])\n"
        )
        self.assertEqual(
            ("['resource', 'coroutine', 'resource']\n", ""), (done.stdout, done.stderr)
        )

    def test_what_the_test_looks_at_is_left_to_it(self):
        """Recorded by catch_warnings or assertWarns, or ignored on purpose."""
        logs = []

        def look():
            with warnings.catch_warnings(record=True) as log:
                warnings.simplefilter("always")
                Connection("one")
            logs.extend(str(entry.message) for entry in log)
            with self.assertWarnsRegex(ResourceWarning, "two"):
                Connection("two")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Connection("three")

        self.assertEqual([], after(look))
        self.assertEqual(["unclosed connection one"], logs)

    def test_other_warnings_go_where_they_went(self):
        """To the recorder outside, once, with their place; no error of another kind is taken."""

        class Odd:
            def __del__(self):
                raise ValueError("in __del__")

        def warn():
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            warnings.warn("odd", RuntimeWarning, stacklevel=1)
            Odd()

        unraisable = []
        with (
            mock.patch.object(sys, "unraisablehook", lambda args: unraisable.append(args.exc_type)),
            warnings.catch_warnings(record=True) as log,
        ):
            warnings.simplefilter("always")
            self.assertEqual([], after(warn))
        self.assertEqual(["old", "odd"], [str(entry.message) for entry in log])
        line = warn.__code__.co_firstlineno
        self.assertEqual([line + 1, line + 2], [entry.lineno for entry in log])
        self.assertEqual([ValueError], unraisable)

    def test_warnings_shown_once_stay_shown_once(self):
        """The check does not make Python forget, from test to test, what it has shown."""
        check = GarbageCheck()
        with warnings.catch_warnings(record=True) as log:
            warnings.simplefilter("default")
            for _ in range(3):
                check.begin()
                warnings.warn("old", DeprecationWarning, stacklevel=1)
                self.assertEqual([], check.end())
            check.close()
        self.assertEqual(1, len(log))


class ReplacedTest(MachineryTestCase):
    def test_a_hook_that_the_test_leaves_is_left_and_told(self):
        """It is not fought; what the end's collection frees is found all the same."""
        shown = []

        def show(*args, **kwargs):
            shown.append(args[1])

        def replace():
            warnings.showwarning = show
            circle(Connection())

        check = GarbageCheck()
        before = warnings.showwarning
        try:
            found = told(after(replace, check))
            self.assertIs(show, warnings.showwarning)
        finally:
            warnings.showwarning = before
        self.assertEqual([("resource", "unclosed connection db")], found)
        [change] = check.changes
        self.assertRegex(
            change, r"^warnings\.showwarning was replaced by <function .*show.*> and not put back$"
        )
        self.assertEqual([], shown)
        check.begin()
        check.end()
        check.close()
        self.assertEqual((), check.changes)

    def test_a_hook_put_over_ours_goes_on_working(self):
        """It calls what it found, ours, which passes on once the test is over."""
        printed = io.StringIO()
        before = sys.unraisablehook

        class Odd:
            def __del__(self):
                raise ValueError("in __del__")

        def replace():
            over = sys.unraisablehook
            sys.unraisablehook = lambda args: over(args)  # noqa: PLW0108 - a hook over ours, not ours

        try:
            self.assertEqual([], after(replace))
            with (
                contextlib.redirect_stderr(printed),
                mock.patch.dict(os.environ, PYTHON_COLORS="0"),
            ):
                Odd()
        finally:
            sys.unraisablehook = before
        self.assertEqual(1, printed.getvalue().count("ValueError: in __del__"))

    def test_a_catch_warnings_left_open_takes_nothing_of_ours_along(self):
        """Nor does it bring anything back when it is left after the test."""
        context = warnings.catch_warnings()

        def enter():
            context.__enter__()
            warnings.simplefilter("ignore")
            circle(Connection())

        found = told(after(enter))
        self.assertIsNot(self.lists[1], filters_here())
        self.assertNotIn("itf", f"{warnings.filters} {filters_here()}")
        context.__exit__(None, None, None)
        self.assertEqual([("resource", "unclosed connection db")], found)
        # What it had saved is our hook, which is dead; the next check takes it out.
        after(lambda: None)

    def test_dead_hooks_do_not_pile_up(self):
        """A thousand tests that each put our hook back after it was taken out."""
        check = GarbageCheck()
        for _ in range(1000):
            check.begin()
            ours = warnings.showwarning
            check.end()
            warnings.showwarning = ours
        check.close()
        with warnings.catch_warnings(record=True) as log:
            warnings.showwarning("old", DeprecationWarning, __file__, 1)
        self.assertEqual(1, len(log))
        check.begin()
        check.end()
        check.close()

    def test_logging_may_capture_warnings(self):
        """logging.captureWarnings on and off within a test, and over its end."""

        def on_and_off():
            logging.captureWarnings(True)
            logging.captureWarnings(False)
            Connection()

        self.assertEqual([("resource", "unclosed connection db")], told(after(on_and_off)))
        check = GarbageCheck()
        after(lambda: logging.captureWarnings(True), check)
        self.assertEqual(1, len(check.changes))
        logging.captureWarnings(False)
        after(lambda: None)

    def test_filters_that_the_test_left_are_left(self):
        """Only our own are taken out."""
        with warnings.catch_warnings():
            before = list(filters_here())
            after(lambda: warnings.filterwarnings("ignore", "of the test"))
            self.assertEqual(before, filters_here()[1:])
            self.assertIn("of the test", str(filters_here()[0]))


class CollectorTest(MachineryTestCase):
    def test_a_collector_that_is_off_stays_off(self):
        """Off before, or switched off by the test: not our affair."""
        gc.disable()
        try:
            found = told(after(lambda: circle(Connection())))
            self.assertFalse(gc.isenabled())
        finally:
            gc.enable()
        self.assertEqual([("resource", "unclosed connection db")], found)
        try:
            after(gc.disable)
            self.assertFalse(gc.isenabled())
        finally:
            gc.enable()

    def test_what_the_user_froze_stays_frozen(self):
        """As far as Python allows: all or nothing can be let go."""
        collect()  # of what is frozen, nothing is to be garbage
        gc.freeze()
        try:
            frozen = gc.get_freeze_count()
            check = GarbageCheck()
            after(lambda: None, check)
            self.assertGreaterEqual(gc.get_freeze_count(), frozen - 100)
        finally:
            gc.unfreeze()

    def test_the_heap_is_let_go_by_the_last_check(self):
        """Two checks open; the first to close leaves the heap of the other frozen."""
        one, two = GarbageCheck(), GarbageCheck()
        for check in (one, two):
            check.begin()
            check.end()
        one.close()
        self.assertTrue(heap_is_frozen())
        two.close()
        two.close()
        GarbageCheck().close()
        self.assertFalse(heap_is_frozen())

    def test_a_collection_of_another_thread_is_waited_for(self):
        """While its finalizer runs, gc.collect does nothing; what we wait for is found."""
        inside, leave = threading.Event(), threading.Event()

        class Slow:
            def __del__(self):
                inside.set()
                leave.wait(60)

        thread = threading.Thread(target=gc.collect)
        check = GarbageCheck()
        gc.disable()
        try:
            check.begin()
            circle(Slow())
            circle(Connection())
            thread.start()
            self.assertTrue(inside.wait(60))
            with mock.patch("itf.leaks.gc_check.time.sleep", lambda seconds: leave.set()):
                found = check.end()
        finally:
            gc.enable()
            leave.set()
            thread.join(60)
            check.close()
        self.assertEqual([("resource", "unclosed connection db")], told(found))

    def test_it_does_not_wait_for_ever(self):
        """A collection that does not end is given up after a second."""
        clock = iter(range(100))
        with (
            mock.patch("itf.leaks.gc_check.gc.collect", lambda: 0),
            mock.patch("itf.leaks.gc_check.time.monotonic", lambda: next(clock)),
            mock.patch("itf.leaks.gc_check.time.sleep", lambda seconds: None),
        ):
            self.assertFalse(collect())
        self.assertTrue(collect())

    def test_out_of_turn_is_refused(self):
        """begin() twice, end() twice."""
        check = GarbageCheck()
        with self.assertRaisesRegex(RuntimeError, r"has not begun; call begin\(\) first"):
            check.end()
        check.begin()
        with self.assertRaisesRegex(RuntimeError, r"has begun already; call end\(\) first"):
            check.begin()
        circle(Connection())
        self.assertEqual([("resource", "unclosed connection db")], told(check.close()))


class UncollectableTest(MachineryTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(gc.garbage.clear)
        self.addCleanup(gc.set_debug, gc.get_debug())

    def test_new_in_gc_garbage_is_told_by_type(self):
        """How many, an example, and nothing that was there before."""
        gc.garbage.append(Connection("before"))
        made = [mock.sentinel.one, mock.sentinel.two, "text"]
        found = after(lambda: gc.garbage.extend(made))
        texts = [
            "2 objects in gc.garbage that cannot be freed, such as sentinel.one",
            "1 object in gc.garbage that cannot be freed, such as 'text'",
        ]
        self.assertEqual([("uncollectable", text) for text in texts], told(found))
        self.assertEqual(["unittest.mock._SentinelObject", "str"], [g.type_name for g in found])
        with self.assertWarns(ResourceWarning):
            gc.garbage.clear()

    def test_what_the_collector_saves_is_told(self):
        """DEBUG_SAVEALL keeps what was collected; the check's own is not among it."""

        class Node:
            pass

        def drop():
            gc.set_debug(gc.DEBUG_SAVEALL)
            circle(Node())

        found = after(drop)
        gc.set_debug(0)
        self.assertEqual(
            [f"{__name__}.{Node.__qualname__}"], [g.type_name for g in found if "Node" in g.text]
        )
        self.assertIn("1 object in gc.garbage kept by gc.DEBUG_SAVEALL, such as <", found[0].text)
        self.assertNotIn("_Probe", str(found) + str(gc.garbage))

    def test_an_object_of_c_that_cannot_be_freed(self):
        """The one sort that is left in gc.garbage by itself."""
        try:
            with_tp_del = importlib.import_module("_testcapi").with_tp_del
        except ImportError:
            self.skipTest("this Python has no _testcapi")

        @with_tp_del
        class Stuck:
            def __tp_del__(self):
                raise AssertionError("never called")

        [garbage] = after(lambda: circle(Stuck()))
        self.assertEqual("uncollectable", garbage.kind)
        self.assertIn("1 object in gc.garbage that cannot be freed, such as <", garbage.text)
        for stuck in gc.garbage:
            stuck.__dict__.clear()
        Stuck.__tp_del__ = lambda self: None

    def test_it_is_told_once(self):
        """By the innermost of nested checks."""
        outer, inner = GarbageCheck(), GarbageCheck()
        outer.begin()
        inner.begin()
        gc.garbage.append("text")
        self.assertEqual(1, len(inner.end()))
        self.assertEqual([], outer.end())
        inner.close()
        outer.close()


class SeveralTest(MachineryTestCase):
    def test_nested_checks_each_have_their_own(self):
        """What was garbage before the inner one began is the outer one's."""
        outer, inner = GarbageCheck(), GarbageCheck()
        outer.begin()
        circle(Connection("before"))
        inner.begin()
        circle(Connection("within"))
        Connection("dropped")
        within = sorted(told(inner.end()))
        inner.close()
        circle(Connection("after"))
        around = told(outer.end())
        outer.close()
        self.assertEqual(["dropped", "within"], [text.split()[-1] for _, text in within])
        self.assertEqual(["before", "after"], [text.split()[-1] for _, text in around])

    def test_eight_threads_are_each_blamed_for_what_they_drop(self):
        """Never a neighbour; what only the collector frees goes to Python's own way."""

        def run(number):
            check = GarbageCheck()
            found = []
            for turn in range(50):
                check.begin()
                Connection(f"{number}.{turn}")
                answer()
                found.append(told(check.end()))
            check.close()
            return found

        for number, tests in enumerate(in_threads(8, run)):
            for turn, found in enumerate(tests):
                expected = [
                    ("resource", f"unclosed connection {number}.{turn}"),
                    ("coroutine", "coroutine 'answer' was never awaited"),
                ]
                self.assertEqual(expected, found)

    def test_a_circle_of_one_of_two_threads_is_said_as_python_says_it(self):
        """Nobody knows whose it is; it is blamed on neither and not lost."""
        barrier = threading.Barrier(2, timeout=60)

        def run(number):
            check = GarbageCheck()
            barrier.wait()
            check.begin()
            barrier.wait()
            circle(Connection(str(number)))
            barrier.wait()
            if number:
                barrier.wait()
            found = check.end()
            if not number:
                barrier.wait()
            barrier.wait()
            check.close()
            return found

        with warnings.catch_warnings(record=True) as log:
            warnings.simplefilter("always")
            self.assertEqual([[], []], in_threads(2, run))
        texts = sorted(str(entry.message) for entry in log)
        self.assertEqual(["unclosed connection 0", "unclosed connection 1"], texts)

    def test_a_thread_that_the_test_started_belongs_to_it(self):
        """Alone, any thread; beside others, whoever says that it owns it."""

        def drop():
            thread = threading.Thread(target=Connection)
            thread.start()
            thread.join(60)

        expected = [("resource", "unclosed connection db")]
        self.assertEqual(expected, told(after(drop)))

        idents = []

        def own():
            idents.append(threading.get_ident())
            Connection()

        def run(_):
            thread = threading.Thread(target=own)
            thread.start()
            thread.join(60)

        neighbour = GarbageCheck(owns=lambda ident: False)
        check = GarbageCheck(owns=lambda ident: ident in idents)
        neighbour.begin()
        check.begin()
        in_threads(1, run)
        self.assertEqual(expected, told(check.end()))
        self.assertEqual([], neighbour.end())
        check.close()
        neighbour.close()

    @unittest.skipUnless(hasattr(os, "fork"), "processes cannot be forked here")
    def test_a_forked_child_has_nothing_of_it(self):
        """Filters and hooks are as they were before: nobody asks the child's check."""
        done = run_script(
            "from tests.leaks.test_gc_check import *\n"
            "def state():\n"
            "    hooks = warnings.showwarning, sys.unraisablehook\n"
            "    return list(warnings.filters), hooks, list(gc.callbacks)\n"
            "before = state()\n"
            "check = GarbageCheck()\n"
            "check.begin()\n"
            "child = os.fork()\n"
            "if not child:\n"
            "    os._exit(before != state())\n"
            "print(os.waitpid(child, 0)[1], check.end(), check.close())\n"
        )
        self.assertEqual(("0 [] []\n", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
