"""What the chunker holds on to, on disk and in memory: its cache, its workers, its files."""

from __future__ import annotations

import contextlib
import errno
import io
import multiprocessing
import os
import shutil
import threading
import unittest
from collections.abc import Iterator
from typing import Any
from unittest import mock

from itf import FaultPlan, IntegrationTestCase, fixture
from tests.examples.chunker import Cache, WorkerError, chunk_files, parallel, parser
from tests.examples.chunker.process import WorkerProcess
from tests.examples.program import CACHE, PARALLEL, PARSER, configure, join_threads, sources


@contextlib.contextmanager
def track_program(resource_monitor: Any) -> Iterator[Any]:
    """Account for every worker process and every source file that the program opens."""

    class TrackedWorker(WorkerProcess):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            pid = self.process.pid
            resource_monitor.track_resource(PARALLEL, "process", self.name, metadata={"pid": pid})

        def stop(self) -> None:
            super().stop()
            resource_monitor.release_resource(self.name)

    class TrackedFile(io.FileIO):
        def __init__(self, path: str, mode: str) -> None:
            super().__init__(path, mode)
            resource_monitor.track_resource(PARSER, "file_handle", path)

        def close(self) -> None:
            super().close()
            resource_monitor.release_resource(self.name)

    with (
        mock.patch.object(parallel, "WorkerProcess", TrackedWorker),
        mock.patch.object(parser, "open", TrackedFile, create=True),
    ):
        yield resource_monitor


class ReleaseTest(IntegrationTestCase):
    """Whatever the program takes it gives back, however a run ends."""

    tracked = fixture(track_program)

    def test_a_run_releases_every_process_it_started(self, tracked: Any) -> None:
        """One process a file, all of them ended and reaped."""
        paths = sources("json")
        chunk_files(paths, configure("processes"))
        self.assertEqual(len(paths), len(tracked.get_all_resources(PARALLEL, "released")))
        tracked.assert_no_leaks(PARALLEL)
        self.assertEqual([], multiprocessing.active_children())

    def test_a_run_that_fails_releases_them_too(self, tracked: Any) -> None:
        """The workers of other files are ended before the error is raised."""
        broken = self.test_file_generator.create_error_file("broken.py", "binary")
        with self.assertRaises(WorkerError):
            chunk_files([broken, *sources("email")], configure("processes"))
        self.assertGreater(len(tracked.get_all_resources(PARALLEL)), 1)
        tracked.assert_no_leaks()

    def test_a_run_in_threads_closes_every_file_and_ends_every_thread(self, tracked: Any) -> None:
        """Also when files are broken: reading, and what comes after it, are two things."""
        broken = self.test_file_generator.create_error_file("broken.py", "unicode")
        paths = [broken, *sources("json", "unittest")]
        before = threading.active_count()
        chunk_files(paths, configure("threads"), keep_going=True)
        self.assertEqual(len(paths), len(tracked.get_all_resources(PARSER, "released")))
        tracked.assert_no_leaks(PARSER)
        join_threads()  # they have told their results, and are about to end
        self.assertEqual(before, threading.active_count())

    def test_a_process_that_is_left_running_is_found(self) -> None:
        """If the program forgot to stop a worker, a test that tracks it would say which one."""

        class Inner(IntegrationTestCase):
            tracked = fixture(track_program)

            def test(self, tracked: Any) -> None:
                worker = parallel.WorkerProcess("forgotten", "a.py", 30.0, os.path.join)
                self.addCleanup(WorkerProcess.stop, worker)

        result = Inner("test").run(unittest.TestResult())
        ((_, message),) = result.failures
        self.assertIn("leaked resources (1)", message)
        self.assertRegex(message, rf"'forgotten' \(process\) owned by {PARALLEL}, .* tracked at ")

    def test_cache_entries_are_resources_of_the_cache(self) -> None:
        """Every entry that a run makes is known, and is gone when it is evicted."""
        directory = self.temp_workspace / "cache"
        paths = sources("json")
        chunk_files(paths, configure(cache=directory))
        for entry in directory.iterdir():
            self.track_resource(CACHE, "file", entry.name)
        self.assertEqual(len(paths), len(self.verify_cleanup(CACHE)))
        for path in paths:
            entry = Cache(configure(cache=directory)).entry_path(path.read_bytes())
            entry.unlink()
            self.release_resource(entry.name)
        self.assert_no_leaks(CACHE)
        self.assertEqual([], list(directory.iterdir()))


