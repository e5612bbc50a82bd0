"""Configuration of the chunker that changes while it runs: who must notice, and who must not."""

from __future__ import annotations

import collections
from typing import Any
from unittest import mock

from itf import IntegrationTestCase
from tests.examples.chunker import (
    CONFIG_MODULES,
    ConfigError,
    ParseError,
    WorkerError,
    cache,
    chunk_files,
    chunk_source,
    chunker,
    make_config,
    parallel,
    parser,
    validate,
)
from tests.examples.program import CACHE, CHUNKER, PARALLEL, PARSER, configure, run, sources

LATIN = "name = 'café'\n".encode("latin-1")


class RuntimeChangeTest(IntegrationTestCase):
    """A change reaches the modules that it is said to affect, and they behave accordingly."""

    config_modules = CONFIG_MODULES

    def setUp(self) -> None:
        self.paths = sources("json")
        self.config = self.watch_config(configure(cache=self.temp_workspace / "cache"))

    def chunk(self) -> Any:
        return chunk_files(self.paths, self.config)

    def test_each_key_affects_exactly_the_modules_that_read_it(self) -> None:
        """The map of keys to modules is what the program really does, in every mode."""
        readers = collections.defaultdict(set)
        for module in (parser, chunker, cache, parallel):

            def get(
                config: Any, key: str, name: str = module.__name__, real: Any = module.get
            ) -> Any:
                readers[key].add(name)
                return real(config, key)

            self.enterContext(mock.patch.object(module, "get", get))
        for mode in ("serial", "threads", "processes"):
            self.config["parallel"]["mode"] = mode
            self.chunk()
        for section, values in self.config.items():
            for name in values:
                key = f"{section}.{name}"
                with self.subTest(key):
                    self.assertEqual(readers[key], set(self.get_affected_modules(key)))

    def test_chunk_types_reach_the_chunker_and_the_cache(self) -> None:
        """Other chunks at once, and none of those that were cached before."""
        before = self.chunk()
        self.config["chunker"]["chunk_types"].remove("method")
        after = self.chunk()

        (event,) = self.get_change_log("chunk_types")
        self.assertEqual("chunker.chunk_types", event["config_path"])
        self.assertEqual([CHUNKER, CACHE], event["affected_modules"])
        self.assertIn("method", {chunk.kind for result in before for chunk in result.chunks})
        self.assertNotIn("method", {chunk.kind for result in after for chunk in result.chunks})
        self.assertFalse(any(result.cached for result in after))

    def test_a_change_of_mode_reaches_neither_the_chunker_nor_the_cache(self) -> None:
        """The same chunks, all of them from the cache."""
        before = self.chunk()
        self.config["parallel"]["mode"] = "threads"
        after = self.chunk()

        self.assertEqual([PARALLEL], self.get_change_log()[0]["affected_modules"])
        self.assertEqual([result.chunks for result in before], [result.chunks for result in after])
        self.assertTrue(all(result.cached for result in after))

    def test_the_encoding_reaches_the_parser_and_is_put_back(self) -> None:
        """A file that is not UTF-8 is refused, chunked under the override, and refused again."""
        path = self.test_file_generator.create_file("latin.py", LATIN)
        with self.override_config(self.config, **{"parser.encoding": "latin-1"}):
            (result,) = chunk_files([path], self.config)
        with self.assertRaises(WorkerError) as refused:
            chunk_files([path], self.config)

        self.assertIn("café", result.chunks[0].text)
        self.assertIsInstance(refused.exception.__cause__, ParseError)
        log = self.get_change_log("parser.encoding")
        self.assertEqual(["latin-1", "auto"], [event["new_value"] for event in log])
        self.assertEqual([PARSER, CACHE], log[0]["affected_modules"])

    def test_a_change_reaches_worker_processes(self) -> None:
        """A process works with the configuration of the moment at which it begins."""
        self.config["parallel"]["mode"] = "processes"
        with self.override_config(self.config, **{"chunker.max_lines": 5}):
            results = self.chunk()
        limited = [chunk for result in results for chunk in result.chunks]
        usual = [chunk for result in self.chunk() for chunk in result.chunks]
        self.assertEqual(5, max(chunk.end_line - chunk.start_line + 1 for chunk in limited))
        self.assertLess(len(usual), len(limited))

    def test_a_change_between_two_files_counts_from_the_next_file_on(self) -> None:
        """A run that is under way takes it over; what is done stays as it is."""
        config = self.config

        class ChangingParser(parser.AstParser):
            def parse(self, code: bytes, /) -> Any:
                if b"class JSONDecoder" in code:
                    config["chunker"]["chunk_types"] = ["module"]
                return super().parse(code)

        first, *others = chunk_files(self.paths, config, parser=ChangingParser(config))
        self.assertIn("function", {chunk.kind for chunk in first.chunks})
        self.assertEqual({"module"}, {chunk.kind for r in others for chunk in r.chunks})

    def test_the_cache_is_switched_off_and_on_under_the_program(self) -> None:
        """Off, it is neither read nor written; on again, it still has what it had."""
        self.chunk()
        directory = self.temp_workspace / "cache"
        entries = sorted(directory.iterdir())
        with self.override_config(self.config, **{"cache.enabled": False}):
            self.assertFalse(any(result.cached for result in self.chunk()))
            chunk_files(sources("unittest"), self.config)
        self.assertEqual(entries, sorted(directory.iterdir()))
        self.assertTrue(all(result.cached for result in self.chunk()))

    def test_what_an_override_changed_is_put_back_when_the_program_fails(self) -> None:
        """An error on its way up leaves no configuration behind."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")
        before = make_config(self.config)
        with self.assertRaises(WorkerError):
            changes = {"parallel.workers": 7, "parallel.mode": "threads"}
            with self.override_config(self.config, **changes):
                chunk_files([broken], self.config)
        self.assertEqual(before, make_config(self.config))
        self.assertEqual(4, len(self.get_change_log("parallel")))


class ObserverTest(IntegrationTestCase):
    """Modules that act on a change by themselves."""

    def test_an_observer_that_validates_refuses_a_bad_value_at_once(
        self, config_change_tracker: Any
    ) -> None:
        """The program would have noticed at its next file; the observer names the key now."""
        config = config_change_tracker.watch_config(make_config())
        config_change_tracker.register_observer(lambda event: validate(config))
        with self.assertRaises(ExceptionGroup) as caught:
            config["parallel"]["workers"] = 0
        (error,) = caught.exception.exceptions
        self.assertIsInstance(error, ConfigError)
        self.assertEqual("parallel.workers", error.key)
        self.assertEqual(0, config_change_tracker.change_log[-1]["new_value"])

    def test_an_observer_that_drops_the_cache_hears_of_what_affects_it(
        self, config_change_tracker: Any
    ) -> None:
        """Entries go when the chunker's configuration changes, and stay when the workers' does."""
        directory = self.temp_workspace / "cache"
        config = config_change_tracker.watch_config(configure(cache=directory))
        for pattern, modules in CONFIG_MODULES.items():
            config_change_tracker.map_config(pattern, *modules)

        def drop(event: Any) -> None:
            if CACHE in event["affected_modules"]:
                for entry in directory.iterdir():
                    entry.unlink()

        paths = sources("json")
        chunk_files(paths, config)
        with config_change_tracker.register_observer(drop):
            config["parallel"]["workers"] = 3
            self.assertEqual(len(paths), len(list(directory.iterdir())))
            config["chunker"]["min_lines"] = 3
            self.assertEqual([], list(directory.iterdir()))

    def test_a_file_on_disk_configures_all_modules(self, temp_workspace: Any) -> None:
        """What the command line reads from a TOML file is what the library does with a mapping."""
        settings = temp_workspace / "chunker.toml"
        settings.write_text("[chunker]\nmin_lines = 10\nchunk_types = ['function', 'module']\n")
        (path, *_) = sources("json")
        config = {"chunker": {"min_lines": 10, "chunk_types": ["function", "module"]}}
        expected = chunk_source(path.read_bytes(), config, path=str(path))
        rows = run("--config", settings, path).out.splitlines()
        self.assertEqual([chunk.digest[:12] for chunk in expected], [row[:12] for row in rows])

    def test_a_bad_file_is_a_usage_error_before_any_work(self, temp_workspace: Any) -> None:
        """The key, the value and what is allowed; exit code 2; no chunk."""
        settings = temp_workspace / "chunker.toml"
        settings.write_text("[parallel]\nmode = 'fast'\n")
        outcome = run("--config", settings, *sources("json"))
        self.assertEqual((2, ""), (outcome.code, outcome.out))
        self.assertRegex(outcome.err, r"parallel\.mode: got 'fast'; allowed: serial")
