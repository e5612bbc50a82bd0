from __future__ import annotations

import gc
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import types
import unittest
import weakref
from typing import Any
from unittest import mock

import itf
from itf import IntegrationTestCase

TIMEOUT = 30


def _telling(tell: Any) -> Any:
    def told(test: unittest.TestCase) -> None:
        os.environ["BY_RESULT"] = test.id()
        tell(test)

    return told


class Waiter(threading.Thread):
    """A thread that waits until it is told to end."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._stop_waiting = threading.Event()
        self.start()

    def run(self) -> None:
        """Wait."""
        self._stop_waiting.wait(TIMEOUT)

    def end(self) -> None:
        """Let it end."""
        self._stop_waiting.set()
        self.join(TIMEOUT)


class ScopesTest(unittest.TestCase):
    """What belongs to a class, or to a module."""

    def test_what_the_class_made_and_tidies_up_is_no_leak(self) -> None:
        """Neither of a test nor of the class: by tearDownClass, a class cleanup, a context."""

        class Case(IntegrationTestCase):
            @classmethod
            def setUpClass(cls) -> None:
                super().setUpClass()
                cls.file = cls.enterClassContext(open(__file__))
                cls.waiter = Waiter("of class")
                cls.addClassCleanup(cls.waiter.end)
                cls.socket = socket.socket()

            @classmethod
            def tearDownClass(cls) -> None:
                cls.socket.close()

            def test(self) -> None:
                self.assertTrue(self.waiter.is_alive())

        result = unittest.TestResult()
        unittest.TestSuite([Case("test")]).run(result)
        self.assertEqual([], result.failures + result.errors)
        self.assertEqual(1, result.testsRun)

    def test_a_mixin_that_comes_first_is_guarded_too(self) -> None:
        """Whoever defines `setUpClass`, it is the class's."""

        class Mixin:
            @classmethod
            def setUpClass(cls) -> None:
                os.environ["OF_CLASS"] = "x"

        class Case(Mixin, IntegrationTestCase):
            leak_grace = 0

            def test(self) -> None:
                """Nothing."""

        result = unittest.TestResult()
        unittest.TestSuite([Case("test")]).run(result)
        self.assertEqual([], result.failures)
        self.assertEqual(1, len(result.errors))
        self.assertIn("variable OF_CLASS", result.errors[0][1])

    def test_a_leak_of_a_test_is_not_told_again_by_its_class(self) -> None:
        """A thread, which nobody can end."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            @classmethod
            def setUpClass(cls) -> None:
                """Something is guarded."""

            def test(self) -> None:
                waiters.append(Waiter("of test"))

        waiters: list[Waiter] = []
        result = unittest.TestResult()
        unittest.TestSuite([Case("test")]).run(result)
        waiters[0].end()
        self.assertEqual(1, len(result.failures))
        self.assertEqual([], result.errors)

    def test_what_a_module_leaves_is_told_after_it(self) -> None:
        """Under plain `python -m unittest`; what its tests leave is theirs."""
        source = """
            import os, itf
            def setUpModule():
                os.environ["OF_MODULE"] = "x"
            class FirstTest(itf.IntegrationTestCase):
                def test(self): self.assertIn("OF_MODULE", os.environ)
            class SecondTest(itf.IntegrationTestCase):
                leak_grace = 0
                def test(self): os.environ["OF_TEST"] = "x"
        """
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "test_scoped.py").write_text(textwrap.dedent(source))
            root = str(pathlib.Path(itf.__file__).parent.parent)
            done = subprocess.run(
                [sys.executable, "-m", "unittest", "test_scoped"],
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": root,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHON_COLORS": "0",
                },
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        self.assertIn("ERROR: tearDownModule (test_scoped)", done.stderr)
        self.assertIn("SUMMARY: 1 variable leaked by test_scoped\n", done.stderr)
        self.assertIn("SUMMARY: 1 variable leaked by test_scoped.SecondTest.test", done.stderr)
        self.assertIn("FAILED (failures=1, errors=1)", done.stderr)

    def test_a_second_module_of_the_same_name_is_guarded_too(self) -> None:
        """Of test modules in different folders, run one after the other."""
        source = """
            import os, itf
            def setUpModule():
                os.environ["OF_MODULE"] = "x"
            class Case(itf.IntegrationTestCase):
                def test(self): pass
        """
        self.addCleanup(os.environ.pop, "OF_MODULE", None)
        for number in (1, 2):
            module: Any = types.ModuleType("test_of_one_name")
            with self.subTest(number), mock.patch.dict(sys.modules, {module.__name__: module}):
                exec(textwrap.dedent(source), vars(module))
                result = unittest.TestResult()
                unittest.TestLoader().loadTestsFromModule(module).run(result)
                self.assertEqual(1, len(result.errors))
                self.assertIn("SUMMARY: 1 variable leaked by test_of_one_name", result.errors[0][1])


class NeighboursTest(unittest.TestCase):
    """What happens between two tests is no leak of either."""

    def check(self, suite: unittest.TestSuite, result: unittest.TestResult) -> None:
        """Run a suite whose tests are clean, and expect no failure."""
        suite.run(result)
        self.assertEqual([], result.failures + result.errors)

    def test_a_result_of_somebody_elses_may_do_anything(self) -> None:
        """It may change settings in startTest."""

        class Result(unittest.TestResult):
            def startTest(self, test: unittest.TestCase) -> None:
                os.environ["BY_RESULT"] = test.id()
                super().startTest(test)

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        self.addCleanup(os.environ.pop, "BY_RESULT", None)
        suite = unittest.TestLoader().loadTestsFromTestCase(Case)
        self.check(suite, Result())

    def test_a_result_that_was_given_a_method_may_do_anything(self) -> None:
        """As a tool does that wants to hear of each test."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        self.addCleanup(os.environ.pop, "BY_RESULT", None)
        for name in ("startTest", "stopTest", "addSuccess"):
            result = unittest.TestResult()
            setattr(result, name, _telling(getattr(result, name)))
            suite = unittest.TestLoader().loadTestsFromTestCase(Case)
            with self.subTest(name):
                self.check(suite, result)

    def test_a_run_of_the_users_own_may_do_anything(self) -> None:
        """What it changes is no leak of the test."""

        class Case(IntegrationTestCase):
            def run(self, result: unittest.TestResult | None = None) -> Any:
                os.environ["BY_RUN"] = self.id()
                return super().run(result)

            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        self.addCleanup(os.environ.pop, "BY_RUN", None)
        suite = unittest.TestLoader().loadTestsFromTestCase(Case)
        self.check(suite, unittest.TestResult())

    def test_a_test_of_another_class_in_between_may_do_anything(self) -> None:
        """One without a guard, too."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        class Plain(unittest.TestCase):
            def test(self) -> None:
                os.environ["BY_PLAIN"] = "x"

        self.addCleanup(os.environ.pop, "BY_PLAIN", None)
        suite = unittest.TestSuite([Case("test_a"), Plain("test"), Case("test_b")])
        self.check(suite, unittest.TestResult())

    def test_a_suite_of_somebody_elses_may_do_anything(self) -> None:
        """What it makes for the tests in it is no leak of the first of them."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_c = test_a

        class Suite(unittest.TestSuite):
            def run(self, result: unittest.TestResult, debug: bool = False) -> Any:
                with mock.patch.dict(os.environ, BY_SUITE="x"):
                    return super().run(result, debug)

        inner = [unittest.TestSuite([Case("test_b"), Case("test_c")])]
        for suite in (Suite([Case("test_b"), Case("test_c")]), Suite(inner)):
            with self.subTest(suite):
                outer = unittest.TestSuite([Case("test_a"), suite])
                self.check(outer, unittest.TestResult())

    def test_a_run_of_another_base_may_do_anything(self) -> None:
        """As that of unittest's own TestCase for coroutines, which makes a loop for each test."""

        class Case(IntegrationTestCase, unittest.IsolatedAsyncioTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        class Both(itf.AsyncIntegrationTestCase, unittest.IsolatedAsyncioTestCase):
            async def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        for cls in (Case, Both):
            with self.subTest(cls):
                suite = unittest.TestLoader().loadTestsFromTestCase(cls)
                self.check(suite, unittest.TestResult())

    def test_what_has_run_the_tests_is_let_go(self) -> None:
        """When the class is over, nothing keeps the suite, the result and the last test."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

            test_b = test_a

        kept = [Case("test_a"), Case("test_b")]
        result = unittest.TestResult()
        suite = unittest.TestSuite([unittest.TestSuite(kept)])
        gone = list(map(weakref.ref, (suite, result, kept[1])))
        suite.run(result)
        del suite, result, kept
        gc.collect()
        self.assertEqual([None] * 3, [each() for each in gone])

    def test_a_forked_child_looks_for_itself(self) -> None:
        """It has another thread, and may have other descriptors."""

        class Case(IntegrationTestCase):
            def test_a(self) -> None:
                """Nothing."""

        suite = unittest.TestSuite([Case("test_a")])
        suite.run(unittest.TestResult())
        child = os.fork()
        if child == 0:
            code = 1
            try:
                result = unittest.TestResult()
                suite_of_child = unittest.TestSuite([Case("test_a"), Case("test_a")])
                suite_of_child.run(result)
                code = int(not result.wasSuccessful())
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        self.assertEqual(0, status)

    def test_what_a_test_left_is_not_the_next_ones(self) -> None:
        """After a leak that nobody can end, the next look is a fresh one."""

        class Case(IntegrationTestCase):
            leak_grace = 0

            def test_a(self) -> None:
                waiters.append(Waiter("pump"))

            def test_b(self) -> None:
                """Nothing."""

        waiters: list[Waiter] = []
        result = unittest.TestResult()
        unittest.TestLoader().loadTestsFromTestCase(Case).run(result)
        waiters[0].end()
        self.assertEqual(["test_a"], [test._testMethodName for test, _ in result.failures])
