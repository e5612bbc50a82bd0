"""Which types grow when a function is called again and again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ctypes
import functools
import gc
import io
import itertools
import linecache
import logging
import queue
import re
import sys
import tempfile
import textwrap
import threading
import traceback
import unittest
import warnings
from unittest import mock

from itf import assert_no_growth, leak_guard
from itf.leaks.gc_check import GarbageCheck, heap_is_frozen
from itf.leaks.probes.names import SEES_FILES
from tests.support import run_script

seen = []


class Request:
    """What the leaks keep."""

    def __init__(self, number=0):
        self.number = number

    def __repr__(self):
        return f"<request {self.number}>"


class Service:
    """Keeps what it is given."""

    def __init__(self):
        self.requests = []
        self.by_number = {}

    def __repr__(self):
        return "<service>"


class Resurrected:
    """A circle that its own __del__ brings back."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        seen.append(self)


class GrowthTestCase(unittest.TestCase):
    """Each test finds and leaves the collector as it was."""

    def setUp(self):
        if heap_is_frozen():  # by whoever imported what freezes it
            gc.unfreeze()
            self.addCleanup(gc.freeze)
        self.numbers = itertools.count(1000)
        self.addCleanup(self.assert_as_before, gc.isenabled(), list(gc.callbacks))

    def tearDown(self):
        seen.clear()

    def assert_as_before(self, enabled, callbacks):
        self.assertEqual(enabled, gc.isenabled())
        self.assertEqual(callbacks, gc.callbacks)
        self.assertFalse(heap_is_frozen())

    def growth(self, function, *args, **kwargs):
        """Return the lines on what grows."""
        with self.assertRaises(AssertionError) as caught:
            assert_no_growth(function, *args, **kwargs)
        return str(caught.exception).split("\n  ")


