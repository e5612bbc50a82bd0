"""Validity of source files: checked by the language's compiler, or without one by its structure."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tests.support import tool_environment

__all__ = ["LANGUAGES", "has_tool", "problem_of", "structural_problem", "valid"]

LANGUAGES = ("python", "javascript", "rust", "c")

# Command that exits with 0 for a valid file, and the file name suffix that it requires.
_COMPILE = "import sys; compile(open(sys.argv[1], 'rb').read(), 'file', 'exec')"
_CHECKS = {
    "python": (".py", (sys.executable, "-Werror", "-c", _COMPILE)),
    "javascript": (".js", ("node", "--check")),
    "rust": (".rs", ("rustc", "--edition=2021", "--crate-type=lib", "--emit=metadata")),
    "c": (".c", ("cc", "-fsyntax-only", "-Wall", "-Wno-unused")),
}

# Tokens that all four languages share: comments and string literals (skipped),
# brackets, and characters that are errors outside of string literals.
_TOKEN = re.compile(
    r"""(?P<skip>//[^\n]*|\#[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<bracket>[()\[\]{}])|(?P<bad>["'\x00]|\ufeff)""",
    re.DOTALL,
)
_PAIRS = {")": "(", "]": "[", "}": "{"}


def has_tool(language: str) -> bool:
    """Return whether the language's compiler or interpreter is installed."""
    return shutil.which(_CHECKS[language][1][0]) is not None


def problem_of(path: pathlib.Path, language: str, *options: str) -> str | None:
    """Return what the compiler reports about a file; None if the file is valid.

    Where no compiler is installed, the structure is checked instead.
    """
    if not has_tool(language):
        return structural_problem(path.read_bytes())
    suffix, command = _CHECKS[language]
    with tempfile.TemporaryDirectory() as folder:
        # A copy with a plain name, because a compiler may refuse the test's file name.
        copy = pathlib.Path(shutil.copy(path, pathlib.Path(folder, f"file{suffix}")))
        done = subprocess.run(
            [*command, *options, copy],
            cwd=folder,
            env=tool_environment(),
            capture_output=True,
            timeout=100,
            check=False,
        )
    if done.returncode == 0:
        return None
    return done.stderr.decode("utf-8", "replace") or f"exit code {done.returncode}"


def structural_problem(content: bytes) -> str | None:
    """Return the first error in brackets, string literals or encoding; None if there is none."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return str(error)
    opened: list[str] = []
    for match in _TOKEN.finditer(text):
        if match["bad"]:
            return f"{match['bad']!r} at {match.start()}"
        bracket = match["bracket"]
        if bracket in _PAIRS:
            if not opened or opened.pop() != _PAIRS[bracket]:
                return f"{bracket!r} at {match.start()} closes nothing"
        elif bracket:
            opened.append(bracket)
    return f"{opened[-1]!r} is not closed" if opened else None


def valid(path: pathlib.Path, language: str) -> bool:
    """Return whether a file is valid source code of a language."""
    return problem_of(path, language) is None
