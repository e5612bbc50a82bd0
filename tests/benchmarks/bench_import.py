"""Time of a process that imports itf, as a ratio to one that imports unittest alone.

    python -m tests.benchmarks.bench_import [PYTHON ...]

Without arguments it measures the Python that runs it.  The two imports take turns,
from compiled files, each in a process of its own; the figure is the ratio of their
medians.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

__all__ = ["measure"]

ROUNDS = 60
# `from itf import IntegrationTestCase` may take this many times as long as `import unittest`.
LIMIT = 1.5

_BASE = "import unittest"
_WITH_ITF = "from itf import IntegrationTestCase"
_PACKAGE = pathlib.Path(__file__).parents[2] / "itf"


def measure(python: str, rounds: int = ROUNDS) -> float:
    """Return the ratio for one interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        # A copy, because compiled files of the checkout may be missing or forbidden.
        shutil.copytree(
            _PACKAGE, pathlib.Path(folder) / "itf", ignore=shutil.ignore_patterns("__pycache__")
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        times: dict[str, list[float]] = {_BASE: [], _WITH_ITF: []}
        for number in range(-3, rounds):  # the first rounds compile
            for statement, values in times.items():
                began = time.perf_counter()
                # -S: what the machine's site-packages import at startup is no part of either.
                subprocess.run(
                    [python, "-S", "-c", statement], cwd=folder, env=environment, check=True
                )
                if number >= 0:
                    values.append(time.perf_counter() - began)
    return statistics.median(times[_WITH_ITF]) / statistics.median(times[_BASE])


def main() -> None:
    """Print the ratio of each interpreter."""
    failed = False
    for python in sys.argv[1:] or [sys.executable]:
        ratio = measure(python)
        failed |= ratio > LIMIT
        print(f"import: {ratio:.2f} times import unittest (at most {LIMIT}), {python}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
