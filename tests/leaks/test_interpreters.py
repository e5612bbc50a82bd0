"""Interpreters that outlive a test are seen, told and closed, where Python has them."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import types
import unittest
from unittest import mock

from itf import IntegrationTestCase, leak_guard
from itf.leaks.probes import interpreters as probe
from tests.support import run_method, run_script

HAS_THEM = sys.version_info >= (3, 14)

if HAS_THEM:
    from concurrent import interpreters
    from concurrent.futures import InterpreterPoolExecutor

TIMEOUT = 30


@unittest.skipUnless(HAS_THEM, "there are no interpreters to make before 3.14")
class InterpretersTest(unittest.TestCase):
    """What a guard does with them."""

    def leaks_of(self, body, **attributes):
        """Return what is said of a test, line by line, without the first and the advice."""
        case = type(
            "Case", (IntegrationTestCase,), {"test": body, "leak_grace": 0.05, **attributes}
        )
        result = run_method(case)
        self.assertEqual([], result.errors)
        lines = "".join(text for _, text in result.failures).splitlines()
        return [line.strip() for line in lines if line.startswith("  ")]

    def test_one_that_is_left_is_told_and_closed(self):
        """By its id; the next test does not find it."""
        made = []
        told = self.leaks_of(lambda case: made.append(interpreters.create()))
        self.assertEqual([f"interpreter {made[0].id}"], told)
        self.assertNotIn(made[0].id, [each.id for each in interpreters.list_all()])
        self.assertEqual([], self.leaks_of(lambda case: None))

    def test_where_it_was_created_is_told_when_traced(self):
        """The user's line is among the places; also of one that a pool's thread made."""
        made = []

        def create(case):
            made.append(interpreters.create())

        (told,) = self.leaks_of(create, leak_trace=True)
        line = create.__code__.co_firstlineno + 1
        self.assertRegex(told, rf"^interpreter {made[0].id}, created at .*{__file__}:{line} in ")

        def submit(case):
            pool = InterpreterPoolExecutor(1)
            self.addCleanup(pool.shutdown)
            self.assertEqual(8, pool.submit(pow, 2, 3).result(TIMEOUT))

        (told,) = self.leaks_of(submit, leak_trace=True, leak_ignore=["threads"])
        self.assertRegex(told, r"^interpreter \d+, created at .*:\d+ in WorkerContext\.initialize")

    def test_one_that_is_closed_or_dropped_is_no_leak(self):
        """Also where only the collector drops it; and those of pools that were shut down."""

        def close(case):
            interpreters.create().close()
            with contextlib.closing(interpreters.create()) as made:
                made.exec("x = 1")
            circle = [interpreters.create()]
            circle.append(circle)
            with InterpreterPoolExecutor(2) as pool:
                self.assertEqual([1, 8], list(pool.map(pow, (1, 2), (3, 3))))

        self.assertEqual([], self.leaks_of(close, leak_grace=TIMEOUT))

    def test_one_that_was_there_before_is_no_leak(self):
        """It is somebody else's, and is left open."""
        made = interpreters.create()
        self.addCleanup(made.close)
        self.assertEqual([], self.leaks_of(lambda case: made.exec("x = 1")))
        self.assertIn(made, interpreters.list_all())

    def test_what_is_allowed_is_left_open(self):
        """By its name or by the dimension."""
        made = []
        for entry in ("interpreters", "interpreter *"):
            with self.subTest(entry):
                told = self.leaks_of(
                    lambda case: made.append(interpreters.create()), leak_ignore=[entry]
                )
                self.assertEqual([], told)
                made.pop().close()

    def test_with_a_warning_alone_it_is_left_open(self):
        """As processes and files are."""
        made = []
        with self.assertWarnsRegex(ResourceWarning, "interpreter"), leak_guard(policy="warn"):
            made.append(interpreters.create())
        made[0].close()

    def test_the_thread_of_a_pool_ends_without_an_error(self):
        """Though its interpreter was closed by the guard."""
        pool = InterpreterPoolExecutor(1)
        self.addCleanup(pool.shutdown)

        def submit(case):
            self.assertEqual(8, pool.submit(pow, 2, 3).result(TIMEOUT))

        printed = io.StringIO()
        with contextlib.redirect_stderr(printed):
            told = self.leaks_of(submit)
            pool.shutdown()
        self.assertRegex(told[0], r"^thread 'InterpreterPoolExecutor-\d+_0'")
        self.assertRegex(told[1], r"^interpreter \d+$")
        self.assertEqual([], [each for each in interpreters.list_all() if each.id])
        self.assertEqual("", printed.getvalue())

    def test_neighbours_are_each_told_of_their_own(self):
        """Two tests at once, each of which leaves one."""
        barrier = threading.Barrier(2, timeout=TIMEOUT)
        made, told = {}, {}

        def run(number):
            def create(case):
                barrier.wait()
                made[number] = interpreters.create()
                barrier.wait()

            told[number] = self.leaks_of(create)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        self.assertEqual({n: [f"interpreter {made[n].id}"] for n in range(2)}, told)

    def test_one_that_cannot_be_closed(self):
        """Whatever it is refused with is told."""
        made = []
        with mock.patch.object(
            sys.modules["_interpreters"], "destroy", side_effect=ValueError("no")
        ):
            (told,) = self.leaks_of(lambda case: made.append(interpreters.create()))
        made[0].close()
        self.assertEqual(f"interpreter {made[0].id}; it could not be closed: no", told)


