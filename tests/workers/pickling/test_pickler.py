"""Tests of pickling by value: functions with captured values, and errors that name a value."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import multiprocessing
import os
import pathlib
import queue
import socket
import sys
import tempfile
import textwrap
import threading
import unittest
import warnings
from multiprocessing import shared_memory
from typing import Any
from unittest import mock

from itf import IntegrationTestCase
from itf.exceptions import WorkerPicklingError
from tests.workers import worker_support
from tests.workers.worker_support import DEADLINE, METHODS, WorkerTestCase, run_script

SPAWNING = [method for method in METHODS if method != "fork"]

RETRIES = 3
SETTINGS = {"depth": 1}
REGISTRY: dict[str, Any] = {}


def register(function: Any) -> Any:
    REGISTRY[function.__name__] = function
    return function


@register
def helper() -> str:
    return "the real one"


def read_retries() -> int:
    return RETRIES


class ShippingTest(WorkerTestCase):
    """What can be sent, is."""

    def result(self, target: Any, *args: Any, method: str) -> Any:
        return self.started(target, *args, method=method).result()

    def test_a_closure_brings_what_it_captures(self) -> None:
        """A local function, a lambda and a default value are sent with their values."""
        base = 40

        def add(number: int, more: int = 1, *, most: int = 1) -> int:
            return base + number + more + most

        for method in METHODS:
            with self.subTest(method):
                self.assertEqual(43, self.result(add, 1, method=method))
                self.assertEqual(80, self.result(lambda: 2 * base, method=method))
                self.assertEqual(45, self.result(functools.partial(add, 3), method=method))

    def test_a_recursive_closure(self) -> None:
        """A function may capture itself, and two functions each other."""

        def factorial(number: int) -> int:
            return 1 if number == 0 else number * factorial(number - 1)

        def even(number: int) -> bool:
            return number == 0 or odd(number - 1)

        def odd(number: int) -> bool:
            return number != 0 and even(number - 1)

        for method in METHODS:
            with self.subTest(method):
                self.assertEqual(120, self.result(factorial, 5, method=method))
                self.assertIs(True, self.result(even, 10, method=method))

    def test_closures_share_their_cells(self) -> None:
        """A `nonlocal` variable is shared by two functions in the worker, too."""
        count = 0

        def increment() -> None:
            nonlocal count
            count += 1

        def work() -> int:
            increment()
            increment()
            return count

        for method in METHODS:
            with self.subTest(method):
                self.assertEqual(2, self.result(work, method=method))
        self.assertEqual(0, count)

    def test_primitives_of_multiprocessing_are_captured(self) -> None:
        """Lock, queue, event, value, pipe and shared memory are shared with the worker."""
        context = multiprocessing.get_context("spawn")
        lock, event, value = context.Lock(), context.Event(), context.Value("i", 0)
        numbers = context.SimpleQueue()
        here, there = context.Pipe()
        memory = shared_memory.SharedMemory(create=True, size=16)

        def work() -> None:
            with lock:
                value.value += 1
            memory.buf[0] = 7
            numbers.put("queued")
            there.send("piped")
            event.set()

        try:
            for number, method in enumerate(METHODS, start=1):
                with self.subTest(method):
                    memory.buf[0] = 0
                    self.assertIsNone(self.result(work, method=method))
                    self.assertEqual("queued", numbers.get())
                    self.assertTrue(here.poll(DEADLINE))
                    self.assertEqual("piped", here.recv())
                    self.assertEqual(number, value.value)
                    self.assertEqual(7, memory.buf[0])
                    self.assertTrue(event.is_set())
                    event.clear()
        finally:
            memory.close()
            memory.unlink()
            numbers.close()
            here.close()
            there.close()

    def test_the_test_itself_and_its_methods(self) -> None:
        """`self`, a bound and a private method are sent with the test's attributes."""
        self.number = 5
        for method in METHODS:
            with self.subTest(method):
                self.assertEqual(5, self.result(lambda: self.number, method=method))
                self.assertEqual(5, self.result(self.get_number, method=method))
                self.assertEqual(5, self.result(self.__get_number, method=method))
                self.assertIsNone(
                    self.result(lambda: self.assertEqual(5, self.number), method=method)
                )
                error = self.started(lambda: self.fail("no"), method=method).exception()
                self.assertIsInstance(error, AssertionError)

    def get_number(self) -> int:
        return self.number

    def __get_number(self) -> int:
        return self.number

    def test_any_test_case_is_sent(self) -> None:
        """A running TestCase of unittest, an asynchronous one, and one of itf can be sent."""
        outer = self

        class Plain(unittest.TestCase):
            base: Any = unittest.TestCase

            def test(self) -> None:
                self.value = 3
                for method in SPAWNING:
                    worker = outer.started(lambda: (self.value, self.id()), method=method)
                    outer.assertEqual((3, self.id()), worker.result())

        class Integration(IntegrationTestCase):
            leak_policy = "off"  # what it starts belongs to the test around it
            test = Plain.test

        class Asynchronous(unittest.IsolatedAsyncioTestCase):
            async def test(self) -> None:
                Plain.test(self)  # type: ignore[arg-type]

        for case in (Plain, Integration, Asynchronous):
            with self.subTest(case.__name__), warnings.catch_warnings():
                result = unittest.TestResult()
                case("test").run(result)
                self.assertEqual([], result.errors + result.failures)

    def test_local_classes(self) -> None:
        """A local class with slots, super(), properties and a cache is sent, and its subclass."""

        class Base:
            __slots__ = ("value",)
            made = 0

            def __init__(self, value: int) -> None:
                self.value = value
                type(self).made += 1

            @property
            def double(self) -> int:
                return 2 * self.value

            @staticmethod
            def three() -> int:
                return 3

            @classmethod
            def of(cls, value: int) -> Any:
                return cls(value)

        class Derived(Base):
            def __init__(self, value: int) -> None:
                super().__init__(value + 1)

            @functools.cached_property
            def slow(self) -> int:
                return self.value

            @functools.lru_cache(maxsize=7)  # noqa: B019
            def cached(self) -> int:
                return self.value

        def work() -> tuple[Any, ...]:
            made = Derived.of(1)
            return made.value, made.double, made.three(), made.slow, made.cached(), Derived.made

        for method in METHODS:
            with self.subTest(method):
                self.assertEqual((2, 4, 3, 2, 2, 1), self.result(work, method=method))

    def test_local_dataclass_namedtuple_and_enum(self) -> None:
        """They work in the worker, and results have the test's own classes."""

        @dataclasses.dataclass
        class Point:
            x: int
            y: list[int] = dataclasses.field(default_factory=list)

        Pair = collections.namedtuple("Pair", "left right")

        class Colour(enum.Enum):
            RED = 1
            GREEN = 2

            def next(self) -> Any:
                return Colour.GREEN

        def work(point: Any) -> tuple[Any, ...]:
            names = [field.name for field in dataclasses.fields(Point)]
            assert dataclasses.replace(point, x=2).x == 2
            return Point(1, [2]), Pair(1, right=2), Colour.RED.next(), names

        for method in METHODS:
            with self.subTest(method):
                result = self.result(work, Point(5), method=method)
                self.assertEqual((Point(1, [2]), Pair(1, 2), Colour.GREEN, ["x", "y"]), result)
                self.assertIs(Colour.GREEN, result[2])

    def test_an_error_of_a_local_class_comes_home(self) -> None:
        """The test can catch the error by its own class."""

        class OwnError(Exception):
            pass

        def work() -> None:
            raise OwnError("mine")

        for method in METHODS:
            with self.subTest(method), self.assertRaisesRegex(OwnError, "mine"):
                self.result(work, method=method)

    def test_decorated_and_generator_functions(self) -> None:
        """A local function under a decorator of the standard library works."""

        def twice(function: Any) -> Any:
            @functools.wraps(function)
            def wrapper(*args: Any) -> Any:
                return function(*args), function(*args)

            return wrapper

        @twice
        def numbers(count: int) -> list[int]:
            return list(each(count))

        def each(count: int) -> Any:
            yield from range(count)

        for method in METHODS:
            with self.subTest(method):
                self.assertEqual(([0, 1], [0, 1]), self.result(numbers, 2, method=method))

    def test_the_present_environment_is_sent(self) -> None:
        """The worker has the environment variables and directory of the time of its start."""
        for method in METHODS:
            with (
                self.subTest(method),
                tempfile.TemporaryDirectory() as folder,
                mock.patch.dict(os.environ, {"ITF_PROBE": folder}),
            ):
                before = os.getcwd()
                os.chdir(folder)
                try:
                    worker = self.started(
                        lambda: (os.environ.get("ITF_PROBE"), os.getcwd()), method=method
                    )
                    self.assertEqual((folder, os.path.realpath(folder)), worker.result())
                finally:
                    os.chdir(before)


