from __future__ import annotations

import asyncio
import re
import string
import threading
import unittest
from typing import Any

from itf import AsyncIntegrationTestCase, FaultPlan, IntegrationTestCase, inject_faults
from tests.support import run_method

REAL = string.capwords


def outcome(cls: type[unittest.TestCase], name: str = "test") -> str:
    """Run a test, and return the text of its failure; empty if it passed."""
    result = run_method(cls, name)
    return "\n".join(text for _, text in (*result.errors, *result.failures))


class MethodTest(unittest.TestCase):
    def tearDown(self) -> None:
        self.assertIs(REAL, string.capwords)

    def test_a_plain_call(self) -> None:
        """The plan is effective at once and removed after the test, passed or failed."""
        seen: list[Any] = []

        class Case(IntegrationTestCase):
            def setUp(self) -> None:
                self.inject_faults(string, "capwords", FaultPlan.always(returns="fault"))

            def test(self) -> None:
                seen.append(string.capwords("a"))

            def test_failing(self) -> None:
                seen.append(string.capwords("a"))
                self.fail("of the test")

            def tearDown(self) -> None:
                seen.append(string.capwords("a"))

        for name in ("test", "test_failing"):
            run_method(Case, name)
            self.assertEqual("A", string.capwords("a"))
        self.assertEqual(["fault"] * 4, seen)

    def test_as_a_context_manager(self) -> None:
        """The plan is removed at the end of the ``with``, or by ``undo``."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                plan = FaultPlan.always(returns="fault")
                with self.inject_faults(string, "capwords", plan) as given:
                    self.assertIs(plan, given)
                    self.assertEqual("fault", string.capwords("a"))
                self.assertEqual("A", string.capwords("a"))
                injection = self.inject_faults(string, "capwords", plan)
                self.assertEqual("fault", string.capwords("a"))
                injection.undo()
                self.assertEqual("A", string.capwords("a"))

        self.assertEqual("", outcome(Case))

    def test_cleanups_see_the_faults_that_were_there_before_them(self) -> None:
        """Plans are removed in the order of cleanups, last first."""
        seen: list[str] = []

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.addCleanup(lambda: seen.append(string.capwords("a")))
                self.inject_faults(string, "capwords", FaultPlan.always(returns="fault"))
                self.addCleanup(lambda: seen.append(string.capwords("a")))

        self.assertEqual("", outcome(Case))
        self.assertEqual(["fault", "A"], seen)

    def test_debug(self) -> None:
        """A run by `debug` removes the plan after an error too."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                for returns in ("one", "two"):
                    self.inject_faults(string, "capwords", FaultPlan.always(returns=returns))
                raise KeyError(string.capwords("a"))

        with self.assertRaisesRegex(KeyError, "two"):
            Case("test").debug()

    def test_workers_that_hang(self) -> None:
        """A thread that hangs in a fault goes on before leaks are checked."""

        class Case(IntegrationTestCase):
            def test(self, parallel_test_environment: Any) -> None:
                plan = FaultPlan.always(hang=True)
                self.inject_faults(string, "capwords", plan)
                for create in ("create_worker_thread", "create_worker_process"):
                    worker = getattr(parallel_test_environment, create)(string.capwords, ("a",))
                    worker.start()
                plan.wait_until_hit(30, hits=2)

        self.assertEqual("", outcome(Case))

    def test_mistakes_are_those_of_the_call(self) -> None:
        """A wrong argument fails the test at the line of the call."""

        class Case(IntegrationTestCase):
            def test(self) -> None:
                self.inject_faults(string, "capword", FaultPlan.always())

        text = outcome(Case)
        self.assertIn("string has no attribute 'capword'; did you mean 'capwords'?", text)
        self.assertIn('self.inject_faults(string, "capword", FaultPlan.always())', text)
        self.assertNotIn("itf/faults", text)

    def test_coroutines(self) -> None:
        """Coroutine tests can inject faults too."""

        class Case(AsyncIntegrationTestCase):
            async def test(self) -> None:
                plan = FaultPlan.always(hang=True)
                self.inject_faults(asyncio, "sleep", plan)
                task = asyncio.create_task(asyncio.sleep(3600, "slept"))
                while not plan.hits:
                    await asyncio.wait([task], timeout=0.001)
                task.cancel()

        self.assertEqual("", outcome(Case))


class TimelineTest(unittest.TestCase):
    def test_hits_are_on_the_timeline_of_the_test(self) -> None:
        """A failing test shows all hits, also those of threads and of every kind of injection."""

        class Case(IntegrationTestCase):
            def use(self) -> None:
                thread = threading.Thread(target=string.capwords, args=("a",), name="the thread")
                thread.start()
                thread.join()
                string.capwords("a")
                actions = [event["data"]["action"] for event in self.timeline.events("fault")]
                self.assertEqual(["injected", "hit", "hit"], actions)
                self.fail("of the test")

            def test_method(self) -> None:
                self.inject_faults(string, "capwords", FaultPlan.always(returns=0))
                self.use()

            def test_function(self) -> None:
                with inject_faults(string, "capwords", FaultPlan.always(returns=0)):
                    self.use()

        for name in ("test_method", "test_function"):
            text = outcome(Case, name)
            self.assertRegex(
                text,
                r"\[the thread\]  fault: target='string.capwords', action='hit', call=1, "
                r"plan='FaultPlan.always\(\)', outcome='returns 0'",
            )

    def test_a_seed_is_printed_when_the_test_fails(self) -> None:
        """A failing test prints its seed, given or drawn; the seed repeats the run."""
        runs: list[list[object]] = []

        class Case(IntegrationTestCase):
            seed: int | None = None

            def test(self) -> None:
                plan = FaultPlan.probability(0.5, returns="fault", seed=self.seed)
                self.inject_faults(string, "capwords", plan)
                self.run_calls()

            def test_parser(self, mock_parser_factory: Any) -> None:
                plan = FaultPlan.probability(0.5, raises=OSError, seed=self.seed)
                mock_parser_factory.configure_failure("python", plan)
                self.run_calls()

            def run_calls(self) -> None:
                runs.append([string.capwords("a") for _ in range(50)])
                for _ in range(100):
                    self.timeline.record("note")
                self.fail("of the test")

        text = outcome(Case)
        place = r"  fault: FaultPlan.probability\(0.5, seed=(\d+)\) in string.capwords\n"
        self.assertRegex(text, place)
        found = re.search(place, text)
        Case.seed = int(found[1])
        outcome(Case)
        self.assertEqual(runs[0], runs[1])
        self.assertIn(
            f"fault: FaultPlan.probability(0.5, seed={Case.seed}) in mock parser for python",
            outcome(Case, "test_parser"),
        )


if __name__ == "__main__":
    unittest.main()
