"""Where the chunker's time goes: which phases run, how often, and how they add up."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import unittest
from collections.abc import Iterator
from typing import Any
from unittest import mock

from itf import IntegrationTestCase, fixture
from tests.examples.chunker import chunk_files, chunker, parallel
from tests.examples.program import configure, sources


@contextlib.contextmanager
def time_phases(performance_monitor: Any) -> Iterator[Any]:
    """Time the phases of the program, each where the module above it calls it."""

    def timed(module: Any, name: str) -> Any:
        function = getattr(module, name)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with performance_monitor.measure(name):
                return function(*args, **kwargs)

        return mock.patch.object(module, name, call)

    with (
        timed(parallel, "read_source"),
        timed(chunker, "parse"),
        timed(parallel, "chunk_source"),
    ):
        yield performance_monitor


class PhaseTest(IntegrationTestCase):
    """Every file goes through every phase once, and no phase takes longer than what holds it."""

    phases = fixture(time_phases)

    def test_each_file_is_read_parsed_and_chunked_once(self, phases: Any) -> None:
        """In threads, too, where several files are in one phase at the same time."""
        paths = sources("json", "unittest")
        for number, mode in enumerate(("serial", "threads"), 1):
            chunk_files(paths, configure(mode))
            counts = {name: stats["count"] for name, stats in phases.get_all_stats().items()}
            expected = dict.fromkeys(("read_source", "parse", "chunk_source"), number * len(paths))
            self.assertEqual(expected, counts)

    def test_phases_are_within_the_run_that_they_are_part_of(self, phases: Any) -> None:
        """Parsing is part of chunking, chunking of a file's seconds, and these of the run."""
        with phases.measure("run"):
            results = chunk_files(sources("json"), configure())
        parse, chunk, whole = map(phases.get_stats, ("parse", "chunk_source", "run"))
        self.assertLessEqual(parse["min"], parse["average"])
        self.assertLessEqual(parse["average"], parse["max"])
        self.assertLessEqual(parse["total"], chunk["total"])
        self.assertLessEqual(chunk["total"], sum(result.seconds for result in results))
        self.assertLessEqual(sum(result.seconds for result in results), whole["total"])

    def test_a_cached_run_parses_nothing(self, phases: Any) -> None:
        """The second run reads every file and asks the parser for none."""
        config = configure(cache=self.temp_workspace / "cache")
        paths = sources("json")
        chunk_files(paths, config)
        chunk_files(paths, config)
        self.assertEqual(len(paths), phases.get_stats("parse")["count"])
        self.assertEqual(2 * len(paths), phases.get_stats("read_source")["count"])

    def test_a_file_that_cannot_be_parsed_is_timed_as_well(self, phases: Any) -> None:
        """A phase that fails took its time, and so did its file."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")
        (result,) = chunk_files([broken], configure("threads"), keep_going=True)
        self.assertEqual(1, phases.get_stats("parse")["count"])
        self.assertLessEqual(phases.get_stats("parse")["total"], result.seconds)

    @unittest.skipUnless(
        multiprocessing.get_all_start_methods()[0] == "fork",  # the first is the default
        "the phases are wrapped in this process alone",
    )
    def test_worker_processes_time_for_the_test(self, phases: Any) -> None:
        """What happens in a worker is on the test's account, and takes part of its seconds."""
        paths = sources("json")
        results = chunk_files(paths, configure("processes"))
        parse = phases.get_stats("parse")
        self.assertEqual(len(paths), parse["count"])
        self.assertLessEqual(parse["total"], sum(result.seconds for result in results))

    def test_reading_and_running_are_timed_by_hand(self, performance_monitor: Any) -> None:
        """What `end_timing` returns is what the statistics have."""
        performance_monitor.start_timing("run")
        chunk_files(sources("json"), configure("threads"))
        seconds = performance_monitor.end_timing("run")
        stats = performance_monitor.get_stats("run")
        self.assertEqual((1, seconds, seconds), (stats["count"], stats["min"], stats["max"]))
