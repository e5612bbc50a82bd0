"""Errors on their way through the chunker: parser, then parallel, then the command line."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import Any
from unittest import mock

from itf import IntegrationTestCase, fixture
from tests.examples.chunker import (
    CacheError,
    ParseError,
    ReadError,
    WorkerError,
    WorkerTimeoutError,
    chunk_files,
    cli,
    parallel,
)
from tests.examples.program import (
    CACHE,
    CLI,
    PARALLEL,
    PARSER,
    configure,
    join_threads,
    run,
    sources,
)

MODES = ("serial", "threads", "processes")


@contextlib.contextmanager
def watch_seams(self: IntegrationTestCase) -> Iterator[None]:
    """Capture every error where it crosses from one module of the program to the next."""

    def watch(module: Any, name: str, source: str | None, target: str) -> Any:
        function = getattr(module, name)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                self.capture_cross_module_error(source, target, error)
                raise

        return mock.patch.object(module, name, watched)

    with (
        # None: the module that raised it, as the traceback tells.
        watch(parallel, "chunk_source", None, PARALLEL),
        watch(cli, "chunk_files", PARALLEL, CLI),
    ):
        yield


class DyingParser:
    """Ends the thread that it runs in: what it raises is no Exception."""

    class Died(BaseException):
        pass

    def parse(self, code: bytes, /) -> object:
        raise self.Died("no way on")


class CrossingErrorTest(IntegrationTestCase):
    """A broken file, from the parser that refuses it to the message and the exit code."""

    seams = fixture(watch_seams)

    def test_a_syntax_error_crosses_every_seam_to_the_command_line(self, seams: None) -> None:
        """Each seam sees it once, and wraps it: parser, parallel, cli; in series."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")

        self.assertEqual(1, run(*sources("json"), broken).code)

        at_parallel, at_cli = self.get_error_chain()
        self.verify_error_context(
            at_parallel,
            {
                "source_module": PARSER,
                "target_module": PARALLEL,
                "operation": "parse",
                "original_error": ParseError,
                "error_message": re.compile(r"broken\.py:1:\d+: "),
                "context_data": {"process": os.getpid(), "thread": "MainThread"},
            },
        )
        self.verify_error_context(at_cli, {"source_module": PARALLEL, "error_type": "WorkerError"})
        self.assert_error_path(at_cli["original_error"], PARSER, PARALLEL, CLI)

    def test_it_crosses_them_in_a_worker_thread(self, seams: None) -> None:
        """The first seam is crossed in the thread that had the file, the second in the caller's."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")

        self.assertEqual(1, run("--mode", "threads", *sources("json"), broken).code)

        at_parallel, at_cli = self.get_error_chain()
        worker = at_cli["original_error"].worker
        self.verify_error_context(at_parallel, {"context_data": {"thread": worker}})
        self.verify_error_context(at_cli, {"context_data": {"thread": "MainThread"}})
        self.assert_error_path(at_cli["original_error"], PARSER, PARALLEL, CLI)

    def test_it_crosses_them_from_a_worker_process(self, seams: None) -> None:
        """The error comes home with its causes, and says in which process it happened."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")

        self.assertEqual(1, run("--mode", "processes", *sources("json"), broken).code)

        (at_cli,) = self.get_error_chain()  # the first seam was crossed in the worker
        error = at_cli["original_error"]
        self.capture_cross_module_error(PARSER, PARALLEL, error.__cause__)
        self.assertErrorPropagated(error, PARSER, CLI)
        self.assert_error_path(error, PARSER, PARALLEL, CLI)
        self.assertNotEqual(os.getpid(), error.pid)
        story = at_cli["context_data"]["exceptions"]
        self.assertEqual(
            ["WorkerError", "ParseError", "SyntaxError"], [entry["type"] for entry in story]
        )
        self.assertIn(f"in process {error.pid}", story[0]["notes"][0])

    def test_all_modes_tell_the_user_the_same(self) -> None:
        """What the command line prints does not depend on who found the error."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")
        told = {run("--mode", mode, *sources("json"), broken) for mode in MODES}
        self.assertEqual(1, len(told), told)
        self.assertRegex(told.pop().err, rf"^{re.escape(str(broken))}:1:\d+: ")

    def test_every_kind_of_broken_file_is_a_parse_error_with_its_place(
        self, test_file_generator: Any
    ) -> None:
        """No codec's or compiler's own error gets past the parser, in any mode."""
        kinds = {"syntax": SyntaxError, "unicode": SyntaxError, "binary": (SyntaxError, ValueError)}
        broken = [test_file_generator.create_error_file(f"{kind}.py", kind) for kind in kinds]
        for mode in MODES:
            results = chunk_files(broken, configure(mode), keep_going=True)
            for result, cause in zip(results, kinds.values(), strict=True):
                with self.subTest(mode=mode, path=result.path):
                    error = result.error.__cause__
                    self.assertIsInstance(error, ParseError)
                    self.assertIsInstance(error.__cause__, cause)
                    self.assertEqual(result.path, error.path)

    def test_other_languages_are_refused(self, sample_code_files: Any) -> None:
        """The Python sample has its chunks; the others end in an error of the parser."""
        paths = sample_code_files.write_to(self.temp_workspace / "src")
        results = chunk_files(paths.values(), configure(), keep_going=True)
        for (name, path), result in zip(paths.items(), results, strict=True):
            with self.subTest(name):
                if path.suffix == ".py":
                    names = [chunk.name for chunk in result.chunks]
                    self.assertLessEqual({"Greeter", "Greeter.greet", "add", "fetch"}, set(names))
                else:
                    self.assertIsInstance(result.error.__cause__, ParseError)

    def test_a_missing_file_is_told_as_one(self, seams: None) -> None:
        """The operating system's error goes the parser's way, past the chunker."""
        missing = self.temp_workspace / "missing.py"
        outcome = run(missing)
        (at_cli,) = self.get_error_chain()
        self.assertIsInstance(at_cli["original_error"].__cause__, ReadError)
        self.assertEqual(1, outcome.code)
        self.assertIn(f"{missing}: cannot be read", outcome.err)

    def test_a_cache_that_cannot_be_used_stops_the_run(self, seams: None) -> None:
        """The cache's own error crosses parallel and cli, and the message names the entry."""
        in_the_way = self.test_file_generator.create_file("taken", "no directory")
        settings = self.temp_workspace / "chunker.toml"
        settings.write_text(f"[cache]\nenabled = true\ndirectory = '{in_the_way}'\n")

        outcome = run("--config", settings, *sources("json"))

        (at_cli,) = self.get_error_chain()
        error = at_cli["original_error"]
        self.assertIsInstance(error.__cause__, CacheError)
        self.capture_cross_module_error(CACHE, PARALLEL, error.__cause__)
        self.assert_error_path(error, CACHE, PARALLEL, CLI)
        self.assertEqual(1, outcome.code)
        self.assertIn(str(in_the_way), outcome.err)


