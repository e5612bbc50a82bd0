from __future__ import annotations

import json
from typing import Any

from itf import performance_monitor
from itf.exceptions import FormatError
from itf.fixtures.performance import PerformanceMonitor
from itf.performance.table import bytes_text, seconds_text
from tests.performance.clock import ClockTestCase


class ReportTestCase(ClockTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.monitor = performance_monitor()

    def time(self, operation: str, *seconds: float) -> None:
        for each in seconds:
            with self.monitor.measure(operation):
                self.clock.take(each)


class TableTest(ReportTestCase):
    def test_the_table(self) -> None:
        """The table has one line for each operation, with a histogram from min to max."""
        self.time("parse", *[0.001] * 8, 0.004, 0.016)
        self.time("load everything", 2.0)
        lines = self.monitor.report().splitlines()
        self.assertEqual(
            ["operation", "count", "total", "average", "min", "p50", "p99", "max", "1/s"],
            lines[0].split(),
        )
        self.assertEqual({"-"}, set(lines[1]))
        self.assertEqual(
            "parse               10  28 ms   2.8 ms  1 ms  1 ms  16 ms  16 ms  357  "
            "|█           ▁          ▁|",
            lines[2],
        )
        self.assertTrue(lines[3].startswith("load everything      1    2 s "), lines[3])
        self.assertTrue(lines[3].endswith("|█                       |"), lines[3])

    def test_no_timings(self) -> None:
        """Without samples the table says so."""
        self.assertEqual("no timings", self.monitor.report())

    def test_times_of_zero(self) -> None:
        """Samples of 0 ns are part of the table."""
        self.time("nothing", 0, 0, 1)
        self.assertIn("|█                      ▄|", self.monitor.report())

    def test_a_name_that_would_break_the_table(self) -> None:
        """A name with control characters is shown as its repr."""
        self.time("two\nlines", 1)
        self.assertIn("\n'two\\nlines' ", self.monitor.report())

    def test_units(self) -> None:
        """Each number has a suitable unit."""
        for seconds, text in (
            (0, "0 ns"),
            (2.5e-9, "2.5 ns"),
            (1.234e-5, "12.3 µs"),
            (0.5, "500 ms"),
            (75.0, "75 s"),
            (12345.0, "12345 s"),
        ):
            self.assertEqual(text, seconds_text(seconds))
        for count, text in ((0, "0 B"), (-2048, "-2.0 KiB"), (3 << 20, "3.0 MiB")):
            self.assertEqual(text, bytes_text(count))


class JsonTest(ReportTestCase):
    def test_there_and_back(self) -> None:
        """A monitor from JSON has equal statistics; percentiles may differ by 0.4%."""
        self.time("parse", *[number / 997 for number in range(1, 3000)])
        self.time("ünïcode \ud800", 0.25)
        again = PerformanceMonitor.from_json(self.monitor.to_json())
        self.assertEqual(self.monitor.to_json(), again.to_json())
        self.assertEqual(self.monitor.get_all_stats(), again.get_all_stats())
        self.assertEqual(["parse", "ünïcode \ud800"], list(again.get_all_stats()))

    def test_it_is_strict_json_in_ascii(self) -> None:
        """The JSON is strict and ASCII only."""
        self.time("ü", 1, 0)
        text = self.monitor.to_json()
        self.assertTrue(text.isascii())
        data = json.loads(text, parse_constant=self.fail)
        self.assertEqual(("itf timings", 1), (data["kind"], data["schema"]))
        self.assertEqual(2, data["operations"]["\u00fc"]["time"]["count"])

    def test_a_monitor_that_was_read_goes_on(self) -> None:
        """New timings are added to those from JSON."""
        self.time("parse", 1, 2)
        again = performance_monitor.from_json(self.monitor.to_json())
        with again.measure("parse"):
            self.clock.take(6)
        stats = again.get_stats("parse")
        self.assertEqual(
            (3, 9.0, 6.0, 3 / 9),
            tuple(
                stats[key]
                for key in ("count", "total", "max", "throughput")  # type: ignore[literal-required]
            ),
        )

    def test_merge(self) -> None:
        """merge adds the samples of another monitor, by operation."""
        self.time("parse", 1, 2)
        other = performance_monitor()
        for operation in ("parse", "load"):
            with other.measure(operation):
                self.clock.take(3)
        self.monitor.merge(other)
        self.assertEqual(
            {"parse": (3, 6.0, 3.0), "load": (1, 3.0, 3.0)},
            {
                name: (stats["count"], stats["total"], stats["max"])
                for name, stats in self.monitor.get_all_stats().items()
            },
        )
        self.assertEqual(1, other.get_stats("parse")["count"])

    def test_mistakes_of_merge(self) -> None:
        """Only another monitor can be merged."""
        anything: Any = {"parse": 3}
        with self.assertRaisesRegex(TypeError, "^merge needs a performance_monitor, got {'parse"):
            self.monitor.merge(anything)
        with self.assertRaisesRegex(ValueError, "cannot be merged with itself"):
            self.monitor.merge(self.monitor)

    def test_what_is_no_json_of_ours(self) -> None:
        """The error about a wrong text names the wrong part."""
        self.time("parse", 1, 2)
        good = self.monitor.to_json()

        def changed(*path: str, value: Any) -> str:
            data = json.loads(good)
            inner = data
            for key in path[:-1]:
                inner = inner[key]
            if value is None:
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
            return json.dumps(data)

        time = ("operations", "parse", "time")
        for text, message in (
            ("", "invalid JSON"),
            ("[" * 100_000, "invalid JSON"),
            ("[1]", "the text is not an object with kind 'itf timings'"),
            ('{"kind": "other"}', "the text is not an object with kind 'itf timings'"),
            (changed("schema", value=2), "schema is 2; this version of itf reads 1"),
            (changed("operations", value=[]), "operations is not an object"),
            (changed("operations", "parse", value=3), "operation 'parse' has no 'time'"),
            (changed(*time, value=None), "operation 'parse' has no 'time'"),
            (changed("operations", "parse", "elapsed_ns", value=-1), "elapsed_ns is -1"),
            (changed("operations", "parse", "elapsed_ns", value=10**400), "elapsed_ns is 10000"),
            (changed(*time, "squares", value=10**400), "squares is 10000"),
            (changed(*time, "count", value=3), "count is 3, but the buckets hold 2"),
            (changed(*time, "count", value=True), "count is True"),
            (changed(*time, "total", value=1.5), "total is 1.5"),
            (changed(*time, "total", value=9 * 10**9), "contradict each other"),
            (changed(*time, "squares", value=1), "contradict each other"),
            (changed(*time, "min", value=None), "min is None"),
            (changed(*time, "buckets", value={}), "count is 2, but the buckets hold 0"),
            (changed(*time, "buckets", value={"x": 2}), "'x' is not a bucket"),
            (changed(*time, "buckets", value={"99999": 2}), "99999 is not a bucket"),
            (changed(*time, "buckets", value={str(0x7F80): 2}), "32640 is not a bucket"),
            (changed(*time, "buckets", value={"5": -2}), "bucket 5 is -2"),
            (changed(*time, "buckets", value=None), "parse', time has no buckets"),
        ):
            with self.subTest(message), self.assertRaises(FormatError) as caught:
                performance_monitor.from_json(text)
            self.assertIn(message, str(caught.exception))
            self.assertTrue(str(caught.exception).startswith("not the timings of itf: "))

    def test_from_json_takes_a_text(self) -> None:
        """Bytes are a TypeError."""
        anything: Any = b"{}"
        with self.assertRaisesRegex(TypeError, "^from_json needs a str, got b'{}'$"):
            performance_monitor.from_json(anything)
