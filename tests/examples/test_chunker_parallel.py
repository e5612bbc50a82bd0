"""The chunker at work in many processes, threads and tasks at once."""

from __future__ import annotations

import io
import multiprocessing
import os
import pathlib
import signal
from typing import Any

from itf import AsyncIntegrationTestCase, IntegrationTestCase
from tests.examples.chunker import (
    AstParser,
    Chunk,
    WorkerDiedError,
    WorkerTimeoutError,
    chunk_files,
    chunk_files_async,
    make_config,
    miscovered_lines,
)
from tests.examples.program import PARALLEL, configure, join_threads, run, sources


def chunks_of(results: Any) -> list[tuple[Chunk, ...]]:
    return [result.chunks for result in results]


class KilledParser(AstParser):
    """Takes the process that it runs in down with it, at one file."""

    def parse(self, code: bytes, /) -> Any:
        if b"class JSONEncoder" in code:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().parse(code)


class ModesTest(IntegrationTestCase):
    """The way in which files are shared out changes nothing about the result."""

    def test_all_modes_and_the_event_loop_agree(self, async_test_runner: Any) -> None:
        """The same chunks in the same order, whoever made them."""
        paths = sources("json", "unittest")
        expected = chunks_of(chunk_files(paths, configure("serial")))
        for mode in ("threads", "processes"):
            self.assertEqual(expected, chunks_of(chunk_files(paths, configure(mode))), mode)
        found = async_test_runner.run(chunk_files_async(paths, configure()))
        self.assertEqual(expected, chunks_of(found))

    def test_no_line_of_the_standard_library_is_lost_or_doubled(self) -> None:
        """Every line of a file is in exactly one chunk, and the chunks are the file."""
        paths = sources("json", "email", "asyncio", "unittest")
        for path, result in zip(paths, chunk_files(paths, configure("processes")), strict=True):
            text = path.read_text("utf-8")
            with self.subTest(path=str(path)):
                # Not splitlines(): a form feed ends no line of Python.
                lines = len(list(io.StringIO(text)))
                self.assertEqual([], miscovered_lines(result.chunks, lines))
                self.assertEqual(text, "".join(chunk.text for chunk in result.chunks))

    def test_a_worker_that_is_killed_costs_one_file(self) -> None:
        """The error names the file, the process and the signal; the other files are done."""
        paths = sources("json")
        config = configure("processes")
        results = chunk_files(paths, config, parser=KilledParser(config), keep_going=True)
        (failed,) = [result for result in results if result.error is not None]
        self.assertEqual("encoder.py", pathlib.Path(failed.path).name)
        self.assertIsInstance(failed.error, WorkerDiedError)
        self.assertIn("killed by SIGKILL", str(failed.error))
        self.assertEqual(len(paths) - 1, sum(bool(result.chunks) for result in results))

    def test_a_run_that_fails_stops_its_processes(self) -> None:
        """The first error comes at once, and no worker outlives it."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")
        outcome = run("--mode", "processes", "--workers", 4, broken, *sources("email"))
        self.assertEqual((1, ""), (outcome.code, outcome.out))
        self.assertEqual([], multiprocessing.active_children())

    def test_a_parser_that_hangs_costs_a_thread_its_file(self) -> None:
        """The other threads go on; the stuck one is told of, by name, and left behind."""
        paths = sources("json")
        with self.mock_parser_factory as factory:
            factory.configure_failure("python", "timeout")
            parser = factory.get_parser("python")
            config = configure("threads", timeout=0.05)
            results = chunk_files(paths, config, parser=parser, keep_going=True)
        stuck = join_threads()  # the end of the `with` woke them
        self.assertEqual(len(paths), parser.parse_count)
        self.assertEqual({WorkerTimeoutError}, {type(result.error) for result in results})
        self.assertLessEqual(set(stuck), {result.error.worker for result in results})

    def test_a_parser_that_hangs_costs_a_process_its_life(self, mock_parser_factory: Any) -> None:
        """A process that is late is ended, not left behind."""
        mock_parser_factory.configure_failure("python", "timeout")
        parser = mock_parser_factory.get_parser("python")
        config = configure("processes", timeout=0.05)
        results = chunk_files(sources("json"), config, parser=parser, keep_going=True)
        self.assertEqual({WorkerTimeoutError}, {type(result.error) for result in results})
        self.assertEqual([], multiprocessing.active_children())


class SharedWorkTest(IntegrationTestCase):
    """Several programs at once, on the same files and the same cache."""

    def test_processes_that_share_a_cache_and_a_lock_lose_nothing(
        self, parallel_test_environment: Any
    ) -> None:
        """Each process takes a package, adds to one total, and reports by the queue."""
        env = parallel_test_environment
        lock = env.create_shared_lock("total")
        queue = env.create_queue("results")
        total = env.workspace / "output" / "total"
        total.write_text("0")
        config = configure(cache=env.workspace / "cache")

        def work(package: str) -> None:
            count = sum(map(len, chunks_of(chunk_files(sources(package), config))))
            with lock:
                total.write_text(str(int(total.read_text()) + count))
            queue.put((package, os.getpid(), count))

        packages = ("json", "email", "asyncio", "unittest")
        for package in packages:
            env.create_worker_process(work, args=(package,), name=package).start()
        reports = [queue.get(timeout=30) for _ in packages]

        self.assertEqual([None] * 4, [worker.exception() for worker in env.processes])
        self.assertEqual(4, len({pid for _, pid, _ in reports}))
        self.assertEqual(str(sum(count for _, _, count in reports)), total.read_text())
        results = chunk_files(sources(*packages), config)
        self.assertTrue(all(result.cached for result in results))
        self.assertEqual(total.read_text(), str(sum(map(len, chunks_of(results)))))

    def test_processes_that_race_for_the_same_entries_all_get_whole_ones(
        self, parallel_test_environment: Any
    ) -> None:
        """Without any lock: nobody reads half an entry, and no temporary file stays."""
        env = parallel_test_environment
        begin = env.create_barrier("begin", 4)
        directory = env.workspace / "cache"
        paths = sources("json")
        expected = chunks_of(chunk_files(paths, configure()))

        def work() -> bool:
            begin.wait()
            return all(
                chunks_of(chunk_files(paths, configure(cache=directory))) == expected
                for _ in range(5)
            )

        self.assertEqual([True] * 4, env.run(work, workers=4))
        self.assertEqual(len(paths), len(list(directory.iterdir())))
        self.assertEqual({".json"}, {entry.suffix for entry in directory.iterdir()})

    def test_threads_count_every_chunk_once(
        self, parallel_test_environment: Any, thread_safe_counter: Any
    ) -> None:
        """Four threads with a package each come to what one run over all of them comes to."""
        packages = ("json", "email", "asyncio", "unittest")

        def work(package: str) -> int:
            results = chunk_files(sources(package), configure("threads"))
            for result in results:
                thread_safe_counter.increment(len(result.chunks))
            return len(results)

        workers = [
            parallel_test_environment.create_worker_thread(work, args=(package,))
            for package in packages
        ]
        for worker in workers:
            worker.start()
        in_one_go = chunk_files(sources(*packages), configure())
        self.assertEqual(len(in_one_go), sum(worker.result() for worker in workers))
        self.assertEqual(sum(map(len, chunks_of(in_one_go))), thread_safe_counter.value)

    def test_an_error_of_the_program_comes_home_from_a_worker(
        self, parallel_test_environment: Any
    ) -> None:
        """The program's own error class survives the way, with its attributes and its causes."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")
        worker = parallel_test_environment.create_worker_process(
            chunk_files, args=([broken], configure("processes"))
        )
        worker.start()
        error = worker.exception()
        self.assertEqual(("WorkerError", str(broken)), (type(error).__name__, error.path))
        self.assertEqual("ParseError", type(error.__cause__).__name__)
        # It came from where the program raised it to this test.
        self.assert_error_path(error, PARALLEL, __name__)

    def test_a_killed_process_takes_nothing_with_it(self, parallel_test_environment: Any) -> None:
        """One that dies with the lock in its hand, over the cache, stops nobody."""
        env = parallel_test_environment
        lock = env.create_shared_lock("cache")
        has_it = env.create_event("has the lock")
        config = configure(cache=env.workspace / "cache")
        paths = sources("json")

        def die() -> None:
            with lock:
                chunk_files(paths[:1], config)
                has_it.set()
                env.sequence(1).__enter__()  # never: nobody takes step 0

        def work(path: object) -> int:
            with lock:
                return len(chunks_of(chunk_files([path], config)))

        victim = env.create_worker_process(die, name="victim")
        victim.start()
        has_it.wait()
        env.kill(victim)
        counts = env.map(work, paths)
        self.assertEqual(len(chunks_of(chunk_files(paths, configure()))), sum(counts))
        self.assertEqual(
            [("victim", "lock 'cache'")], [(c.worker, c.held) for c in env.dead_holders]
        )