class CostTest(unittest.TestCase):
    def test_nothing_is_imported_for_it(self):
        """A test that makes no interpreter does not load what makes them."""
        done = run_script(
            "import sys, itf, unittest\n"
            "class Case(itf.IntegrationTestCase):\n"
            "    def test(self): pass\n"
            "Case('test').debug()\n"
            "print('_interpreters' in sys.modules, 'concurrent.interpreters' in sys.modules)\n"
        )
        self.assertEqual(("False False\n", ""), (done.stdout, done.stderr))

    def test_where_it_is_not_loaded_nothing_is_asked(self):
        """It is known at once that there is no interpreter."""
        with mock.patch.dict(sys.modules):
            sys.modules.pop("_interpreters", None)
            self.assertEqual(frozenset(), probe.look_at_interpreters())


@unittest.skipUnless(HAS_THEM, "there are no interpreters to make before 3.14")
class PrivateTest(unittest.TestCase):
    """What is taken from below `concurrent.interpreters`, on this Python, and without it."""

    def setUp(self):
        self.made = interpreters.create()
        self.addCleanup(self.made.close)

    def test_the_interpreters_there_are(self):
        """As by public means."""
        self.assertEqual({self.made.id}, probe.look_at_interpreters())
        self.assertEqual(probe._by_public_means(), probe.look_at_interpreters())

    def test_without_the_private_functions(self):
        """Public means are used; without them nothing is seen."""
        for changed in (types.ModuleType("_interpreters"), mock.Mock(list_all=list)):
            with mock.patch.dict(sys.modules, _interpreters=changed):
                self.assertIn(self.made.id, probe._by_public_means())
                self.assertEqual(probe._by_public_means(), probe.look_at_interpreters())
                with mock.patch.dict(sys.modules):
                    del sys.modules["concurrent.interpreters"]
                    self.assertEqual(frozenset(), probe.look_at_interpreters())

    def test_whether_one_runs(self):
        """This one does not; of one that is gone nothing is said."""
        self.assertFalse(probe._is_running(self.made.id))
        self.assertTrue(probe._is_running(0))
        self.assertFalse(probe._is_running(10**6))

    def test_the_worker_of_a_pool(self):
        """It is found by its interpreter; of another one there is none."""
        self.assertIsNone(probe._pool_worker_of(self.made.id))
        with InterpreterPoolExecutor(1) as pool:
            pool.submit(pow, 2, 3).result(TIMEOUT)
            (number,) = probe.look_at_interpreters() - {self.made.id}
            worker = probe._pool_worker_of(number)
            self.assertEqual(number, worker.interp.id)
            self.assertTrue(callable(worker.finalize))
            with mock.patch("concurrent.futures.interpreter.WorkerContext", None):
                self.assertIsNone(probe._pool_worker_of(number))
            del worker


if __name__ == "__main__":
    unittest.main()
