from __future__ import annotations

import concurrent.futures
import functools
import importlib
import io
import logging
import pathlib
import queue
import sys
import tempfile
import threading
import time
import types
import unittest
from collections import deque
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf import InterleavingDeadlockError, interleave
from itf.interleaving import interleaving_report, primitives
from tests.interleaving import programs
from tests.interleaving.programs import AccountWithLock, Slotted, crossing, failing_run
from tests.support import run_script

_HOUR = 3600.0


def kinds(*values: Any) -> list[str]:
    """Return the top-level package of each value's class."""
    return [type(value).__module__.partition(".")[0] for value in values]


class RestoreTest(unittest.TestCase):
    def test_names_of_modules_are_restored(self) -> None:
        """Names of modules are restored after runs that pass and runs that fail."""
        names = [
            (module, name, vars(module)[name])
            for module in (threading, queue, time, programs)
            for name in sorted(vars(module))
        ]
        thread = (threading.Thread.start, threading.Thread.join)
        inside: list[bool] = []

        def record() -> None:
            inside.append(kinds(threading.Lock(), threading.RLock()) == ["itf", "itf"])

        interleave(record, runs=2)
        failing_run(interleave, record, check=lambda: False)
        self.assertEqual([True] * 3, inside)
        for module, name, value in names:
            self.assertIs(value, vars(module)[name], name)
        self.assertEqual(thread, (threading.Thread.start, threading.Thread.join))

    def test_references_in_objects_are_restored(self) -> None:
        """Locks are replaced and restored wherever functions can reach them.

        Attributes, slots, closures, globals, defaults, lists, dicts and partials.
        """
        lock, real = threading.Lock(), threading.Lock
        account, slotted = AccountWithLock(), Slotted()
        held = {"list": [threading.RLock()], "condition": threading.Condition()}
        event, channel = threading.Event(), queue.Queue[int]()

        def use(own: Any = threading.Lock(), *, other: Any = threading.Lock()) -> list[str]:  # noqa: B008 - the default is what is tested
            return kinds(
                lock, own, other, programs.global_lock, account.lock, account.queue, slotted.lock,
                held["list"][0], held["condition"], channel.mutex,  # type: ignore[index]
            )  # fmt: skip

        seen: list[str] = []
        extra = functools.partial(lambda one, two: seen.extend(kinds(one, two)), threading.Lock())
        before = [*use(), *kinds(event, extra.args[0])]
        interleave(
            lambda: seen.extend(use()),
            functools.partial(extra, two=threading.RLock()),
            event.set,
            runs=1,
        )
        self.assertEqual({"itf"}, set(seen))
        self.assertEqual(12, len(seen))
        self.assertEqual(before, [*use(), *kinds(event, extra.args[0])])
        self.assertNotIn("itf", before)
        self.assertIs(real, threading.Lock)
        self.assertIs(type(held["condition"]), threading.Condition)

    def test_values_assigned_during_a_run_stay(self) -> None:
        """A value that a function assigns during the run is not overwritten."""
        account = AccountWithLock()

        def reset() -> None:
            account.lock = "new"

        interleave(reset, runs=1)
        self.assertEqual("new", account.lock)

    def test_a_reordered_list_is_restored(self) -> None:
        """Locks in a list are restored, also if the run changes their order."""
        locks: list[Any] = [threading.Lock(), threading.Lock()]
        interleave(locks.reverse, runs=1)
        self.assertNotIn("itf", kinds(*locks))


