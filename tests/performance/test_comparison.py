from __future__ import annotations

import gc
import itertools
import random
from collections.abc import Callable
from unittest import mock

from itf import performance_monitor
from itf.exceptions import TimingError
from tests.performance.clock import ClockTestCase


class RacingTestCase(ClockTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.monitor = performance_monitor()

    def function(self, name: str, *seconds: float) -> Callable[[], None]:
        """Return a function whose calls take these times in turn."""
        times = itertools.cycle(seconds)

        def run() -> None:
            self.clock.take(next(times))

        run.__qualname__ = name
        return run


class AssertFasterTest(RacingTestCase):
    def test_a_function_that_is_faster(self) -> None:
        """The comparison passes as soon as the ratio is certain, and returns it."""
        found = self.monitor.assert_faster(
            self.function("quick", 0.001), self.function("slow", 0.003), by=2
        )
        self.assertEqual((12, 3.0, 3.0, 3.0), (found.rounds, found.ratio, found.low, found.high))
        self.assertEqual(((1.0, 1.0), (0.001, 0.003)), (found.noise, found.seconds))
        self.assertEqual(
            [2], [event["data"]["by"] for event in self.monitor.timeline.events("timing")]
        )

    def test_exactly_the_ratio_is_enough(self) -> None:
        """A ratio that is equal to `by` passes."""
        quick, slow = self.function("quick", 0.0007), self.function("slow", 0.0021)
        self.assertAlmostEqual(3, self.monitor.assert_faster(quick, slow, by=3).ratio)

    def test_a_function_that_is_not_so_much_faster(self) -> None:
        """The message has the ratio, its interval, the times and the noise."""
        quick = self.function("quick", 0.001, 0.00102, 0.001, 0.00098)
        slow = self.function("Cache.slow", 0.0012)
        with self.assertRaises(AssertionError) as caught:
            self.monitor.assert_faster(quick, slow, by=1.5)
        self.assertRegex(
            str(caught.exception),
            r"^quick is not 1.5 times as fast as Cache.slow: Cache.slow takes 1.2\d\d times as "
            r"long \(1.1\d\d to 1.2\d\d, in 12 rounds in alternation\)\n"
            r"  quick: 1 ms a call\n"
            r"  Cache.slow: 1.2 ms a call\n"
            r"  noise: the ratio of quick to itself is 0.9\d\d to 1.0\d\d$",
        )

    def test_a_function_that_is_slower(self) -> None:
        """The ratio of a slower function is below 1."""
        slow, quick = self.function("slow", 0.02), self.function("quick", 0.01)
        with self.assertRaisesRegex(
            AssertionError, "^slow is not 1 times as fast as quick: quick takes 0.500 times"
        ):
            self.monitor.assert_faster(slow, quick)

    def test_what_cannot_be_told(self) -> None:
        """If the interval contains the required ratio, the comparison fails and says so."""
        generator = random.Random(1)

        def a() -> None:
            self.clock.take(generator.uniform(0.001, 0.0012))

        def b() -> None:
            self.clock.take(generator.uniform(0.001, 0.0012))

        with self.assertRaisesRegex(
            AssertionError,
            r"^a could not be shown to be 1 times as fast as b: b takes \d\.\d+ times as long "
            r"\(0\.99\d to 1\.0\d\d, in 768 rounds in alternation\)",
        ):
            self.monitor.assert_faster(a, b)

    def test_a_deadline(self) -> None:
        """After the timeout, the rounds so far decide."""
        moments = itertools.count(0, 10)
        a, b = self.function("a", 0.1), self.function("b", 0.2)
        with (
            mock.patch("itf.performance.comparison.time.monotonic", lambda: next(moments)),
            self.assertRaisesRegex(
                AssertionError,
                r"^a could not be shown within 35 s to be 1.5 times as fast as b: b takes "
                r"2.000 times as long \(0.000 to inf, in 4 rounds",
            ),
        ):
            self.monitor.assert_faster(a, b, by=1.5, timeout=35)

    def test_a_short_function_is_called_in_a_loop(self) -> None:
        """Each short function is called as often as a measurement needs."""
        calls = {"a": 0, "b": 0}

        def a() -> None:
            calls["a"] += 1
            self.clock.now += 100

        def b() -> None:
            calls["b"] += 1
            self.clock.take(0.01)

        found = self.monitor.assert_faster(a, b, by=100)
        self.assertAlmostEqual(1e5, found.ratio)
        self.assertGreater(calls["a"], 12 * 2000)
        self.assertEqual(1 + 1 + 12, calls["b"])

    def test_a_clock_that_stands_still(self) -> None:
        """Functions that take no time by the clock are an error."""
        with (
            mock.patch("itf.performance.comparison._MAX_CALLS", 8),
            self.assertRaises(TimingError) as caught,
        ):
            self.monitor.assert_faster(self.function("nothing", 0), self.function("b", 1))
        self.assertEqual(
            "failed to time nothing: the clock did not advance during 8 calls",
            str(caught.exception),
        )

    def test_a_function_that_takes_no_time_any_more(self) -> None:
        """A function that becomes too fast for the clock is an error."""
        times = iter([1, 1])
        with self.assertRaisesRegex(
            TimingError, "^failed to time cached: the clock did not advance"
        ):

            def cached() -> None:
                self.clock.take(next(times, 0))

            cached.__qualname__ = "cached"
            self.monitor.assert_faster(cached, self.function("b", 1))

    def test_what_a_function_raises_comes_out(self) -> None:
        """An error of a function is raised, and the garbage collector is enabled again."""

        def broken() -> None:
            self.assertFalse(gc.isenabled())
            raise KeyError("key")

        with self.assertRaises(KeyError):
            self.monitor.assert_faster(self.function("a", 1), broken)
        self.assertTrue(gc.isenabled())

    def test_a_collector_that_was_off_stays_off(self) -> None:
        """A disabled garbage collector stays disabled."""
        gc.disable()
        self.addCleanup(gc.enable)
        self.monitor.assert_faster(self.function("a", 1), self.function("b", 2))
        self.assertFalse(gc.isenabled())

    def test_mistakes(self) -> None:
        """The error about a wrong argument says what the argument must be."""
        a, b = self.function("a", 1), self.function("b", 2)
        for call, kind, message in (
            (lambda: self.monitor.assert_faster(3, b), TypeError, "a must be a function, got 3"),
            (lambda: self.monitor.assert_faster(a, None), TypeError, "b must be a function"),
            (
                lambda: self.monitor.assert_faster(a, b, by="2"),
                TypeError,
                "by must be a number, got '2'",
            ),
            (
                lambda: self.monitor.assert_faster(a, b, by=0),
                ValueError,
                "by must be above 0, got 0",
            ),
            (lambda: self.monitor.assert_faster(a, b, by=float("nan")), ValueError, "got nan"),
            (lambda: self.monitor.assert_faster(a, b, timeout=-1), ValueError, "timeout must be"),
        ):
            with self.subTest(message), self.assertRaisesRegex(kind, message):
                call()