class CacheTest(IntegrationTestCase):
    """The cache between two runs of the program."""

    def setUp(self) -> None:
        self.directory = self.temp_workspace / "cache"
        self.paths = sources("json")

    def chunk(self, mode: str = "serial", **options: Any) -> Any:
        return chunk_files(self.paths, configure(mode, cache=self.directory), **options)

    def test_what_processes_cached_every_other_mode_finds(self) -> None:
        """The entries do not depend on who wrote them."""
        fresh = self.chunk("processes")
        self.assertFalse(any(result.cached for result in fresh))
        for mode in ("serial", "threads", "processes"):
            cached = self.chunk(mode)
            self.assertTrue(all(result.cached for result in cached), mode)
            self.assertEqual([r.chunks for r in fresh], [r.chunks for r in cached])

    def test_a_damaged_entry_is_made_anew(self) -> None:
        """Cut short or written over, an entry costs time and never a chunk."""
        fresh = self.chunk()
        short, wrong, *_ = sorted(self.directory.iterdir())
        short.write_bytes(short.read_bytes()[:-10])
        wrong.write_bytes(wrong.read_bytes().replace(b"def ", b"fed "))
        again = self.chunk("threads")
        self.assertEqual([r.chunks for r in fresh], [r.chunks for r in again])
        self.assertEqual(2, sum(not result.cached for result in again))
        self.assertTrue(all(result.cached for result in self.chunk()))

    def test_the_same_source_elsewhere_is_cached_under_its_own_path(
        self, test_file_generator: Any
    ) -> None:
        """An entry is found by what a file says, and its chunks name the file asked for."""
        self.chunk()
        copy = test_file_generator.create_file("copy.py", self.paths[0].read_bytes())
        self.paths = [copy]
        (result,) = self.chunk()
        self.assertTrue(result.cached)
        self.assertEqual({str(copy)}, {chunk.path for chunk in result.chunks})

    def test_another_parser_does_not_get_the_first_ones_chunks(
        self, mock_parser_factory: Any
    ) -> None:
        """A mock's outline and the real tree never take each other's place."""
        real = self.chunk()
        mocked = self.chunk(parser=mock_parser_factory.get_parser("python"))
        self.assertFalse(any(result.cached for result in mocked))
        self.assertEqual([r.chunks for r in real], [r.chunks for r in self.chunk()])

    def test_a_file_that_failed_is_not_cached(self) -> None:
        """Neither its error nor half of its chunks; once it is mended, it is chunked."""
        (path, *_) = self.paths
        self.paths = [self.test_file_generator.create_file("a.py", b"def broken(:\n")]
        (failed,) = self.chunk(keep_going=True)
        self.assertIsNotNone(failed.error)
        self.assertFalse(self.directory.exists() and list(self.directory.iterdir()))
        self.paths[0].write_bytes(path.read_bytes())
        (mended,) = self.chunk()
        self.assertFalse(mended.cached)
        self.assertTrue(mended.chunks)

    def test_a_disk_that_is_full_for_one_file(self) -> None:
        """Whoever writes it, in whichever mode: that file alone fails, and leaves nothing."""
        full = OSError(errno.ENOSPC, "No space left on device")
        for mode in ("serial", "threads", "processes"):
            plan = FaultPlan.nth_call(3, raises=full)
            with self.subTest(mode), self.inject_faults(os, "replace", plan):
                results = self.chunk(mode, keep_going=True)
                (error,) = [result.error for result in results if result.error is not None]
                self.assertIn("No space left on device", str(error))
                self.assertEqual((len(self.paths), 1), (plan.calls, plan.hits))
                entries = list(self.directory.iterdir())
                self.assertEqual([".json"], sorted({entry.suffix for entry in entries}))
                self.assertEqual(len(self.paths) - 1, len(entries))
            shutil.rmtree(self.directory)
