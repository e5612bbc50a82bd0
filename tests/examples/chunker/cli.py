"""The command line: arguments in; chunks, messages and an exit code out."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, TextIO

from .chunker import Chunk
from .config import load_config, make_config
from .errors import ConfigError, ParseError, ReadError, WorkerError
from .parallel import FileResult, chunk_files

__all__ = ["main"]

OK: Final = 0
FAILED: Final = 1  # some files
USAGE: Final = 2  # arguments or configuration; what argparse exits with


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    Raises:
        SystemExit: By argparse, for ``--help`` and for arguments it does not know.
    """
    arguments = _argument_parser().parse_args(argv)
    began = time.perf_counter()
    try:
        config = load_config(arguments.config) if arguments.config else make_config()
        config["parallel"] |= {
            name: value
            for name in ("mode", "workers")
            if (value := getattr(arguments, name)) is not None
        }
        config = make_config(config)
        results = chunk_files(_find_files(arguments.paths), config, keep_going=arguments.keep_going)
    except ConfigError as error:
        _say(f"chunker: configuration error: {error}", sys.stderr)
        return USAGE
    except WorkerError as error:
        _say(_message(error), sys.stderr)
        return FAILED
    for result in results:
        if result.error is not None:
            _say(_message(result.error), sys.stderr)
        for chunk in result.chunks:
            _say(json.dumps(asdict(chunk)) if arguments.json else _row(chunk), sys.stdout)
    if arguments.stats:
        _say(_statistics(results, time.perf_counter() - began), sys.stderr)
    return FAILED if any(result.error for result in results) else OK


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chunker", description="Split Python files into chunks.")
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_DIR", help="*.py of a directory")
    parser.add_argument("--config", metavar="F", help="a TOML file")
    parser.add_argument("--mode", help="serial, threads or processes")
    parser.add_argument("--workers", type=int, metavar="N")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with the text")
    parser.add_argument("--keep-going", action="store_true", help="go on after a file that fails")
    parser.add_argument("--stats", action="store_true", help="counts and timings, on stderr")
    return parser


def _find_files(paths: Sequence[str]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*.py") if found.is_file())
        else:
            yield path


def _row(chunk: Chunk) -> str:
    where = f"{chunk.path}:{chunk.start_line}-{chunk.end_line}"
    part = f" ({chunk.part})" if chunk.part > 1 else ""
    return f"{chunk.digest[:12]}  {chunk.kind:<8}  {where}  {chunk.name}{part}"


def _message(error: WorkerError) -> str:
    """Say what is wrong with a file the way editors read it; of a worker, say all of it."""
    if isinstance(error.__cause__, ParseError | ReadError):
        return f"{error.__cause__}"
    return f"{error.path}: {error}"


def _statistics(results: Sequence[FileResult], seconds: float) -> str:
    chunks = [chunk for result in results for chunk in result.chunks]
    failed = sum(result.error is not None for result in results)
    cached = sum(result.cached for result in results)
    lines = sum(chunk.end_line - chunk.start_line + 1 for chunk in chunks)
    slowest = max(results, key=lambda result: result.seconds, default=None)
    detail = f"; slowest {slowest.path}, {slowest.seconds:.3f} s" if slowest else ""
    return (
        f"{len(results)} files ({failed} failed, {cached} cached), {len(chunks)} chunks,"
        f" {lines} lines in {seconds:.3f} s{detail}"
    )


def _say(text: str, stream: TextIO) -> None:
    """Print what the stream can show: a file's name may hold what its encoding cannot."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)