class EventLoopTest(AsyncIntegrationTestCase):
    """The program awaited, from a test that is a coroutine."""

    async def test_two_runs_share_a_cache(self) -> None:
        """What the first run cached, the second one finds, in tasks of their own."""
        config = configure(cache=self.temp_workspace / "cache")
        first = await chunk_files_async(sources("json"), config)
        second = await chunk_files_async(sources("json"), config)
        self.assertEqual([False] * len(first), [result.cached for result in first])
        self.assertEqual([True] * len(first), [result.cached for result in second])
        self.assertEqual(chunks_of(first), chunks_of(second))

    async def test_no_more_files_at_once_than_the_limit(self, thread_safe_counter: Any) -> None:
        """`limit` holds for the parsers, whatever the number of files."""
        most = 0

        class CountingParser(AstParser):
            def parse(self, code: bytes, /) -> Any:
                nonlocal most
                most = max(most, thread_safe_counter.increment())
                try:
                    return super().parse(code)
                finally:
                    thread_safe_counter.decrement()

        parser = CountingParser(make_config())
        results = await chunk_files_async(sources("email"), configure(), parser=parser, limit=1)
        self.assertEqual(1, most)
        self.assertEqual(0, thread_safe_counter.value)
        self.assertTrue(all(result.chunks for result in results))


class AsyncRunnerTest(IntegrationTestCase):
    """The program awaited, from a test that is not a coroutine."""

    def test_runs_in_parallel_keep_their_results_apart(self, async_test_runner: Any) -> None:
        """One loop, two runs at once: each gets its own files, in order."""
        packages = (sources("json"), sources("unittest"))
        found = async_test_runner.run(
            async_test_runner.run_parallel(
                *(chunk_files_async(paths, configure()) for paths in packages)
            )
        )
        for paths, results in zip(packages, found, strict=True):
            self.assertEqual([str(path) for path in paths], [result.path for result in results])

    def test_a_parser_that_hangs_does_not_hang_the_loop(
        self, async_test_runner: Any, mock_parser_factory: Any
    ) -> None:
        """The first file to be late ends the run, with the file's name."""
        mock_parser_factory.configure_failure("python", "timeout")
        parser = mock_parser_factory.get_parser("python")
        (path, *_) = sources("json")
        with self.assertRaises(WorkerTimeoutError) as caught:
            async_test_runner.run(
                chunk_files_async([path], configure(timeout=0.05), parser=parser), timeout=30
            )
        self.assertEqual(str(path), caught.exception.path)
        self.assertIsInstance(caught.exception.__cause__, TimeoutError)
