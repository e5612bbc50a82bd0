"""Speed of generating files, and the memory that is needed.

Usage, from the top of the tree: python -m tests.benchmarks.bench_files [directory]

All ways to write the same file take turns within one run, each with a new file, so
that a slow disk slows all of them.  Figures are medians, ratios are ratios of medians.
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

# Sizes of the timed files in MiB.  The loops get smaller files, because they are
# slow.  The loop with += is the slowest: where the allocator cannot extend a str in
# place, it copies the whole str for each unit.
_SIZE = 256
_UNIT_SIZE = 32
_TEXT_SIZE = 2

_TEMPLATE = UNITS["function"]["python"]

# Script that prints the peak memory while it writes 4 GiB, and the increase.  It reads
# VmHWM, because ru_maxrss includes the memory of the parent process.
_MEMORY = """
import re, sys
from itf import test_file_generator
def peak():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) / 1024
with test_file_generator(sys.argv[1]) as files:
    before = peak()
    size = files.create_large_file("large", 4096).stat().st_size
    print(f"{size / 1024**3:.3f} GiB: {peak():.1f} MiB at most, {peak() - before:.1f} for the file")
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
    """Print the speed of create_large_file, compared with plain writes and with loops."""
    units = NumberedUnits(_TEMPLATE)
    same = [bytes(chunk) for chunk in units.chunks(units.count_for(_SIZE * _MIB))]
    # The same block many times stays in the processor's cache.  So this is the
    # fastest possible write, although the file is useless.
    block = [same[-2]] * (_SIZE * _MIB // len(same[-2]))
    with test_file_generator(folder) as files:
        path = files.workspace / "large"
        candidates: dict[str, tuple[float, Callable[[], object]]] = {
            "create_large_file": (_SIZE, lambda: files.create_large_file("large", _SIZE)),
            "the same bytes from memory": (_SIZE, lambda: _write(path, same)),
            "one block again and again": (_SIZE, lambda: _write(path, block)),
            "a loop that writes each unit": (_UNIT_SIZE, lambda: _unit_by_unit(path)),
            "a loop with +=": (_TEXT_SIZE, lambda: _one_text(path)),
        }
        speeds: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(_ROUNDS):
            for name, (size, write) in candidates.items():
                start = time.perf_counter()
                write()
                speeds[name].append(size / (time.perf_counter() - start))
                path.unlink()
    medians = {name: statistics.median(column) for name, column in speeds.items()}
    own = medians.pop("create_large_file")
    print(f"create_large_file: {own:,.0f} MiB/s")
    for name, speed in medians.items():
        print(f"  {name}: {speed:,.1f} MiB/s, ratio {own / speed:.2f}")
    subprocess.run([sys.executable, "-c", _MEMORY, folder], check=True)


def projects(folder: str) -> None:
    """Print the time of a project of 1,000 files, compared with mkdir and write_bytes."""
    with test_file_generator(folder) as files:
        plain: list[float] = []
        own: list[float] = []
        for number in range(_ROUNDS):
            start = time.perf_counter()
            path = files.create_project(f"project_{number}")
            own.append(time.perf_counter() - start)
            contents = {inner.relative_to(path): inner.read_bytes() for inner in path.rglob("*.py")}
            start = time.perf_counter()
            for name, content in contents.items():
                other = files.workspace / f"plain_{number}" / name
                other.parent.mkdir(parents=True, exist_ok=True)
                other.write_bytes(content)
            plain.append(time.perf_counter() - start)
    ratio = statistics.median(own) / statistics.median(plain)
    print(f"create_project: {statistics.median(own):.3f} s, {ratio:.2f} times mkdir + write_bytes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as scratch:
        large_files(scratch)
        projects(scratch)
