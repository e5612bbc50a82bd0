"""Support for the tests of workers: a context for each test, and a check of what it leaves."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any

from itf.linux_proc import children
from itf.workers.base import WorkerContext
from itf.workers.hang_report import describe_workers
from itf.workers.processes import WorkerProcess, new_process
from itf.workers.shutdown import (
    close_context,
    processes_of,
    stop_processes,
    threads_of,
    wait_for_threads,
)
from itf.workers.threads import WorkerThread, new_thread
from tests.support import colourless

__all__ = ["METHODS", "WorkerTestCase", "eventually", "idle", "run_script"]

METHODS = [
    method
    for method in ("fork", "forkserver", "spawn")
    if method in multiprocessing.get_all_start_methods()
]

ROOT = pathlib.Path(__file__).parents[2]

DEADLINE = 30.0


def idle() -> None:
    """Wait for something that does not come."""
    threading.Event().wait(DEADLINE)


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Look again and again until a condition holds; say whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def run_script(*args: str, timeout: float = 60, cwd: str | None = None, **options: Any) -> str:
    """Run a Python of its own, and return what it printed, errors with the rest."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *args],
        cwd=cwd or ROOT,
        env=colourless() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        text=True,
        check=False,
        **options,
    )
    return done.stdout


def own_children() -> dict[int, str]:
    """Return the children of this process, without those of multiprocessing that stay."""
    found = {}
    for pid in children():
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        if b"multiprocessing.forkserver" in command or b"resource_tracker" in command:
            continue
        found[pid] = command.decode(errors="replace")
    return found


def descriptors() -> dict[str, str]:
    """Return the open descriptors of this process and what they are."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # that of the listing itself
    return {
        number: name
        for number, name in found.items()
        if "/proc/" not in name and "/pym-" not in name
    }


def own_descriptors() -> dict[str, str]:
    """Return them without what plans of other tests get when a process is forked: pages."""
    return {number: name for number, name in descriptors().items() if "itf-fault-page" not in name}


def leftovers() -> dict[str, Any]:
    """Return what a test must leave as it was."""
    return {
        "descriptors": own_descriptors(),
        "children": own_children(),
        "temporary files": sorted(
            name
            for name in os.listdir(tempfile.gettempdir())
            if name.startswith(("itf-results", "itf-stacks"))
        ),
    }


class WorkerTestCase(unittest.TestCase):
    """A test with a worker context; afterwards no process, thread or descriptor may be left."""

    # Those that wait shorter in case of failure set less.
    grace = 1.0

    @classmethod
    def setUpClass(cls) -> None:
        """Start what multiprocessing starts once for ever, so that no test is blamed for it."""
        worker_context = WorkerContext()
        for method in METHODS:
            worker = new_process(worker_context, int, name="first", start_method=method)
            worker.start()
            worker.result(DEADLINE)
        close_context(worker_context)

    def setUp(self) -> None:
        before = leftovers()
        self.addCleanup(self.check_leftovers, before)
        self.worker_context = WorkerContext(default_timeout=DEADLINE)
        self.worker_context.describe = lambda: describe_workers(self.worker_context.workers)
        self.addCleanup(self.close)

    def close(self) -> list[int]:
        """End all workers, and what they left behind."""
        wait_for_threads(threads_of(self.worker_context), self.grace)
        stuck = stop_processes(processes_of(self.worker_context), self.grace)
        found = close_context(self.worker_context)
        self.assertEqual([], stuck)
        return found

    def check_leftovers(self, before: dict[str, Any]) -> None:
        """Fail if something is left that was not there before."""

        def left() -> dict[str, Any]:
            now = leftovers()
            # What an earlier test had dropped may have been collected since.
            old = before["descriptors"].items()
            return {**now, "descriptors": dict(now["descriptors"].items() - old)}

        expected = {**before, "descriptors": {}}
        if not eventually(lambda: left() == expected, 1.0):
            self.assertEqual(expected, left())
        shared = {name for name in os.listdir("/dev/shm") if str(os.getpid()) in name}
        self.assertEqual(set(), shared)

    def process(
        self,
        target: Callable[..., Any],
        *args: Any,
        method: str = "auto",
        name: str = "w",
        **kw: Any,
    ) -> WorkerProcess:
        """Make a worker process."""
        return new_process(self.worker_context, target, args, kw, name=name, start_method=method)

    def started(
        self,
        target: Callable[..., Any],
        *args: Any,
        method: str = "auto",
        name: str = "w",
        **kw: Any,
    ) -> WorkerProcess:
        """Make a worker process and start it."""
        worker = self.process(target, *args, method=method, name=name, **kw)
        worker.start()
        return worker

    def thread(self, target: Callable[..., Any], *args: Any, name: str = "t") -> WorkerThread:
        """Make a worker thread and start it."""
        worker = new_thread(self.worker_context, target, args, name=name)
        worker.start()
        return worker

    def message_of(self, kind: type[BaseException], action: Callable[[], Any]) -> str:
        """Return the text of the error that an action raises."""
        with self.assertRaises(kind) as caught:
            action()
        return str(caught.exception)
