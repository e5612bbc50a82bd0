from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import unittest
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from itf import IntegrationTestCase
from itf.leaks.api import leak_guard, outlives_test
from tests.support import in_threads, run_case

TIMEOUT = 30

# So many tests at once, and so many runs of them.
TESTS = 48
THREADS = 8


class Kept:
    """What the tests below leave behind, to be tidied up after them."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.closing: list[Callable[[], object]] = []

    def close(self) -> None:
        """Tidy up."""
        self.stop.set()
        for close in self.closing:
            close()
        self.closing.clear()


KEPT = Kept()


class Parallel(IntegrationTestCase):
    """Tests that run at once, each of which waits until the others have begun."""

    leak_grace = 0.05
    meeting: threading.Barrier
    # Not for loaders: the tests below run them.
    __test__ = False

    def leave_file(self) -> None:
        """Leave an open file."""
        KEPT.closing.append(open(__file__).close)

    def leave_thread(self) -> None:
        """Leave a thread."""
        thread = threading.Thread(target=KEPT.stop.wait, args=(TIMEOUT,), name=f"of {self.id()}")
        thread.start()
        KEPT.closing.append(thread.join)

    def leave_process(self) -> None:
        """Leave a process."""
        process = subprocess.Popen(["sleep", "30"])
        KEPT.closing += [process.wait, process.kill]
        KEPT.closing.reverse()

    def leave_folder(self) -> None:
        """Leave a temporary directory."""
        tempfile.mkdtemp()

    def leave_socket_in_thread(self) -> None:
        """Leave a pipe that a thread of a thread has made."""

        def make() -> None:
            KEPT.closing.extend(_closers(os.pipe()))

        outer = threading.Thread(target=lambda: _run_thread(make))
        outer.start()
        outer.join()

    def leave_file_of_pool(self) -> None:
        """Leave a file that a pool's thread has opened, which has served other tests before."""
        POOL.submit(self.leave_file).result(TIMEOUT)

    def leave_variable(self) -> None:
        """Leave a variable of the environment."""
        os.environ[f"OF_{self._testMethodName}"] = "x"

    def leave_nothing(self) -> None:
        """Make much, and tidy it up."""
        thread = threading.Thread(target=open(__file__).close)
        thread.start()
        thread.join()
        with tempfile.TemporaryDirectory(), open(__file__):
            """Nothing stays."""

    def run_step(self, step: str) -> None:
        """Wait for the others, take the step, and wait for the others again."""
        self.meeting.wait(TIMEOUT)
        getattr(self, step)()
        self.meeting.wait(TIMEOUT)


POOL = ThreadPoolExecutor(1, thread_name_prefix="shared")


def _closers(numbers: tuple[int, int]) -> list[Callable[[], object]]:
    return [lambda number=number: os.close(number) for number in numbers]  # type: ignore[misc]


def _run_thread(target: Callable[[], object]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


STEPS = {
    "leave_file": "1 file",
    "leave_thread": "1 thread",
    "leave_process": "1 process",
    "leave_folder": "1 temporary directory",
    "leave_socket_in_thread": "2 pipes",
    "leave_file_of_pool": "1 file",
    "leave_variable": "1 variable",
    "leave_nothing": "",
}


def _test(step: str) -> Any:
    def test(self: Parallel) -> None:
        self.run_step(step)

    return test


for _number in range(TESTS):
    _step = list(STEPS)[_number % len(STEPS)]
    setattr(Parallel, f"test_{_number:02}_{_step}", _test(_step))


def load_tests(loader: unittest.TestLoader, tests: Any, pattern: str | None) -> unittest.TestSuite:
    """Leave out what the tests below run."""
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (CompanyTest,))