class RefusalTest(WorkerTestCase):
    """What cannot be sent is told at the start, by name, with what to do."""

    def refusal(self, target: Any, *args: Any, **kwargs: Any) -> str:
        texts = set()
        for method in SPAWNING:
            worker = self.process(target, *args, method=method, **kwargs)
            texts.add(self.message_of(WorkerPicklingError, worker.start))
            self.assertIsNone(worker.pid)
        self.assertEqual(1, len(texts), texts)
        return texts.pop()

    def test_a_captured_socket(self) -> None:
        """The message has the variable, its type, the function, file and line, and the advice."""
        with socket.socket() as sock:

            def worker_func() -> None:
                sock.send(b"")

            line = worker_func.__code__.co_firstlineno
            self.assertEqual(
                f"cannot send 'sock' (socket.socket), captured by worker_func at "
                f"test_pickler.py:{line}, to a new process; pass its address and connect there",
                self.refusal(worker_func),
            )

    def test_each_kind_has_its_advice(self) -> None:
        """Locks, files, generators and similar objects are refused with advice."""

        def generator() -> Any:
            yield 1

        with open(os.devnull) as file:
            cases = {
                "_thread.lock": (threading.Lock(), "share env.create_shared_lock(name) instead"),
                "_thread.RLock": (threading.RLock(), "share env.create_shared_lock(name) instead"),
                "_io.TextIOWrapper": (file, "pass its path and open it there"),
                "generator": (generator(), "pass what makes it, or a list of its items"),
                "queue.Queue": (queue.Queue(), "share env.create_queue(name) instead"),
                "threading.Event": (threading.Event(), "share env.create_event(name) instead"),
                "memoryview": (memoryview(b""), "pass bytes of it"),
            }
            for kind, (thing, advice) in cases.items():
                with self.subTest(kind):
                    text = self.refusal(lambda: thing)  # noqa: B023
                    self.assertIn(f"cannot send 'thing' ({kind}), captured by <lambda> at ", text)
                    self.assertTrue(text.endswith(f", to a new process; {advice}"), text)

    def test_a_process_is_refused(self) -> None:
        """A captured worker is named in the error."""
        other = self.process(int, name="other")
        text = self.refusal(lambda: other.pid)
        self.assertIn("cannot send 'other' (itf.workers.processes.", text)
        self.assertIn("share a queue or an event with it instead", text)

    @unittest.skipIf(sys.version_info < (3, 11, 5), "multiprocessing tells since 3.11.5")
    def test_a_primitive_made_for_fork(self) -> None:
        """The error says why, and how to make a primitive that can be sent."""
        lock = multiprocessing.get_context("fork").Lock()
        text = self.refusal(lambda: lock)
        self.assertIn("cannot send 'lock' (multiprocessing.synchronize.Lock), captured by", text)
        self.assertIn('multiprocessing.get_context("spawn")', text)

    def test_the_way_to_it_is_named(self) -> None:
        """A value in a container, attribute, argument or nested function is named."""

        class Holder:
            def __init__(self) -> None:
                self.parts = [1, threading.Lock()]

        holder = Holder()

        def inner() -> Any:
            return holder

        self.assertIn(
            "'holder.parts[1]' (_thread.lock), captured by inner at ",
            self.refusal(lambda: [inner()]),
        )
        self.assertIn(
            "'args[0]' (_thread.lock), an argument of worker 'w'",
            self.refusal(id, threading.Lock()),
        )
        table = {"a": threading.Lock()}
        self.assertIn("\"table['a']\" (_thread.lock), captured by", self.refusal(lambda: table))

    def test_after_a_refusal_it_can_be_started(self) -> None:
        """A worker whose start was refused can start after the cause was removed."""
        box = [threading.Lock()]
        worker = self.process(lambda: len(box), method=SPAWNING[0])
        self.message_of(WorkerPicklingError, worker.start)
        box.clear()
        worker.start()
        self.assertEqual(0, worker.result())


