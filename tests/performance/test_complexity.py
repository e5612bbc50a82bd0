from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf import performance_monitor
from itf.exceptions import TimingError
from itf.performance.complexity import CLASSES, fit
from tests.performance.clock import ClockTestCase

SIZES = [100, 200, 400, 800, 1600, 3200]

# For each class, a function of the size that returns seconds.
GROWTHS: dict[str, Callable[[int], float]] = {
    "1": lambda n: 0.02,
    "log n": lambda n: 0.001 * math.log(n),
    "n": lambda n: 0.01 + 0.00002 * n,
    "n log n": lambda n: 0.00001 * n * math.log(n),
    "n^2": lambda n: 0.001 + 1e-7 * n * n,
    "n^3": lambda n: 1e-9 * n**3,
}


class ScalingTestCase(ClockTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.monitor = performance_monitor()

    def function(
        self, seconds: Callable[[int], float], name: str = "work"
    ) -> Callable[[int], None]:
        def run(size: int) -> None:
            self.clock.take(seconds(size))

        run.__qualname__ = name
        return run


class AssertScalesTest(ScalingTestCase):
    def test_each_class_is_known(self) -> None:
        """Times of each class are recognized, and pass with it and all larger classes."""
        names = list(CLASSES)
        for name, seconds in GROWTHS.items():
            function = self.function(seconds)
            for allowed in names:
                with self.subTest(name, allowed=allowed):
                    if names.index(allowed) >= names.index(name):
                        growth = self.monitor.assert_scales(function, SIZES, at_most=allowed)
                        self.assertEqual(name, growth.name)
                    else:
                        with self.assertRaises(AssertionError):
                            self.monitor.assert_scales(function, SIZES, at_most=allowed)

    def test_exponential_growth(self) -> None:
        """Exponential times are recognized."""
        function = self.function(lambda n: 1e-6 * 2**n)
        self.assertEqual(
            "2^n", self.monitor.assert_scales(function, [2, 5, 8, 11, 14], at_most="2^n").name
        )
        with self.assertRaises(AssertionError):
            self.monitor.assert_scales(function, [2, 5, 8, 11, 14], at_most="n^3")

    def test_the_message(self) -> None:
        """The message has the class, all points, the predictions and the errors of the fits."""
        function = self.function(lambda n: 1e-7 * n * n, "Index.build")
        with self.assertRaises(AssertionError) as caught:
            self.monitor.assert_scales(function, [100, 200, 400, 800], at_most="n log n")
        lines = str(caught.exception).splitlines()
        self.assertEqual("Index.build grows like n^2, faster than n log n:", lines[0])
        self.assertEqual(["n", "measured", "n^2", "n", "log", "n"], lines[1].split())
        self.assertEqual(["100", "1", "ms", "1", "ms"], lines[2].split()[:5])
        self.assertEqual(["800", "64", "ms", "64", "ms"], lines[5].split()[:5])
        self.assertRegex(
            lines[6],
            r"^  average error 0.0% as n\^2, \d\d.\d% as n log n; "
            "profile the function with the largest size$",
        )

    def test_one_round_that_was_held_up(self) -> None:
        """The minimum of all rounds counts."""
        late = iter([0.0] * 7 + [5.0] + [0.0] * 100)
        function = self.function(lambda n: 1e-3 * n + next(late))
        self.assertEqual("n", self.monitor.assert_scales(function, SIZES, at_most="n").name)

    def test_one_size_that_is_off_in_every_round(self) -> None:
        """One outlier among six sizes is ignored."""
        function = self.function(lambda n: 1e-3 * n * (3 if n == 800 else 1))
        self.assertEqual("n", self.monitor.assert_scales(function, SIZES, at_most="n").name)

    def test_noise(self) -> None:
        """With 10% noise, a linear function is not taken for a quadratic one."""
        for seed in range(30):
            generator = random.Random(seed)
            function = self.function(lambda n, g=generator: 1e-4 * n * g.uniform(1, 1.1))  # type: ignore[misc]
            self.monitor.assert_scales(function, SIZES, at_most="n log n")
            square = self.function(lambda n, g=generator: 1e-7 * n * n * g.uniform(1, 1.1))  # type: ignore[misc]
            with self.assertRaises(AssertionError):
                self.monitor.assert_scales(square, SIZES, at_most="n log n")

    def test_setup_is_not_timed_and_is_called_before_each_call(self) -> None:
        """The function gets what setup returns, once for each call."""
        made: list[list[int]] = []

        def setup(size: int) -> list[int]:
            self.clock.take(100.0)
            made.append([size])
            return made[-1]

        def function(value: list[int]) -> None:
            self.clock.take(1e-3 * value.pop())

        growth = self.monitor.assert_scales(function, SIZES, at_most="n", setup=setup, rounds=2)
        self.assertEqual("n", growth.name)
        self.assertEqual(2 * len(SIZES), len(made))
        self.assertEqual(SIZES, growth.sizes)
        self.assertEqual([size / 1000 for size in SIZES], growth.seconds)

    def test_sizes_in_any_order_and_iterable(self) -> None:
        """Sizes may be any iterable; duplicates count once."""
        growth = self.monitor.assert_scales(
            self.function(lambda n: 1.0), iter([40, 10, 20, 10, 80]), at_most="1"
        )
        self.assertEqual([10, 20, 40, 80], growth.sizes)

    def test_names_of_classes(self) -> None:
        """at_most accepts common spellings of a class."""
        function = self.function(lambda n: 1.0)
        for name in ("O(n)", "n**2", "n²", "n  log n", "O(n log n)", "n³"):
            self.assertEqual("1", self.monitor.assert_scales(function, SIZES, at_most=name).name)

    def test_a_deadline_before_every_size_was_timed(self) -> None:
        """The timeout error names the size that was not reached."""
        moments = iter(range(0, 1000, 10))
        with (
            mock.patch("itf.performance.complexity.time.monotonic", lambda: next(moments)),
            self.assertRaises(TimingError) as caught,
        ):
            self.monitor.assert_scales(self.function(lambda n: 1.0), SIZES, timeout=25)
        self.assertEqual(
            "failed to find the complexity of work: it was not called with size 400 within 25 s; "
            "use smaller sizes",
            str(caught.exception),
        )

    def test_mistakes(self) -> None:
        """The error about a wrong argument says what the argument must be."""
        good = self.function(lambda n: 1.0)
        scales: Any = self.monitor.assert_scales
        for call, kind, message in (
            (lambda: scales(None, SIZES), TypeError, "function must be a function, got None"),
            (lambda: scales(good, 5), TypeError, "sizes must be integers, got 5"),
            (lambda: scales(good, [1, 2, 3, "4"]), TypeError, "a size must be an int, got '4'"),
            (lambda: scales(good, [1, 2, 3]), ValueError, "sizes must be at least 4"),
            (lambda: scales(good, [0, 1, 2, 3]), ValueError, "sizes must be at least 4"),
            (lambda: scales(good, [10, 11, 12, 13]), ValueError, "at least 4 times the smallest"),
            (
                lambda: scales(good, SIZES, at_most="fast"),
                ValueError,
                "unknown at_most 'fast'; choose one of 1, ",
            ),
            (
                lambda: scales(good, SIZES, at_most=2),
                ValueError,
                "unknown at_most 2; choose one of 1, ",
            ),
            (lambda: scales(good, SIZES, rounds=0), ValueError, "rounds must be at least 1, got 0"),
            (lambda: scales(good, SIZES, setup=3), TypeError, "setup must be a function, got 3"),
            (
                lambda: scales(good, SIZES, timeout="1"),
                TypeError,
                "timeout must be a number, got '1'",
            ),
        ):
            with self.subTest(message), self.assertRaisesRegex(kind, message):
                call()


class FitTest(ScalingTestCase):
    def test_neither_part_is_negative(self) -> None:
        """Times that fall with the size are constant."""
        name, fits = fit([10, 20, 40, 80], [4.0, 3.0, 2.0, 1.0], 0.0)
        self.assertEqual("1", name)
        self.assertTrue(all(each.fixed >= 0 and each.factor >= 0 for each in fits.values()))

    def test_huge_sizes(self) -> None:
        """Sizes for which 2^n overflows are accepted."""
        sizes = [10**6, 10**7, 10**8, 10**9]
        name, _ = fit(sizes, [size * 1e-9 for size in sizes], 0.0)
        self.assertEqual("n", name)