class CompanyTest(unittest.TestCase):
    """With tests in several threads, each is told of its own leaks, and of no other's."""

    def setUp(self) -> None:
        KEPT.stop.clear()
        self.addCleanup(KEPT.close)
        # So that its thread is nobody's, and has been there before.
        POOL.submit(os.getpid).result(TIMEOUT)
        self.enterContext(warnings.catch_warnings())
        warnings.simplefilter("error", ResourceWarning)

    @classmethod
    def tearDownClass(cls) -> None:
        POOL.shutdown()

    def test_every_leak_is_blamed_on_its_test(self) -> None:
        """48 tests, eight at once: files, threads, processes, folders, of threads and of pools."""
        Parallel.meeting = threading.Barrier(THREADS)
        names = unittest.TestLoader().getTestCaseNames(Parallel)
        self.assertEqual(TESTS, len(names))

        def run(number: int) -> list[unittest.TestResult]:
            return [run_case(Parallel(name)) for name in names[number::THREADS]]

        results = in_threads(THREADS, run)
        seen = 0
        for number, of_thread in enumerate(results):
            for name, result in zip(names[number::THREADS], of_thread, strict=True):
                with self.subTest(name):
                    self.assertEqual([], result.errors)
                    expected = STEPS[name[len("test_00_") :]]
                    said = [text.strip().splitlines()[-1] for _, text in result.failures]
                    wanted = f"SUMMARY: {expected} leaked by {Parallel(name).id()}"
                    self.assertEqual([wanted] if expected else [], said)
                    seen += bool(expected)
        self.assertEqual(TESTS - TESTS // len(STEPS), seen)

    def test_what_was_there_before_the_other_came_is_the_first_ones(self) -> None:
        """From before the wrappers were in place."""
        first_made, second_began, first_over = (threading.Event() for _ in range(3))
        texts: dict[str, str] = {}

        def guarded(name: str, body: Callable[[], object]) -> None:
            try:
                with leak_guard(name, grace=0.05):
                    body()
            except AssertionError as error:
                texts[name] = str(error)

        def first() -> None:
            KEPT.closing.append(open(__file__).close)
            first_made.set()
            second_began.wait(TIMEOUT)

        def second() -> None:
            second_began.set()
            first_over.wait(TIMEOUT)

        def run_first() -> None:
            guarded("first", first)
            first_over.set()

        threads = [threading.Thread(target=run_first)]
        threads[0].start()
        first_made.wait(TIMEOUT)
        threads.append(threading.Thread(target=guarded, args=("second", second)))
        threads[1].start()
        for thread in threads:
            thread.join(TIMEOUT)
        self.assertEqual(["first"], list(texts))
        self.assertIn("SUMMARY: 1 file leaked by first", texts["first"])

    def test_what_is_nobodys_is_a_warning_that_names_all(self) -> None:
        """A hook says not who set it; it is put back when the last one has gone."""
        import sys

        before = sys.displayhook
        meeting = threading.Barrier(2)

        def body(number: int) -> str | None:
            try:
                with leak_guard(f"test {number}", grace=0.05):
                    meeting.wait(TIMEOUT)
                    if number:
                        sys.displayhook = print
                    meeting.wait(TIMEOUT)
            except (AssertionError, ResourceWarning) as error:
                return str(error)
            return None

        said = [text for text in in_threads(2, body) if text]
        self.assertEqual(1, len(said))
        self.assertRegex(said[0], r"left behind by one of test \d, test \d, which ran at once: ")
        self.assertIn("setting sys.displayhook was", said[0])
        self.assertIs(before, sys.displayhook)

    def test_a_block_of_outlives_test_runs_while_the_last_guard_ends(self) -> None:
        """What the block has made by then is reported by nobody, nor is what it makes later."""
        both_stand, made, all_over = (threading.Event() for _ in range(3))
        first_stands = threading.Event()
        descriptors: list[int] = []
        # All threads are there before the first snapshot, so that none of them is new.
        started = threading.Barrier(3, timeout=TIMEOUT)

        def allow() -> None:
            self.assertTrue(both_stand.wait(TIMEOUT))
            with outlives_test("made while others end"):
                descriptors.extend(os.pipe())
                made.set()
                self.assertTrue(all_over.wait(TIMEOUT))
                descriptors.extend(os.pipe())

        def first() -> None:
            with leak_guard("first"):
                first_stands.set()
                self.assertTrue(made.wait(TIMEOUT))

        def second() -> None:
            self.assertTrue(first_stands.wait(TIMEOUT))
            with leak_guard("second"):
                both_stand.set()
                self.assertTrue(made.wait(TIMEOUT))

        def run(number: int) -> None:
            started.wait()
            (allow, first, second)[number]()
            if number and not over.acquire(blocking=False):
                all_over.set()

        over = threading.Semaphore(1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            in_threads(3, run)
        for number in descriptors:
            os.close(number)
        self.assertEqual([], [str(each.message) for each in caught])

    def test_an_error_in_a_thread_goes_to_its_test(self) -> None:
        """Of two that run at once."""
        meeting = threading.Barrier(2)

        def body(number: int) -> str | None:
            try:
                with leak_guard(f"test {number}", grace=0.05):
                    meeting.wait(TIMEOUT)
                    if number:
                        _run_thread(lambda: {}[number])
                    meeting.wait(TIMEOUT)
            except AssertionError as error:
                return str(error)
            return None

        none, said = in_threads(2, body)
        self.assertIsNone(none)
        self.assertIn("died of KeyError", said)
        self.assertIn("SUMMARY: 1 error leaked by test 1", said)

    def test_a_thread_in_which_a_block_was_guarded_is_its_test_s(self) -> None:
        """It is no runner's thread, where it is known that the test has started it."""
        stop, done = threading.Event(), threading.Event()

        def work() -> None:
            with leak_guard():
                """Nothing."""
            done.set()
            stop.wait(TIMEOUT)

        class Case(IntegrationTestCase):
            leak_grace = 0
            leak_trace = True

            def test(self) -> None:
                threading.Thread(target=work, name="worker").start()
                done.wait(TIMEOUT)

        try:
            ((_, text),) = run_case(Case("test")).failures
        finally:
            stop.set()
        self.assertIn("thread 'worker'", text)

    def test_an_error_in_a_thread_that_was_left_behind_is_not_the_next_test_s(self) -> None:
        """Its test has failed for it; the error goes where it goes without a guard."""
        go = threading.Event()
        threads: list[threading.Thread] = []
        seen: list[Any] = []

        def work() -> None:
            go.wait(TIMEOUT)
            raise LookupError("of test_a")

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test_a(self) -> None:
                threads.append(threading.Thread(target=work))
                threads[0].start()

            def test_b(self) -> None:
                go.set()
                threads[0].join(TIMEOUT)

        result = unittest.TestResult()
        with mock.patch.object(threading, "excepthook", seen.append):
            unittest.TestLoader().loadTestsFromTestCase(Case).run(result)
        self.assertEqual(["test_a"], [test._testMethodName for test, _ in result.failures])
        self.assertEqual([LookupError], [each.exc_type for each in seen])

    def test_a_forked_child_leaves_the_guards_alone(self) -> None:
        """It goes through the end of the block, and ends and removes nothing."""
        sleeper = subprocess.Popen(["sleep", "30"])
        self.addCleanup(sleeper.wait)
        self.addCleanup(sleeper.kill)
        with leak_guard("parent"):
            folder = tempfile.mkdtemp()
            with warnings.catch_warnings():
                # Threads of other tests may run; since 3.12 Python warns of that, in the
                # parent, and the child is there all the same.
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                code = 1
                try:
                    with leak_guard("child"):
                        """Nothing of its own."""
                    code = 0
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            self.assertEqual(0, status)
            self.assertTrue(os.path.isdir(folder))
            os.rmdir(folder)
        os.kill(sleeper.pid, 0)
        self.assertIs(signal.SIG_DFL, signal.getsignal(signal.SIGTERM))


if __name__ == "__main__":
    unittest.main()