class ChangedGlobalsTest(WorkerTestCase):
    """A global that the worker will see differently is told."""

    def warnings_of(self, target: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.started(target, method=SPAWNING[0]).join()
        for entry in caught:
            self.assertIs(RuntimeWarning, entry.category)
            self.assertEqual(worker_support.__file__, entry.filename)
        return [str(entry.message) for entry in caught]

    def test_what_is_unchanged_is_not_told(self) -> None:
        """No warning for unchanged globals, or for containers filled at import."""
        self.assertEqual(
            [],
            self.warnings_of(
                lambda: (RETRIES, SETTINGS, REGISTRY, helper, os.path, Any, METHODS, mock.patch)
            ),
        )

    def test_a_changed_literal_is_told(self) -> None:
        """The warning names worker, global, module and function, and says what to do."""
        with mock.patch.dict(globals(), {"RETRIES": 5}):
            texts = self.warnings_of(lambda: RETRIES)
        self.assertEqual(1, len(texts))
        self.assertRegex(
            texts[0],
            r"^worker 'w' will not see the present value of the global 'RETRIES' of "
            r"tests\.workers\.pickling\.test_pickler, used by .*<lambda>: "
            r"it was changed or patched after "
            r"the import, and a new process imports the module afresh; pass it as an argument$",
        )

    def test_a_changed_container_and_a_patched_function_are_told(self) -> None:
        """A warning is given, whatever the new value is."""
        with mock.patch.dict(SETTINGS, {"depth": 2}):
            self.assertEqual(1, len(self.warnings_of(lambda: SETTINGS)))
        with mock.patch.dict(globals(), {"read_retries": lambda: 9}):
            self.assertEqual(1, len(self.warnings_of(lambda: [read_retries()])))
        with mock.patch.dict(globals(), {"METHODS": []}):
            self.assertEqual(1, len(self.warnings_of(lambda: METHODS)))


SCRIPT = """
import os
import xml.dom.minidom
from itf.workers.base import WorkerContext
from itf.workers.processes import new_process
from itf.workers.shutdown import close_context

print("the script runs")
LIMIT = 1
LIMIT = 10

class Point:
    def __init__(self, x):
        self.x = x
    def __eq__(self, other):
        return type(self) is type(other) and self.x == other.x

def scale(number):
    return number * LIMIT

def work(number, queue):
    queue.put(Point(number))
    return Point(scale(number)), xml.dom.minidom.parseString("<a/>").documentElement.tagName

import multiprocessing
for method in %r:
    context = WorkerContext()
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    worker = new_process(context, work, (4, queue), name="w", start_method=method)
    worker.start()
    value = worker.result(30)
    print(value == (Point(40), "a"), queue.get() == Point(4))
    close_context(context)
    queue.close()
"""


class WhereverItIsDefinedTest(unittest.TestCase):
    """No import of the user's ``__main__`` is needed, wherever a function comes from."""

    expected = "the script runs\n" + "True True\n" * len(METHODS)

    def test_in_a_script_without_a_guard(self) -> None:
        """The script's functions and classes are sent; the script does not run again."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "script.py")
            path.write_text(SCRIPT % METHODS)
            self.assertEqual(self.expected, run_script(str(path)))
            self.assertEqual(self.expected, run_script("-O", str(path)))

    def test_in_a_command_and_from_standard_input(self) -> None:
        """Functions of `python -c` and of standard input can be sent."""
        self.assertEqual(self.expected, run_script("-c", SCRIPT % METHODS))
        self.assertEqual(self.expected, run_script("-", input=SCRIPT % METHODS))

    def test_in_a_doctest(self) -> None:
        """A function of an example is sent with the globals of the example."""
        module = '''
            """
            >>> from itf.workers.base import WorkerContext
            >>> from itf.workers.processes import new_process
            >>> from itf.workers.shutdown import close_context
            >>> factor = 3
            >>> def work(number):
            ...     return factor * number
            >>> context = WorkerContext()
            >>> def answer(method):
            ...     worker = new_process(context, work, (4,), name="w", start_method=method)
            ...     worker.start()
            ...     return worker.result(30)
            >>> [answer(method) for method in METHODS]
            [12, 12, 12]
            >>> close_context(context)
            []
            """
        '''
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "example.py")
            path.write_text(textwrap.dedent(module) + f"\nMETHODS = {METHODS}\n")
            self.assertEqual("", run_script("-m", "doctest", str(path)))

    def test_in_a_script_of_tests(self) -> None:
        """`self` of a TestCase that `__main__` defines can be sent."""
        script = f"""
            import unittest
            from itf import IntegrationTestCase
            from itf.workers.base import WorkerContext
            from itf.workers.processes import new_process
            from itf.workers.shutdown import close_context

            class Case(IntegrationTestCase):
                def test(self):
                    self.value = 7
                    for method in {METHODS}:
                        context = WorkerContext()
                        worker = new_process(
                            context, lambda: self.twice(), name="w", start_method=method
                        )
                        worker.start()
                        self.assertEqual(14, worker.result(30))
                        close_context(context)

                def twice(self):
                    return 2 * self.value

            unittest.main()
        """
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "script.py")
            path.write_text(textwrap.dedent(script))
            self.assertIn("\nOK\n", run_script(str(path)))


if __name__ == "__main__":
    unittest.main()