class ReplaceTest(unittest.TestCase):
    def deadlock(self, *functions: Callable[[], object], **options: Any) -> None:
        """Assert that interleave reports a deadlock of two threads, and no stall."""
        error = failing_run(interleave, *functions, seed=1, **options)
        self.assertIsInstance(error, InterleavingDeadlockError)
        self.assertEqual(3, len(error.circle))
        self.assertNotIn(interleaving_report._OUTSIDE, str(error))

    def test_locks_in_objects(self) -> None:
        """Locks in attributes and slots of user objects are replaced."""
        account, slotted = AccountWithLock(), Slotted()

        def forwards() -> None:
            with account.lock:
                slotted.add()

        def backwards() -> None:
            with slotted.lock:
                account.deposit()

        self.deadlock(forwards, backwards)

    def test_locks_created_by_setup(self) -> None:
        """Locks that setup creates are replacements, also if a dataclass factory creates them."""
        pair: list[Any] = []

        def make() -> None:
            pair[:] = [AccountWithLock().lock, threading.RLock()]

        def forwards() -> None:
            with pair[0], pair[1]:
                return

        def backwards() -> None:
            with pair[1], pair[0]:
                return

        self.deadlock(forwards, backwards, setup=make)

    def test_locks_in_a_module_reached_through_another(self) -> None:
        """A global lock of another module of the user is replaced."""
        lock = threading.Lock()
        module = types.SimpleNamespace(functions=crossing(lock, programs.global_lock))
        self.deadlock(*module.functions)

    def assert_no_stall(self, *functions: Callable[[], object], **options: Any) -> None:
        """Assert that no thread stalls in a call that is not patched."""
        for seed in range(20):
            error = failing_run(
                interleave, *functions, check=lambda: False, runs=1, seed=seed, **options
            )
            self.assertNotIn(interleaving_report._OUTSIDE, "\n".join(error.schedule))

    def test_pools_of_threads(self) -> None:
        """Thread pools and futures wait in virtual time, also those created before the run."""
        before = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(before.shutdown)
        found: list[list[int]] = []

        def use() -> None:
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                found.append([*pool.map(abs, (-1, -2))])

        self.assert_no_stall(use, use)
        self.assertEqual([1, 2], found[0])

        done: concurrent.futures.Future[int] = concurrent.futures.Future()

        def give() -> None:
            if not done.done():
                done.set_result(5)

        self.assert_no_stall(give, lambda: done.result(_HOUR))

    def test_a_pool_replays(self) -> None:
        """Runs with a thread pool replay, although a pool joins its threads from a set."""

        def use() -> None:
            with concurrent.futures.ThreadPoolExecutor(2, "pool") as pool:
                for future in [pool.submit(bool, number) for number in range(3)]:
                    future.result()

        for seed in range(20):
            first, second = (
                failing_run(interleave, use, use, check=lambda: False, runs=1, seed=seed).schedule
                for _ in range(2)
            )
            self.assertEqual(first, second)
        self.assertNotIn("set", vars(concurrent.futures.thread))

    def test_a_pool_without_shutdown_is_ended_silently(self) -> None:
        """Threads of a pool that is not shut down are ended, and nothing is logged."""
        kept: list[concurrent.futures.ThreadPoolExecutor] = []

        def use() -> None:
            kept.append(concurrent.futures.ThreadPoolExecutor(2))
            self.assertEqual(5, kept[-1].submit(int, "5").result())

        with self.assertNoLogs():
            interleave(use, use, runs=10, seed=1)

    def test_logging(self) -> None:
        """A logging handler waits in virtual time; it holds its lock while it calls user code."""

        class Text:
            def __str__(self) -> str:
                parts: list[str] = []
                for part in "abc":
                    parts.append(part)
                return "".join(parts)

        stream = io.StringIO()
        logger = logging.getLogger("itf.tests.interleaving")
        logger.propagate = False
        logger.addHandler(logging.StreamHandler(stream))
        self.addCleanup(logger.handlers.clear)
        lock = logger.handlers[0].lock

        def log() -> None:
            logger.warning("%s", Text())

        self.assert_no_stall(log, log)
        self.assertEqual("abc\n" * 40, stream.getvalue())
        self.assertIs(lock, logger.handlers[0].lock)

    def test_a_cached_property(self) -> None:
        """functools.cached_property does not stall; until Python 3.11 it has a lock."""

        class Slow:
            @functools.cached_property
            def found(self) -> list[int]:
                parts: list[int] = []
                for part in range(3):
                    parts.append(part)
                return parts

        self.assert_no_stall(lambda: Slow().found, lambda: Slow().found)

    def test_mocks_are_not_changed(self) -> None:
        """A mock with the spec of a container or lock is not changed."""
        mocks = [mock.Mock(spec=kind) for kind in ({}, [], deque(), threading.Lock(), print)]

        def use() -> None:
            for each in mocks:
                self.assertIsInstance(each, mock.Mock)

        interleave(use, runs=2, seed=1)

    def test_a_lock_in_a_tuple_stays_real(self) -> None:
        """A lock that cannot be replaced delays the run, and does not fail it."""
        lock = threading.Lock()
        # A tuple is immutable, so the reference cannot be replaced.
        hidden = (lock,)

        def hold() -> None:
            with hidden[0]:
                for _ in range(10):
                    threading.get_ident()

        del lock
        explored = interleave(hold, hold, runs=10, seed=1)
        self.assertEqual(10, explored.runs)


