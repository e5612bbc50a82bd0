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
from tests.measures.clock import ClockTestCase
from tests.support import run_script


class BaselineTestCase(ClockTestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "perf.json"

    def monitor_of(self, **operations: list[float]) -> PerformanceMonitor:
        """Return a monitor in which operations took these ms."""
        monitor = performance_monitor()
        for operation, times in operations.items():
            for milliseconds in times:
                with monitor.measure(operation):
                    self.clock.take(milliseconds / 1000)
        return monitor


def around(milliseconds: float, count: int = 50) -> list[float]:
    """Return so many times, up to 10% longer."""
    return [milliseconds * (1 + number / count / 10) for number in range(count)]


class CompareTest(BaselineTestCase):
    def test_the_first_run_writes_the_file(self) -> None:
        """It compares nothing, and the file holds all samples."""
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
        """A run like the first passes, and the file stays as it is."""
        self.monitor_of(parse=around(10)).compare_to(self.file)
        before = self.file.read_bytes()
        for path in (self.file, str(self.file), os.fsencode(self.file).decode()):
            (change,) = self.monitor_of(parse=around(10)).compare_to(path, tolerance=0)
            self.assertEqual(("parse", (50, 50)), (change.operation, change.counts))
            self.assertFalse(change.is_slower)
        self.assertEqual(before, self.file.read_bytes())

    def test_slower_within_the_tolerance(self) -> None:
        """So much is allowed, and faster always is."""
        self.monitor_of(parse=around(10)).compare_to(self.file)
        for now in (10.9, 10, 1):
            self.monitor_of(parse=around(now)).compare_to(self.file, tolerance=0.1)

    def test_slower(self) -> None:
        """The message has what is slower, by how much, how sure that is, and what to do."""
        self.monitor_of(parse=around(10), load=around(1), other=[3]).compare_to(self.file)
        monitor = self.monitor_of(load=around(1), parse=around(13))
        with self.assertRaises(AssertionError) as caught:
            monitor.compare_to(self.file)
        self.assertRegex(
            str(caught.exception),
            rf"^1 operation became slower than in {os.path.realpath(self.file)}:\n"
            r"  'parse': 13.6 ms now, 10.5 ms then \(medians, 1.3 times as long, 1.1 allowed; "
            r"50 samples against 50, chance explains it with p = \d(\.\d)?e-\d+\)\n"
            "if that is meant, delete the file, and the next run writes it anew$",
        )

    def test_some_very_long_samples_do_not_decide(self) -> None:
        """Ranks count: three pauses in fifty samples are no slower operation."""
        self.monitor_of(parse=around(10)).compare_to(self.file)
        self.monitor_of(parse=[*around(10, 47), 9000, 9000, 9000]).compare_to(self.file)

    def test_too_few_samples_say_nothing(self) -> None:
        """Four against four cannot be told from chance; five can."""
        self.monitor_of(parse=[1, 2, 3, 4]).compare_to(self.file)
        self.monitor_of(parse=[11, 12, 13, 14]).compare_to(self.file)
        self.file.unlink()
        self.monitor_of(parse=[1, 2, 3, 4, 5]).compare_to(self.file)
        with self.assertRaises(AssertionError):
            self.monitor_of(parse=[11, 12, 13, 14, 15]).compare_to(self.file)

    def test_nothing_in_common(self) -> None:
        """An error says what is on either side."""
        with self.assertRaisesRegex(TimingError, "^nothing was timed that could be compared"):
            performance_monitor().compare_to(self.file)
        self.monitor_of(parse=[1]).compare_to(self.file)
        with self.assertRaises(TimingError) as caught:
            self.monitor_of(load=[1]).compare_to(self.file)
        self.assertEqual(
            f"nothing that was timed ('load') is in {os.path.realpath(self.file)} ('parse'); "
            "delete it, and the next run writes a new one",
            str(caught.exception),
        )

    def test_a_file_that_is_something_else(self) -> None:
        """It is told, never executed, and never overwritten."""
        ran = self.folder / "ran"

        class Bomb:
            def __reduce__(self) -> tuple[Any, ...]:
                return (open, (str(ran), "w"))

        good = self.monitor_of(parse=[1]).to_json().encode()
        for content, message in (
            (b"", "not JSON"),
            (good[: len(good) // 2], "not JSON"),
            (pickle.dumps(Bomb()), "it is no text"),
            (pickle.dumps(Bomb(), protocol=0), "not JSON"),
            (b'{"kind": "pytest-benchmark"}', "no object with kind 'itf timings'"),
        ):
            self.file.write_bytes(content)
            with self.subTest(message), self.assertRaises(FormatError) as caught:
                self.monitor_of(parse=[1]).compare_to(self.file)
            self.assertIn(f"{os.path.realpath(self.file)} is no baseline: ", str(caught.exception))
            self.assertIn(message, str(caught.exception))
            self.assertEqual(content, self.file.read_bytes())
        self.assertFalse(ran.exists())

    def test_mistakes(self) -> None:
        """Each argument says what it should be."""
        monitor: Any = self.monitor_of(parse=[1])
        for call, kind, message in (
            (lambda: monitor.compare_to(3), TypeError, "baseline_file is a path, got 3"),
            (lambda: monitor.compare_to(self.file, "10%"), TypeError, "tolerance is a number, got"),
            (lambda: monitor.compare_to(self.file, -0.1), ValueError, "tolerance is a part of the"),
        ):
            with self.subTest(message), self.assertRaisesRegex(kind, message):
                call()
        self.assertFalse(self.file.exists())
        with self.assertRaises(IsADirectoryError):
            monitor.compare_to(self.folder)


class WritingTest(BaselineTestCase):
    def test_a_folder_that_is_not_there(self) -> None:
        """The error is the system's, with what was being done as a note."""
        path = self.folder / "missing" / "perf.json"
        with self.assertRaises(FileNotFoundError) as caught:
            self.monitor_of(parse=[1]).compare_to(path)
        self.assertEqual(
            [f"while the baseline {os.path.realpath(path)} was being written; nothing of it was"],
            caught.exception.__notes__,
        )

    def test_an_error_in_the_middle_leaves_nothing(self) -> None:
        """Neither half a baseline nor a temporary file."""
        for broken in ("fsync", "replace"):
            with (
                mock.patch(f"itf.measures.baseline.os.{broken}", side_effect=OSError(28, "full")),
                self.assertRaises(OSError),
            ):
                self.monitor_of(parse=[1]).compare_to(self.file)
            self.assertEqual([], list(self.folder.iterdir()))

    @skipUnless(hasattr(os, "fork"), "needs resource limits")
    def test_a_full_disk(self) -> None:
        """A file that cannot grow is as if there were no room: an error, and no file."""
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
    print(type(error).__name__, "nothing of it was" in error.__notes__[0])
""",
            str(self.file),
        )
        self.assertEqual(("OSError True\n", ""), (done.stdout, done.stderr))
        self.assertEqual([], list(self.folder.iterdir()))

    def test_a_link(self) -> None:
        """The file that a link leads to is written, and the link stays."""
        link = self.folder / "link.json"
        link.symlink_to(self.file)
        self.monitor_of(parse=[1]).compare_to(link)
        self.assertTrue(link.is_symlink())
        self.assertTrue(self.file.is_file())
