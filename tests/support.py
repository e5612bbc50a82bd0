"""What several test modules use."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from collections.abc import Callable
from typing import Any

__all__ = [
    "colourless",
    "fork",
    "full_tests",
    "in_threads",
    "is_open",
    "mixed_in",
    "open_folder",
    "run_case",
    "run_method",
    "run_script",
    "tool_environment",
]

_ROOT = pathlib.Path(__file__).parent.parent

# Far more than any of it takes: who waits this long hangs.
_TIMEOUT = 60


def fork() -> int:
    """Fork, also beside threads.

    Where warnings are errors, Python 3.15 raises that there are threads in the parent, when
    the child exists.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def run_case(case: unittest.TestCase) -> unittest.TestResult:
    """Run one test, and return the result that it has filled in."""
    result = unittest.TestResult()
    case.run(result)
    return result


def run_method(cls: type[unittest.TestCase], name: str = "test") -> unittest.TestResult:
    """Run one test method of a class, and return the result that it has filled in."""
    return run_case(cls(name))


def run_script(source: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a plain script in a Python of its own, which takes each warning for an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source, *args],
        cwd=_ROOT,
        env={**colourless(), "PYTHONPATH": str(_ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )


def full_tests() -> bool:
    """Return whether the long tests run whole (``ITF_TEST_FULL=1``), not only a sample of them."""
    return os.environ.get("ITF_TEST_FULL", "") not in ("", "0")


def in_threads(count: int, function: Callable[[int], Any]) -> list[Any]:
    """Call a function in so many threads at once, with their numbers, and return the results."""
    results: list[Any] = [None] * count
    failures: list[BaseException] = []
    barrier = threading.Barrier(count, timeout=_TIMEOUT)

    def call(number: int) -> None:
        try:
            barrier.wait()
            results[number] = function(number)
        except BaseException as error:  # noqa: BLE001 - raised again, in the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_TIMEOUT)
    if failures:
        raise failures[0]
    return results


def mixed_in(mixin: type) -> list[type[Any]]:
    """Return the classes that people make of a mixin."""

    class Plain(mixin):  # type: ignore[misc]
        pass

    class WithoutSuper(mixin):  # type: ignore[misc]
        def __init__(self) -> None:
            pass  # and no super().__init__()

    class Before(mixin, unittest.TestCase):  # type: ignore[misc]
        pass

    class After(unittest.TestCase, mixin):  # type: ignore[misc]
        pass

    class Equal(mixin):  # type: ignore[misc]
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    return [mixin, Plain, WithoutSuper, Before, After, Equal]


def tool_environment() -> dict[str, str]:
    """Return an environment in which a compiler finds its parts, also where ours has no PATH."""
    return {"PATH": os.defpath, **colourless()}


def colourless() -> dict[str, str]:
    """Return this process's environment without the wish for colours: output is compared."""
    return {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}


def open_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a temporary directory that every user can reach; ours may lie in a private one."""
    for candidate in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        place = pathlib.Path(candidate).resolve()
        if all(folder.stat().st_mode & stat.S_IXOTH for folder in (place, *place.parents)):
            folder = tempfile.TemporaryDirectory(dir=place)
            os.chmod(folder.name, 0o777)
            return folder
    raise AssertionError("there is no temporary directory that every user can reach")


def is_open(number: int) -> bool:
    """Say whether a descriptor is open."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
