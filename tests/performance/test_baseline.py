from __future__ import annotations

import os
import pathlib
import pickle
import tempfile
from typing import Any
from unittest import mock, skipUnless

from itf import performance_monitor
from itf.exceptions import FormatError, TimingError
from itf.fixtures.performance import PerformanceMonitor
from tests.performance.clock import ClockTestCase
from tests.support import run_script


class BaselineTestCase(ClockTestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "perf.json"

    def monitor_of(self, **operations: list[float]) -> PerformanceMonitor:
        """Return a monitor with operations that took these milliseconds."""
        monitor = performance_monitor()
        for operation, times in operations.items():
            for milliseconds in times:
                with monitor.measure(operation):
                    self.clock.take(milliseconds / 1000)
        return monitor


def around(milliseconds: float, count: int = 50) -> list[float]:
    """Return this many times, each up to 10% longer than the given one."""
    return [milliseconds * (1 + number / count / 10) for number in range(count)]


class CompareTest(BaselineTestCase):
    def test_the_first_run_writes_the_file(self) -> None:
        """The first run compares nothing and writes all samples to the file."""
        monitor = self.monitor_of(parse=around(10), load=[3])
        self.assertEqual([], monitor.compare_to(self.file))
        self.assertEqual([self.file], list(self.folder.iterdir()))
        again = performance_monitor.from_json(self.file.read_text("ascii"))
        self.assertEqual(monitor.to_json(), again.to_json())
        self.assertEqual(
            [{"baseline": os.path.realpath(self.file), "action": "written"}],
            [event["data"] for event in monitor.timeline.events("timing")][2:],
        )

    def test_the_same_again(self) -> None:
        """A second run with similar times passes and does not change the file."""
        self.monitor_of(parse=around(10)).compare_to(self.file)
        before = self.file.read_bytes()
        for path in (self.file, str(self.file), os.fsencode(self.file).decode()):
            (change,) = self.monitor_of(parse=around(10)).compare_to(path, tolerance=0)
            self.assertEqual(("parse", (50, 50)), (change.operation, change.counts))
            self.assertFalse(change.is_slower)
        self.assertEqual(before, self.file.read_bytes())

    def test_slower_within_the_tolerance(self) -> None:
        """A run passes if it is slower within the tolerance, or faster."""
        self.monitor_of(parse=around(10)).compare_to(self.file)
        for now in (10.9, 10, 1):
            self.monitor_of(parse=around(now)).compare_to(self.file, tolerance=0.1)

    def test_slower(self) -> None:
        """The message names the slower operation, both medians, the p-value and the remedy."""
        self.monitor_of(parse=around(10), load=around(1), other=[3]).compare_to(self.file)
        monitor = self.monitor_of(load=around(1), parse=around(13))
        with self.assertRaises(AssertionError) as caught:
            monitor.compare_to(self.file)
        self.assertRegex(
            str(caught.exception),
            rf"^1 operation became slower than in {os.path.realpath(self.file)}:\n"
            r"  'parse': 13.6 ms now, 10.5 ms in the baseline "
            r"\(medians, 1.3 times as long, 1.1 allowed; "
            r"50 samples against 50, p = \d(\.\d)?e-\d+\)\n"
            "if this is intended, delete the file to have the next run write it$",
        )

    def test_some_very_long_samples_do_not_decide(self) -> None:
        """Three very long samples among fifty do not make an operation slower."""
        self.monitor_of(parse=around(10)).compare_to(self.file)
        self.monitor_of(parse=[*around(10, 47), 9000, 9000, 9000]).compare_to(self.file)

    def test_too_few_samples_say_nothing(self) -> None:
        """With four samples on each side no operation is slower; with five it may be."""
        self.monitor_of(parse=[1, 2, 3, 4]).compare_to(self.file)
        self.monitor_of(parse=[11, 12, 13, 14]).compare_to(self.file)
        self.file.unlink()
        self.monitor_of(parse=[1, 2, 3, 4, 5]).compare_to(self.file)
        with self.assertRaises(AssertionError):
            self.monitor_of(parse=[11, 12, 13, 14, 15]).compare_to(self.file)

    def test_nothing_in_common(self) -> None:
        """The error lists the operations of both sides."""
        with self.assertRaisesRegex(TimingError, "^no operation was timed that could be compared"):
            performance_monitor().compare_to(self.file)
        self.monitor_of(parse=[1]).compare_to(self.file)
        with self.assertRaises(TimingError) as caught:
            self.monitor_of(load=[1]).compare_to(self.file)
        self.assertEqual(
            f"no operation that was timed ('load') is in {os.path.realpath(self.file)} ('parse'); "
            "delete the file to have the next run write it",
            str(caught.exception),
        )

    def test_a_file_that_is_something_else(self) -> None:
        """A file that is not a baseline is an error; it is neither executed nor overwritten."""
        ran = self.folder / "ran"

        class Bomb:
            def __reduce__(self) -> tuple[Any, ...]:
                return (open, (str(ran), "w"))

        good = self.monitor_of(parse=[1]).to_json().encode()
        for content, message in (
            (b"", "invalid JSON"),
            (good[: len(good) // 2], "invalid JSON"),
            (pickle.dumps(Bomb()), "it is not UTF-8 text"),
            (pickle.dumps(Bomb(), protocol=0), "invalid JSON"),
            (b'{"kind": "pytest-benchmark"}', "the text is not an object with kind 'itf timings'"),
        ):
            self.file.write_bytes(content)
            with self.subTest(message), self.assertRaises(FormatError) as caught:
                self.monitor_of(parse=[1]).compare_to(self.file)
            self.assertIn(
                f"{os.path.realpath(self.file)} is not a baseline: ", str(caught.exception)
            )
            self.assertIn(message, str(caught.exception))
            self.assertEqual(content, self.file.read_bytes())
        self.assertFalse(ran.exists())

    def test_mistakes(self) -> None:
        """The error about a wrong argument says what the argument must be."""
        monitor: Any = self.monitor_of(parse=[1])
        for call, kind, message in (
            (lambda: monitor.compare_to(3), TypeError, "baseline_file must be a path, got 3"),
            (
                lambda: monitor.compare_to(self.file, "10%"),
                TypeError,
                "tolerance must be a number, got",
            ),
            (
                lambda: monitor.compare_to(self.file, -0.1),
                ValueError,
                "tolerance must be at least 0, got -0.1",
            ),
        ):
            with self.subTest(message), self.assertRaisesRegex(kind, message):
                call()
        self.assertFalse(self.file.exists())
        with self.assertRaises(IsADirectoryError):
            monitor.compare_to(self.folder)


class WritingTest(BaselineTestCase):
    def test_a_folder_that_is_not_there(self) -> None:
        """The OSError has a note that names the baseline."""
        path = self.folder / "missing" / "perf.json"
        with self.assertRaises(FileNotFoundError) as caught:
            self.monitor_of(parse=[1]).compare_to(path)
        self.assertEqual(
            [f"failed to write the baseline {os.path.realpath(path)}; the file is unchanged"],
            caught.exception.__notes__,
        )

    def test_an_error_in_the_middle_leaves_nothing(self) -> None:
        """After a failure there is neither a baseline nor a temporary file."""
        for broken in ("fsync", "replace"):
            with (
                mock.patch(
                    f"itf.performance.baseline.os.{broken}", side_effect=OSError(28, "full")
                ),
                self.assertRaises(OSError),
            ):
                self.monitor_of(parse=[1]).compare_to(self.file)
            self.assertEqual([], list(self.folder.iterdir()))

    @skipUnless(hasattr(os, "fork"), "needs resource limits")
    def test_a_full_disk(self) -> None:
        """If the file cannot be written completely, there is an error and no file."""
        done = run_script(
            """
import os, resource, signal, sys
from itf import performance_monitor
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
monitor = performance_monitor()
for number in range(100):
    with monitor.measure(f"operation {number}"): pass
try:
    monitor.compare_to(sys.argv[1])
except OSError as error:
    print(type(error).__name__, "the file is unchanged" in error.__notes__[0])
""",
            str(self.file),
        )
        self.assertEqual(("OSError True\n", ""), (done.stdout, done.stderr))
        self.assertEqual([], list(self.folder.iterdir()))

    def test_a_link(self) -> None:
        """If the path is a symbolic link, its target is written and the link stays."""
        link = self.folder / "link.json"
        link.symlink_to(self.file)
        self.monitor_of(parse=[1]).compare_to(link)
        self.assertTrue(link.is_symlink())
        self.assertTrue(self.file.is_file())
