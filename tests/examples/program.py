"""How the tests drive the chunker, and what they feed it: the standard library's own sources."""

from __future__ import annotations

import contextlib
import io
import pathlib
import sysconfig
import threading
from typing import Any, NamedTuple

from tests.examples.chunker import cache, chunker, cli, main, make_config, parallel, parser

__all__ = [
    "CACHE",
    "CHUNKER",
    "CLI",
    "PARALLEL",
    "PARSER",
    "Run",
    "configure",
    "join_threads",
    "run",
    "sources",
]

PARSER, CHUNKER, CACHE = parser.__name__, chunker.__name__, cache.__name__
PARALLEL, CLI = parallel.__name__, cli.__name__

_STDLIB = pathlib.Path(sysconfig.get_path("stdlib"))


class Run(NamedTuple):
    """What one run of the command line came to."""

    code: int
    out: str
    err: str


def run(*arguments: object) -> Run:
    """Run the program's command line in this process."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = main([str(argument) for argument in arguments])
    return Run(code, out.getvalue(), err.getvalue())


def sources(*packages: str) -> list[pathlib.Path]:
    """Return the modules of packages of the running Python, without their subpackages."""
    return sorted(path for package in packages for path in (_STDLIB / package).glob("*.py"))


def configure(mode: str = "serial", cache: pathlib.Path | None = None, **parser: Any) -> Any:
    """Return a configuration: how to run, where to cache if at all, and for the parser."""
    cached = {} if cache is None else {"cache": {"enabled": True, "directory": str(cache)}}
    return make_config({"parallel": {"mode": mode}, "parser": parser, **cached})


def join_threads() -> list[str]:
    """Wait for the threads that the program left behind, and return their names."""
    left = [thread for thread in threading.enumerate() if thread.name.startswith("chunker-")]
    for thread in left:
        thread.join(timeout=30)
    return [thread.name for thread in left]
