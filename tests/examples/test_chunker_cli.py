"""The chunker as its users run it: a command, files in, chunks out."""

from __future__ import annotations

import ast
import json
import pathlib
import subprocess
import sys
import textwrap
from typing import Any

from itf import IntegrationTestCase
from tests.examples.chunker import Chunk, chunk_files, miscovered_lines
from tests.examples.program import configure, run, sources

ROOT = pathlib.Path(__file__).parents[2]


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run another Python, from the root of this repository."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


class CommandLineTest(IntegrationTestCase):
    """From arguments to output and exit code, through all modules."""

    def test_the_command_prints_what_the_library_finds(self) -> None:
        """A process of its own, with workers of its own, on a package of the library."""
        folder = sources("json")[0].parent
        done = python("-m", "tests.examples.chunker", "--json", "--mode", "processes", folder)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        printed = [Chunk(**json.loads(line)) for line in done.stdout.splitlines()]
        paths = sorted(folder.rglob("*.py"))
        expected = [chunk for r in chunk_files(paths, configure()) for chunk in r.chunks]
        self.assertEqual(expected, printed)

    def test_all_modes_print_the_same(self) -> None:
        """Whoever is done first, the output is in the order of the files."""
        paths = sources("email")
        printed = {run("--mode", mode, *paths) for mode in ("serial", "threads", "processes")}
        self.assertEqual(1, len(printed))
        self.assertEqual(0, printed.pop().code)

    def test_keep_going_does_the_good_files_and_reports_the_bad_ones(
        self, test_file_generator: Any
    ) -> None:
        """One line on stderr for each broken file, every chunk of the others, exit code 1."""
        broken = [
            test_file_generator.create_error_file(f"{kind}.py", kind)
            for kind in ("syntax", "unicode", "binary")
        ]
        good = sources("json")
        outcome = run("--keep-going", "--mode", "threads", broken[0], *good, *broken[1:])
        self.assertEqual(1, outcome.code)
        self.assertEqual(run(*good).out, outcome.out)
        told = outcome.err.splitlines()
        self.assertEqual([str(path) for path in broken], [line.split(":")[0] for line in told])

    def test_a_large_file_is_cut_into_all_of_its_functions(
        self, test_file_generator: Any, temp_workspace: Any
    ) -> None:
        """Thousands of chunks, through the cache and back: none missing, none doubled."""
        path = test_file_generator.create_large_file("large.py", 0.1)
        text = path.read_text()
        settings = temp_workspace / "chunker.toml"
        settings.write_text(f"[cache]\nenabled = true\ndirectory = '{temp_workspace / 'cache'}'\n")
        for _ in ("fresh", "cached"):
            outcome = run("--json", "--config", settings, path)
            chunks = [Chunk(**json.loads(line)) for line in outcome.out.splitlines()]
            functions = [node.name for node in ast.parse(text).body]
            self.assertEqual(functions, [chunk.name for chunk in chunks])
            self.assertEqual([], miscovered_lines(chunks, len(text.splitlines())))

    def test_a_directory_is_searched_and_other_languages_are_passed_by(
        self, temp_workspace: Any, sample_code_files: Any
    ) -> None:
        """Of the samples in four languages, the program takes the Python one."""
        sample_code_files.write_to(temp_workspace / "src" / "samples")
        output = temp_workspace / "output" / "chunks.jsonl"
        outcome = run("--json", temp_workspace)
        output.write_text(outcome.out)
        self.assertEqual((0, ""), (outcome.code, outcome.err))
        records = [json.loads(line) for line in output.read_text().splitlines()]
        self.assertEqual({"example.py"}, {pathlib.Path(r["path"]).name for r in records})
        self.assertEqual(
            sample_code_files["example.py"], "".join(record["text"] for record in records)
        )

    def test_the_statistics_add_up(self) -> None:
        """Files, failures and lines are those of the input."""
        broken = self.test_file_generator.create_error_file("broken.py", "syntax")
        paths = sources("json")
        outcome = run("--stats", "--keep-going", broken, *paths)
        lines = sum(len(path.read_text("utf-8").splitlines()) for path in paths)
        self.assertRegex(
            outcome.err, rf"(?m)^{len(paths) + 1} files \(1 failed, 0 cached\), .* {lines} lines in"
        )
        self.assertIn(f" {len(outcome.out.splitlines())} chunks,", outcome.err)


class ScriptTest(IntegrationTestCase):
    """The fixtures in a plain script: no TestCase, only `with`."""

    def test_a_script_drives_the_program_with_fixtures(self) -> None:
        """The script chunks generated files, counts and times; nothing of it is left."""
        script = self.temp_workspace / "script.py"
        script.write_text(
            textwrap.dedent("""\
                import json
                from itf import performance_monitor, temp_workspace, test_file_generator
                from itf import resource_monitor
                from tests.examples.chunker import chunk_files, make_config

                with (
                    temp_workspace() as workspace,
                    test_file_generator(workspace) as files,
                    performance_monitor() as timings,
                    resource_monitor() as resources,
                ):
                    paths = [files.create_large_file(f"src/{n}.py", 0.01) for n in range(3)]
                    cache = {"enabled": True, "directory": str(workspace / "cache")}
                    for _ in range(2):
                        with timings.measure("run"), resources.tracking("script", "run", "run"):
                            results = chunk_files(paths, make_config({"cache": cache}))
                    resources.assert_no_leaks()
                    print(json.dumps({
                        "workspace": str(workspace),
                        "cached": [result.cached for result in results],
                        "runs": timings.get_stats("run")["count"],
                    }))
                """)
        )
        done = python("-c", f"import runpy; runpy.run_path({str(script)!r})")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        said = json.loads(done.stdout)
        self.assertEqual(([True] * 3, 2), (said["cached"], said["runs"]))
        self.assertFalse(pathlib.Path(said["workspace"]).exists())
