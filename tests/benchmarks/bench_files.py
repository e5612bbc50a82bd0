"""How fast files are made, and how much memory that takes.

Usage, from the top of the tree: python -m tests.benchmarks.bench_files [directory]

Rivals take turns within one run, each with a new file, so that what slows the
disk down slows all; figures are medians.  The ratios are those of the medians.
"""

from __future__ import annotations

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from itf import test_file_generator
from itf.file_generation.languages import UNITS
from itf.file_generation.large_files import NumberedUnits

_MIB = 1024 * 1024
_ROUNDS = 5

# Of the files whose writing is timed, in MiB.  The loops take too long for as
# much, the one with += above all: where the allocator cannot grow a text in its
# place, it copies the whole for each unit.
_SIZE = 256
_UNIT_SIZE = 32
_TEXT_SIZE = 2

_TEMPLATE = UNITS["function"]["python"]

# Prints how much memory the writing of 4 GiB takes, and how much of it was there
# before.  VmHWM, for unlike ru_maxrss it does not count what the parent had.
_MEMORY = """
import re, sys
from itf import test_file_generator
def most():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) / 1024
with test_file_generator(sys.argv[1]) as files:
    before = most()
    size = files.create_large_file("large", 4096).stat().st_size
    print(f"{size / 1024**3:.3f} GiB: {most():.1f} MiB at most, {most() - before:.1f} for the file")
"""


def _seconds(function: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _write(path: pathlib.Path, chunks: list[bytes]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    for chunk in chunks:
        os.write(file, chunk)
    os.close(file)


def _unit_by_unit(path: pathlib.Path) -> None:
    size = number = 0
    with path.open("w", encoding="utf-8") as file:
        while size < _UNIT_SIZE * _MIB:
            size += file.write(_TEMPLATE.replace("{n}", str(number)))
            number += 1


def _one_text(path: pathlib.Path) -> None:
    content, number = "", 0
    while len(content) < _TEXT_SIZE * _MIB:
        content += _TEMPLATE.replace("{n}", str(number))
        number += 1
    path.write_text(content, encoding="utf-8")


def large_files(folder: str) -> None:
    """Print the speed of a large file against that of nothing but writing, and of a loop."""
    units = NumberedUnits(_TEMPLATE)
    same = [bytes(chunk) for chunk in units.chunks(units.count_for(_SIZE * _MIB))]
    # One block again and again, which stays in the processor's cache: as fast as
    # the system takes it, though no file that anybody wants.
    block = [same[-2]] * (_SIZE * _MIB // len(same[-2]))
    with test_file_generator(folder) as files:
        path = files.workspace / "large"
        rivals: dict[str, tuple[float, Callable[[], object]]] = {
            "create_large_file": (_SIZE, lambda: files.create_large_file("large", _SIZE)),
            "the same bytes from memory": (_SIZE, lambda: _write(path, same)),
            "one block again and again": (_SIZE, lambda: _write(path, block)),
            "a loop that writes each unit": (_UNIT_SIZE, lambda: _unit_by_unit(path)),
            "a loop with +=": (_TEXT_SIZE, lambda: _one_text(path)),
        }
        speeds: dict[str, list[float]] = {name: [] for name in rivals}
        for _ in range(_ROUNDS):
            for name, (size, write) in rivals.items():
                start = time.perf_counter()
                write()
                speeds[name].append(size / (time.perf_counter() - start))
                path.unlink()
    medians = {name: statistics.median(column) for name, column in speeds.items()}
    ours = medians.pop("create_large_file")
    print(f"create_large_file: {ours:,.0f} MiB/s")
    for name, speed in medians.items():
        print(f"  {name}: {speed:,.1f} MiB/s, ratio {ours / speed:.2f}")
    subprocess.run([sys.executable, "-c", _MEMORY, folder], check=True)


def projects(folder: str) -> None:
    """Print the time of a project of 1,000 files, and of its files written plainly."""
    with test_file_generator(folder) as files:
        plain: list[float] = []
        ours: list[float] = []
        for number in range(_ROUNDS):
            start = time.perf_counter()
            path = files.create_project(f"project_{number}")
            ours.append(time.perf_counter() - start)
            contents = {inner.relative_to(path): inner.read_bytes() for inner in path.rglob("*.py")}
            start = time.perf_counter()
            for name, content in contents.items():
                other = files.workspace / f"plain_{number}" / name
                other.parent.mkdir(parents=True, exist_ok=True)
                other.write_bytes(content)
            plain.append(time.perf_counter() - start)
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"create_project: {statistics.median(ours):.3f} s, {ratio:.2f} times mkdir + write_bytes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as scratch:
        large_files(scratch)
        projects(scratch)