class ErrorTrackingTest(IntegrationTestCase):
    """Errors that nobody hands on: they leave a block, or kill a thread."""

    def test_an_error_that_leaves_the_program_is_captured_and_goes_on(self) -> None:
        """Nobody has to catch it for it to be on record, with the module that raised it."""
        broken = self.test_file_generator.create_error_file("broken.py", "binary")
        with self.assertRaises(WorkerError) as caught, self.error_tracking_context as errors:
            chunk_files([broken], configure())
        (context,) = errors.get_error_chain()
        self.assertIs(caught.exception, context["original_error"])
        errors.verify_error_context(
            context, {"source_module": PARALLEL, "target_module": __name__, "error_type": str}
        )

    def test_a_handler_of_the_command_line_hears_of_each_file_that_failed(
        self, error_tracking_context: Any
    ) -> None:
        """All errors of a run that keeps going are propagated, in the order of the files."""
        heard: list[str] = []
        error_tracking_context.register_handler(
            CLI, lambda context: heard.append(context["error_type"])
        )
        broken = [
            self.test_file_generator.create_error_file(f"{kind}.py", kind)
            for kind in ("syntax", "unicode")
        ]
        results = chunk_files([*broken, *sources("json")], configure("threads"), keep_going=True)
        for result in results:
            if result.error is not None:
                error_tracking_context.capture_and_propagate(PARALLEL, CLI, result.error)
        self.assertEqual(["WorkerError", "WorkerError"], heard)

    def test_a_worker_thread_that_dies_is_late_and_the_reason_is_known(
        self, error_tracking_context: Any
    ) -> None:
        """The caller is told of a timeout only; what killed the thread is on record."""
        (path, *_) = sources("json")
        with self.assertRaises(WorkerTimeoutError) as caught:
            chunk_files([path], configure("threads", timeout=0.05), parser=DyingParser())
        join_threads()

        (death,) = error_tracking_context.get_error_chain()
        self.assertEqual(str(path), caught.exception.path)
        self.verify_error_context(
            death,
            {
                "source_module": __name__,
                "operation": "DyingParser.parse",
                "original_error": DyingParser.Died,
                "context_data": {"thread": caught.exception.worker, "origin": re.compile("died")},
            },
        )
        self.assertRegex("\n".join(death["context_data"]["call_stack"]), "in chunk_source")