class LeakTest(GrowthTestCase):
    def test_objects_in_a_list(self):
        """The type, how many each round, the newest, who holds it; and the list itself."""
        text = self.growth(lambda: seen.append(Request(len(seen))))
        expected = [
            "1 type and 1 container grew in each of 25 rounds after 5 of warm-up; "
            "let go of what each call makes, or raise `warmup` if it only fills a cache:",
            f"{__name__}.Request: +1 each round; the newest: <request 29>, "
            "held by a list of 30 items",
            "a list: +1 item each round, 30 now; the last: <request 29>; "
            f"held by global 'seen' of {__name__}",
        ]
        self.assertEqual(expected, text)

    def test_several_each_round(self):
        """From the least to the most of a round."""
        sizes = itertools.cycle([2, 3])
        lines = self.growth(lambda: seen.extend(Request() for _ in range(next(sizes))))
        self.assertIn(f"{__name__}.Request: +2 to +3 each round; the newest: <request 0>", lines[1])
        self.assertIn("a list: +2 to +3 items each round", lines[2])

    def test_a_cache_in_a_dict(self):
        """Under which key, and whose attribute the dict is."""
        service = Service()

        def work():
            number = next(self.numbers)
            service.by_number[number] = Request(number)

        lines = self.growth(work)
        self.assertEqual(
            f"{__name__}.Request: +1 each round; the newest: <request 1029>, "
            "held by a dict of 30 items, under 1029",
            lines[1],
        )
        self.assertEqual(
            "a dict: +1 item each round, 30 now; the last: {1029: <request 1029>}; "
            "held by attribute 'by_number' of <service>",
            lines[2],
        )

    def test_an_attribute_chain(self):
        """Each object holds the one before: the attribute is named."""
        service = Service()

        def work():
            made = Request()
            made.before = service.requests
            service.requests = made

        lines = self.growth(work)
        self.assertIn("held by attribute 'requests' of <service>", lines[1])

    def test_closures(self):
        """Functions and their cells, in a list that a function closes over."""
        callbacks = []

        def work():
            made = Request()
            callbacks.append(lambda: made)

        lines = self.growth(work)
        self.assertRegex(lines[0], "^[45] types and 1 container grew")
        kinds = [line.partition(":")[0] for line in lines[1:-1]]
        self.assertEqual(f"{__name__}.Request", kinds[0])
        self.assertLessEqual({"function", "cell", "tuple"}, set(kinds))
        self.assertTrue(
            lines[-1].endswith(f"held by variable 'callbacks' that {work.__qualname__} closes over")
        )

    def test_a_circle_that_comes_back(self):
        """Its __del__ stores it again."""
        lines = self.growth(Resurrected)
        self.assertIn(f"{__name__}.Resurrected: +1 each round", lines[1])

    def test_what_c_holds(self):
        """A reference that was never given back: nothing refers to it."""
        held = []

        def work():
            request = Request()
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(request))
            held.append(id(request))
            held[:] = held[-1:]

        lines = self.growth(work, 5)
        self.assertEqual(
            [
                f"{__name__}.Request: +1 each round; the newest: <request 0>, held by nothing that "
                "the collector knows: C code, or a frame that runs"
            ],
            lines[1:],
        )

    def test_what_only_memory_blocks_tell(self):
        """An object that the collector does not track, held by C."""

        def work():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(object()))

        lines = self.growth(work)
        expected = [
            "memory blocks grew in each of 25 rounds after 5 of warm-up; "
            "let go of what each call makes, or raise `warmup` if it only fills a cache:",
            "memory blocks: +1 each round, of objects that the collector does not track "
            "(numbers, strings, bytes, plain object()s) or of C code",
        ]
        self.assertEqual(expected, lines)

    def test_what_is_not_tracked_is_told_by_its_container(self):
        """Numbers, None, strings and bytes: in which list, dict, set, deque or bytearray."""
        number = functools.partial(next, self.numbers)
        cases = {
            "list": ([], lambda c: c.append(None), "; the last: None"),
            "dict": ({}, lambda c: c.update({number(): "text"}), "'text'}"),
            "set": (set(), lambda c: c.add(number()), ""),
            "collections.deque": (
                collections.deque(),
                lambda c: c.append(str(number())),
                "; the last: '",
            ),
            "collections.OrderedDict": (
                collections.OrderedDict(),
                lambda c: c.update({number(): b"bytes"}),
                "b'bytes'}",
            ),
            "bytearray": (bytearray(), lambda c: c.extend(b"a"), ""),
        }
        for name, (container, add, last) in cases.items():
            with self.subTest(name):
                [_, line] = self.growth(functools.partial(add, container))
                self.assertTrue(line.startswith(f"a {name}: +1 item each round, 30 now"), line)
                self.assertIn(last, line)

    def test_a_queue_that_nobody_reads(self):
        """Its deque is found inside it."""
        waiting = queue.Queue()
        [_, line] = self.growth(lambda: waiting.put(1))
        self.assertIn("a collections.deque: +1 item each round, 30 now; the last: 1; held by", line)

    def test_a_cache_without_a_bound(self):
        """functools.cache grows for ever."""
        remember = functools.cache(Request)
        lines = self.growth(lambda: remember(next(self.numbers)))
        self.assertIn(f"{__name__}.Request: +1 each round", lines[1])
        self.assertIn(
            "a dict: +1 item each round, 30 now; the last: {1029: <request 1029>}", lines[2]
        )

    def test_a_new_class_each_round(self):
        """Told as `type`, with the class as its example."""

        def work():
            seen.append(type("Made", (), {}))

        lines = self.growth(work)
        self.assertTrue(
            any(line.startswith("type: +1") and "Made" in line for line in lines), lines
        )

    def test_many_types_are_told_in_short(self):
        """The user's own first, eight of them, the others by name."""
        kinds = [type(f"Kind{number}", (), {"__module__": "svc"}) for number in range(12)]

        lines = self.growth(lambda: seen.append([kind() for kind in kinds]))
        self.assertEqual(11, len(lines))
        self.assertTrue(all(line.startswith("svc.Kind") for line in lines[1:9]))
        self.assertRegex(lines[-1], r"^and \d+ more: list, .*svc\.Kind")

    def test_what_the_caller_says_comes_last(self):
        """As a message of unittest's."""
        lines = self.growth(lambda: seen.append(1), msg="see the manual")
        self.assertTrue(lines[-1].endswith("\nsee the manual"))

    def test_a_broken_repr_and_secrets(self):
        """Are told, not raised; and not told."""

        class Broken:
            def __repr__(self):
                raise ValueError

        def work():
            seen.append({"password": "hunter2", "held": Broken()})

        text = "\n".join(self.growth(work))
        self.assertIn("<unrepresentable", text)
        self.assertIn("<redacted>", text)
        self.assertNotIn("hunter2", text)