# Sources of a program with lazy imports, and of the modules that it imports.
_LAZY_MODULES = {
    "lazy_locks.py": "import threading\nlock, other = threading.Lock(), threading.Lock()",
    "lazy_helper.py": "lazy from lazy_locks import other\nlazy import lazy_missing",
    "lazy_program.py": """
import lazy_helper
lazy from lazy_locks import lock
lazy from threading import Lock
lazy from time import monotonic
lazy import lazy_missing
seen = set()

def use():
    with lock, lazy_helper.other, Lock() as made:
        monotonic()
    seen.update(type(x).__module__.partition(".")[0] for x in (lock, lazy_helper.other, Lock()))
    if not seen:
        lazy_missing.call()
""",
}
_LAZY_SCRIPT = """
import sys, time, threading
sys.path.insert(0, sys.argv[1])
from itf import interleave
import lazy_program
assert interleave(lazy_program.use, lazy_program.use, runs=20, seed=1).schedules > 1
print(*sorted(lazy_program.seen))
print(lazy_program.Lock is threading.Lock, lazy_program.monotonic is time.monotonic)
def left():
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] != "itf":
            for key, value in [*vars(module).items()]:
                if isinstance(value, (type, type(left))) and key != "interleave":
                    if str(value.__module__).startswith("itf.interleaving."):
                        yield f"{name}.{key}"
print(*left())
"""


@unittest.skipIf(sys.version_info < (3, 15), "lazy imports are new in Python 3.15")
class LazyTest(unittest.TestCase):
    def run_lazily(self, source: str, *args: str, mode: str) -> str:
        result = run_script(source, *args, PYTHON_LAZY_IMPORTS=mode)
        self.assertEqual("", result.stderr)
        return result.stdout

    def test_lazy_imports_are_replaced_and_restored(self) -> None:
        """Locks and names behind lazy imports are replaced and restored.

        A lazy import that would fail, and that no function uses, is not resolved.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name, text in _LAZY_MODULES.items():
                pathlib.Path(folder, name).write_text(text, encoding="utf-8")
            for mode in ("normal", "all"):
                with self.subTest(mode):
                    printed = self.run_lazily(_LAZY_SCRIPT, folder, mode=mode)
                    self.assertEqual("itf\nTrue True\n\n", printed)

    def test_where_all_imports_are_lazy(self) -> None:
        """itf resolves its own lazy imports before it patches anything, and runs replay.

        Otherwise itf would take its replacements for the real objects, and recurse.
        """
        script = (
            "from tests.interleaving.programs import lost_update\n"
            "print('\\n'.join(lost_update(seed=3, runs=200).schedule))"
        )
        printed = {self.run_lazily(script, mode=mode) for mode in ("normal", "all", "all")}
        self.assertEqual(1, len(printed))
        self.assertIn("ran to", printed.pop())


class ImportDuringRunTest(unittest.TestCase):
    def test_names_imported_during_a_run_are_restored(self) -> None:
        """Names that a module imports during a run are real afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            source = "from threading import Lock\nfrom time import monotonic, sleep\n"
            pathlib.Path(folder, "imported_during_run.py").write_text(source, encoding="utf-8")
            sys.path.insert(0, folder)
            self.addCleanup(sys.path.remove, folder)
            self.addCleanup(sys.modules.pop, "imported_during_run", None)
            seen: list[str] = []

            def load() -> None:
                module = importlib.import_module("imported_during_run")
                seen.extend(kinds(module.Lock()))

            interleave(load, load, runs=2)
            module = sys.modules["imported_during_run"]
            self.assertEqual(["itf"] * 4, seen)
            self.assertIs(threading.Lock, vars(module)["Lock"])
            self.assertIs(time.monotonic, vars(module)["monotonic"])
            self.assertIs(time.sleep, vars(module)["sleep"])


class RLockMethodsTest(unittest.TestCase):
    def test_private_methods_of_rlock(self) -> None:
        """The replacement of RLock has the private methods that Condition calls."""
        for name in ("_is_owned", "_release_save", "_acquire_restore"):
            self.assertTrue(hasattr(threading.RLock(), name), name)
            self.assertTrue(hasattr(primitives.RLock(), name), name)


if __name__ == "__main__":
    unittest.main()