class InjectedFailureTest(IntegrationTestCase):
    """The program with a parser that fails when it is told to."""

    def test_the_third_file_fails_and_the_others_do_not(self, mock_parser_factory: Any) -> None:
        """An error of a parser that was put in is one file's error, and names that file."""
        mock_parser_factory.configure_failure("python", "nth_call", n=3)
        parser = mock_parser_factory.get_parser("python")
        paths = sources("json")

        results = chunk_files(paths, configure(), parser=parser, keep_going=True)

        self.assertEqual([str(paths[2])], [result.path for result in results if result.error])
        self.assertEqual(len(paths), parser.parse_count)
        self.assertIn("call 3 fails", str(results[2].error))

    def test_without_keep_going_the_third_file_is_the_last(self, mock_parser_factory: Any) -> None:
        """The first error ends a run: the parser is not called again."""
        mock_parser_factory.configure_failure("python", "nth_call", n=3)
        parser = mock_parser_factory.get_parser("python")
        with self.assertRaises(WorkerError) as caught:
            chunk_files(sources("json"), configure(), parser=parser)
        self.capture_cross_module_error(PARSER, PARALLEL, caught.exception.__cause__)
        self.assertErrorPropagated(caught.exception, PARSER, PARALLEL)
        self.assertEqual(3, parser.parse_count)

    def test_threads_share_the_parser_and_one_of_them_gets_the_failure(
        self, mock_parser_factory: Any
    ) -> None:
        """Whichever thread comes third: one file fails, and the cause is the parser's own error."""
        mock_parser_factory.configure_failure("python", "nth_call", n=3)
        parser = mock_parser_factory.get_parser("python")
        results = chunk_files(sources("json"), configure("threads"), parser=parser, keep_going=True)
        (error,) = [result.error for result in results if result.error is not None]
        self.assertIsInstance(error.__cause__, ParseError)
        self.assertIsInstance(error.__cause__.__cause__, RuntimeError)

    def test_a_parser_that_always_fails_fails_each_file_in_its_own_process(
        self, mock_parser_factory: Any
    ) -> None:
        """One file's process has nothing to do with the next one's."""
        mock_parser_factory.configure_failure("python", "always")
        parser = mock_parser_factory.get_parser("python")
        paths = sources("json")
        results = chunk_files(paths, configure("processes"), parser=parser, keep_going=True)
        self.assertEqual([str(path) for path in paths], [result.error.path for result in results])
        self.assertEqual(len(paths), len({result.error.pid for result in results}))
        self.assertEqual(0, parser.parse_count)  # each process had its own copy ...
        self.assertEqual(len(paths), parser.plan.hits)  # ... and all of them one plan