class AsyncioTest(unittest.TestCase):
    def test_what_asyncio_has_freed_is_not_looked_at(self) -> None:
        """Up to Python 3.12.5 the module shows freed memory; to touch it never ends, or crashes."""
        script = """
            import asyncio, gc
            from itf import assert_no_growth
            async def cancel():
                task = asyncio.ensure_future(asyncio.sleep(100))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            asyncio.run(cancel())
            assert_no_growth(lambda: asyncio.run(cancel()), rounds=2)
            gc.collect()
            print("no growth")
        """
        done = run_script(textwrap.dedent(script))
        self.assertEqual("no growth\n", done.stdout, done.stderr)


class CleanTest(GrowthTestCase):
    def test_functions_that_leave_nothing(self):
        """What a program does all day."""
        last = {}
        recent = collections.deque(maxlen=3)
        logger = logging.getLogger(__name__)

        async def answer():
            await asyncio.sleep(0)

        def circle():
            made = Request()
            made.itself = made

        def replace():
            last["request"] = made = Request()
            made.itself = made

        def fail():
            with contextlib.suppress(ValueError):
                raise ValueError

        def start():
            thread = threading.Thread(target=circle)
            thread.start()
            thread.join(60)

        def local():
            class Local:
                pass

            return Local()

        functions = (
            int,
            circle,
            replace,
            fail,
            start,
            local,
            lambda: recent.append(Request()),
            lambda: asyncio.run(answer()),
            lambda: logger.debug("nothing"),
            lambda: traceback.format_exception(ValueError("no")),
            lambda: compile("a = 1", "<none>", "exec"),
            lambda: [Request() for _ in range(1000)],
        )
        for function in functions:
            with self.subTest(function):
                self.assertIsNone(assert_no_growth(function))

    def test_temporary_files(self):
        """The guard remembers their names, for as long as there is something under them."""
        self.assertTrue(SEES_FILES)
        make = tempfile.NamedTemporaryFile
        for function in (lambda: make().close(), lambda: tempfile.TemporaryDirectory().cleanup()):
            assert_no_growth(function)
            with leak_guard(trace=True):
                assert_no_growth(function)

    def test_it_is_called_so_often(self):
        """Warm-up and rounds, and no more where nothing grows."""
        calls = []
        assert_no_growth(lambda: calls.append(1) or calls.clear() or next(self.numbers))
        self.assertEqual(1025, next(self.numbers))
        assert_no_growth(lambda: next(self.numbers), 2, warmup=0)
        self.assertEqual(1028, next(self.numbers))

    def test_what_fills_once(self):
        """A cache that fills in the warm-up, or a little later."""
        cache = {}

        def work():
            number = next(self.numbers) % 20
            cache[number] = cache.get(number) or Request(number)

        assert_no_growth(work)
        assert_no_growth(lambda: cache.setdefault("one", Request()))

    def test_what_was_full_before(self):
        """A ring of objects, made before, that are replaced one by one."""
        ring = collections.deque((Request(n) for n in range(100)), maxlen=100)
        assert_no_growth(lambda: ring.append(Request()))

    def test_caches_with_a_bound(self):
        """An lru_cache that still fills, the cache of re, linecache, warnings shown."""
        remember = functools.lru_cache(maxsize=1000)(Request)
        number = functools.partial(next, self.numbers)

        def cache_lines():
            name = f"<made {number()}>"
            linecache.cache[name] = (1, None, ["line"], name)

        def warn():
            warnings.warn(f"of {number()}", UserWarning, stacklevel=1)

        assert_no_growth(lambda: remember(number()))
        assert_no_growth(lambda: re.compile(f"a{number()}"))
        assert_no_growth(cache_lines)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("default")
            # The text itself goes to a file that keeps nothing.
            warnings.showwarning = lambda *args, **kwargs: None
            assert_no_growth(warn)
        self.assertEqual(0, remember.cache_info().currsize)

    def test_names_looked_up_on_types(self):
        """The interpreter keeps some thousands of them."""
        request = Request()
        assert_no_growth(lambda: hasattr(request, f"a{next(self.numbers)}"))
        with mock.patch.multiple(
            sys, create=True, _clear_internal_caches=None, _clear_type_cache=None
        ):
            assert_no_growth(Request)

    def test_growth_that_ends(self):
        """Not in every round, thus no leak."""

        def work():
            if next(self.numbers) < 1015:
                seen.append(Request())

        assert_no_growth(work)

    def test_eight_threads_that_allocate(self):
        """What they make and drop, and what they keep, is not the function's."""
        stop = threading.Event()
        kept = [[] for _ in range(8)]
        started = threading.Barrier(9, timeout=60)

        def busy(number):
            started.wait()
            # A pause, so that on few cores the test itself gets its turn.
            while not stop.wait(0.0005):
                request = Request()
                request.all = [Request() for _ in range(50)]
                request.itself = request
                if number % 2:
                    kept[number].append(Request())

        threads = [threading.Thread(target=busy, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        try:
            started.wait()
            assert_no_growth(Request)
            assert_no_growth(lambda: [Request()] * 10, 5, warmup=1)
            # A type that they do not touch is found all the same.
            lines = self.growth(lambda: seen.append(Service()), 5, warmup=1)
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        self.assertTrue(any(line.startswith(f"{__name__}.Service: +1 each") for line in lines))


class StateTest(GrowthTestCase):
    def test_a_collector_that_is_off_stays_off(self):
        """And what it would have collected is no growth."""

        def circle():
            made = Request()
            made.itself = made

        gc.disable()
        try:
            assert_no_growth(circle)
            self.growth(lambda: seen.append(circle))
            self.assertFalse(gc.isenabled())
        finally:
            gc.enable()

    def test_what_the_user_froze_stays_frozen(self):
        """All that is alive is frozen again; a frozen list that grows is found."""
        gc.freeze()
        try:
            assert_no_growth(Request)
            self.assertTrue(heap_is_frozen())
            self.assertIn(f"{__name__}.Request", self.growth(lambda: seen.append(Request()))[1])
            self.assertTrue(heap_is_frozen())
        finally:
            gc.unfreeze()

    def test_within_a_test_that_is_checked_for_garbage(self):
        """GarbageCheck and assert_no_growth do not break one another."""
        check = GarbageCheck()
        check.begin()
        assert_no_growth(Request)
        self.growth(lambda: seen.append(Request()))
        self.assertEqual([], check.end())
        check.close()

    def test_an_exception_goes_through(self):
        """With the round in a note; the heap is let go."""

        def fail_at(number):
            calls = itertools.count(1)

            def work():
                if next(calls) == number:
                    raise KeyError("no")
                seen.append(1)

            return work

        notes = {
            2: "in round 2 of 5 of the warm-up of assert_no_growth",
            8: "in round 3 of 20 of assert_no_growth",
            27: "in round 2 after the 20 that grew of assert_no_growth",
        }
        for number, note in notes.items():
            with self.subTest(note):
                with self.assertRaises(KeyError) as caught:
                    assert_no_growth(fail_at(number))
                self.assertEqual([note], caught.exception.__notes__)
                self.assertFalse(heap_is_frozen())
        for stop in (KeyboardInterrupt, SystemExit):
            with self.assertRaises(stop):
                assert_no_growth(lambda stop=stop: (_ for _ in ()).throw(stop))


class RefusedTest(GrowthTestCase):
    def test_what_cannot_be_called(self):
        """The value is named, and what to do."""
        with self.assertRaisesRegex(TypeError, r"needs a function to call, not 3; pass the fun"):
            assert_no_growth(3)

    def test_what_runs_nothing_when_called(self):
        """Coroutine and generator functions, partials and objects of them; a coroutine returned."""

        async def answer():
            """Never runs."""

        async def answers():
            yield 1

        def each():
            yield 1

        class Caller:
            async def __call__(self):
                """Never runs."""

        advice = r"pass a function that runs it, such as lambda: asyncio\.run\(f\(\)\) or"
        for function, what in (
            (answer, "answer is a coroutine function"),
            (functools.partial(answer), "functools.partial.* is a coroutine function"),
            (Caller(), "Caller object .* is a coroutine function"),
            (each, "each is a generator function"),
            (answers, "answers is a generator function"),
            (lambda: answer(), "<lambda> returned a coroutine, which nobody ran"),  # noqa: PLW0108
        ):
            with self.subTest(what), self.assertRaisesRegex(TypeError, f"{what}.*; {advice}"):
                assert_no_growth(function)

    def test_numbers_that_cannot_be(self):
        """Too few rounds, a negative warm-up, no number at all."""
        cases = (
            ({"rounds": 1}, ValueError, "rounds must be at least 2, not 1"),
            ({"warmup": -1}, ValueError, "warmup must be at least 0, not -1"),
            ({"rounds": 2.5}, TypeError, r"rounds is a number of calls, not 2\.5"),
            ({"warmup": "5"}, TypeError, "warmup is a number of calls, not '5'"),
        )
        for arguments, error, text in cases:
            with self.subTest(text), self.assertRaisesRegex(error, f"^{text}$"):
                assert_no_growth(int, **arguments)


if __name__ == "__main__":
    unittest.main()
