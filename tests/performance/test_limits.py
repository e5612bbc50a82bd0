from __future__ import annotations

from typing import Any

from itf import IntegrationTestCase, performance_monitor
from itf.exceptions import TimingError
from tests.performance.clock import ClockTestCase
from tests.support import run_method


class AssertFasterThanTest(ClockTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.monitor = performance_monitor()
        for milliseconds in range(1, 11):
            with self.monitor.measure("parse"):
                self.clock.take(milliseconds / 1000)

    def test_limits_that_are_kept(self) -> None:
        """A statistic that is equal to its limit passes."""
        self.monitor.assert_faster_than("parse", p50=0.005, max=0.01, total=0.055, average=0.0055)

    def test_limits_that_are_not_kept(self) -> None:
        """The message has each exceeded limit and the main statistics."""
        with self.assertRaises(AssertionError) as caught:
            self.monitor.assert_faster_than("parse", min=0.001, p50=0.002, p90=0.0085, p99=0.009)
        self.assertEqual(
            "'parse' is too slow:\n"
            "  p50 is 5 ms, at most 2 ms allowed\n"
            "  p90 is 9 ms, at most 8.5 ms allowed\n"
            "  p99 is 10 ms, at most 9 ms allowed (with 10 samples, this is the max)\n"
            "  count 10, min 1 ms, p50 5 ms, max 10 ms",
            str(caught.exception),
        )

    def test_what_was_never_timed(self) -> None:
        """An operation without samples is an error."""
        with self.assertRaisesRegex(TimingError, r"'load' has ended yet \(timed so far: 'parse'\)"):
            self.monitor.assert_faster_than("load", p99=1)

    def test_mistakes(self) -> None:
        """The error about a wrong argument says what the argument must be."""
        check: Any = self.monitor.assert_faster_than
        names = "average, min, max, stddev, p50, p90, p99, p999, total"
        takes = rf"^assert_faster_than takes limits by name, such as p99=0.05: {names}; got "
        for call, kind, message in (
            (lambda: check("parse"), TypeError, f"{takes}none$"),
            (lambda: check("parse", p95=1), TypeError, f"{takes}'p95'$"),
            (lambda: check("parse", count=1), TypeError, f"{takes}'count'$"),
            (lambda: check("parse", p99="1"), TypeError, "^p99 must be a number, got '1'$"),
            (lambda: check("parse", p99=-1), ValueError, "^p99 must be above 0, got -1$"),
            (lambda: check(3, p99=1), TypeError, "^the name of an operation must be a str, got 3$"),
        ):
            with self.subTest(message), self.assertRaisesRegex(kind, message):
                call()

    def test_in_a_test_case(self) -> None:
        """The test fails without a frame of itf in its traceback, and with its timeline."""
        clock = self.clock

        class Case(IntegrationTestCase):
            def test(self, performance_monitor: Any) -> None:
                with performance_monitor.measure("parse"):
                    clock.take(2)
                performance_monitor.assert_faster_than("parse", max=1)

        ((_, text),) = run_method(Case).failures
        self.assertIn("'parse' is too slow:\n  max is 2 s, at most 1 s allowed", text)
        self.assertIn("timing: operation='parse', seconds=2.0", text)
        self.assertNotIn("performance/limits.py", text)
