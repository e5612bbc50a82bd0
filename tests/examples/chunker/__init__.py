"""Split Python source files into chunks: functions, classes, methods and what is between them.

A small program in its own right, run as ``python -m tests.examples.chunker FILE_OR_DIR...``.
It knows nothing of the tests that drive it.
"""

# Who imports whom, top to bottom only:
#
#   __main__ -> cli -> parallel -> cache -> chunker -> parser -> config -> errors
#                      parallel -> process -> errors
#
# An error is raised low and wrapped on its way up, always with ``raise ... from``:
#
#   SyntaxError, UnicodeDecodeError, ...  ->  parser: ParseError       (path, line, column)
#   OSError                               ->  parser: ReadError, cache: CacheError
#   any of these                          ->  parallel: WorkerError    (path, worker, pid)
#   EOFError of a worker's pipe           ->  process: WorkerDiedError (exitcode)
#   WorkerError                           ->  cli: exit code 1 and a line on stderr

from __future__ import annotations

from .cache import Cache
from .chunker import Chunk, chunk_source, miscovered_lines
from .cli import main
from .config import CONFIG_MODULES, get, load_config, make_config, validate
from .errors import (
    CacheError,
    ChunkerError,
    ConfigError,
    ParseError,
    ReadError,
    WorkerDiedError,
    WorkerError,
    WorkerTimeoutError,
)
from .parallel import FileResult, chunk_files, chunk_files_async
from .parser import AstParser, Parser, parse, read_source

__all__ = [
    "CONFIG_MODULES",
    "AstParser",
    "Cache",
    "CacheError",
    "Chunk",
    "ChunkerError",
    "ConfigError",
    "FileResult",
    "ParseError",
    "Parser",
    "ReadError",
    "WorkerDiedError",
    "WorkerError",
    "WorkerTimeoutError",
    "chunk_files",
    "chunk_files_async",
    "chunk_source",
    "get",
    "load_config",
    "main",
    "make_config",
    "miscovered_lines",
    "parse",
    "read_source",
    "validate",
]
