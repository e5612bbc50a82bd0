from __future__ import annotations

import concurrent.futures
import functools
import io
import logging
import queue
import threading
import time
import types
import unittest
from collections import deque
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf import InterleavingDeadlockError, interleave
from tests.schedules import programs
from tests.schedules.programs import AccountWithLock, Slotted, crossing, failing_run

_HOUR = 3600.0


def kinds(*values: Any) -> list[str]:
    """Return of each value where its class comes from."""
    return [type(value).__module__.partition(".")[0] for value in values]


class PutBackTest(unittest.TestCase):
    def test_modules_have_what_they_had(self) -> None:
        """After runs that pass and runs that fail."""
        names = [
            (module, name, vars(module)[name])
            for module in (threading, queue, time, programs)
            for name in sorted(vars(module))
        ]
        thread = (threading.Thread.start, threading.Thread.join)
        inside: list[bool] = []

        def look() -> None:
            inside.append(kinds(threading.Lock(), threading.RLock()) == ["itf", "itf"])

        interleave(look, runs=2)
        failing_run(interleave, look, check=lambda: False)
        self.assertEqual([True] * 3, inside)
        for module, name, value in names:
            self.assertIs(value, vars(module)[name], name)
        self.assertEqual(thread, (threading.Thread.start, threading.Thread.join))

    def test_objects_have_what_they_had(self) -> None:
        """In attributes, slots, closures, globals, defaults, lists, dicts and partials."""
        lock, real = threading.Lock(), threading.Lock
        account, slotted = AccountWithLock(), Slotted()
        held = {"list": [threading.RLock()], "condition": threading.Condition()}
        event, channel = threading.Event(), queue.Queue[int]()

        def use(own: Any = threading.Lock(), *, other: Any = threading.Lock()) -> list[str]:  # noqa: B008 - kept in a default
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

    def test_what_a_function_puts_there_meanwhile_stays(self) -> None:
        """Only what was exchanged is put back."""
        account = AccountWithLock()

        def renew() -> None:
            account.lock = "new"

        interleave(renew, runs=1)
        self.assertEqual("new", account.lock)

    def test_a_list_that_moves_is_put_back(self) -> None:
        """Wherever its locks are by then."""
        locks: list[Any] = [threading.Lock(), threading.Lock()]
        interleave(locks.reverse, runs=1)
        self.assertNotIn("itf", kinds(*locks))


class TakeOverTest(unittest.TestCase):
    def deadlock(self, *functions: Callable[[], object], **options: Any) -> None:
        """Check that the functions' deadlock is found as one, not as a wait outside."""
        error = failing_run(interleave, *functions, seed=1, **options)
        self.assertIsInstance(error, InterleavingDeadlockError)
        self.assertEqual(3, len(error.circle))
        self.assertNotIn("outside", str(error))

    def test_locks_in_objects(self) -> None:
        """Of dataclasses with a factory, and in slots."""
        account, slotted = AccountWithLock(), Slotted()

        def forwards() -> None:
            with account.lock:
                slotted.add()

        def backwards() -> None:
            with slotted.lock:
                account.deposit()

        self.deadlock(forwards, backwards)

    def test_locks_that_setup_makes(self) -> None:
        """By whatever name they are made, also one from a module that kept it."""
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
        """A global of the module under test."""
        lock = threading.Lock()
        module = types.SimpleNamespace(functions=crossing(lock, programs.global_lock))
        self.deadlock(*module.functions)

    def check_that_all_is_taken_over(
        self, *functions: Callable[[], object], **options: Any
    ) -> None:
        """Check that no thread is ever blocked in what is not taken over."""
        for seed in range(20):
            error = failing_run(
                interleave, *functions, check=lambda: False, runs=1, seed=seed, **options
            )
            self.assertNotIn("was blocked outside", "\n".join(error.schedule))

    def test_pools_of_threads(self) -> None:
        """They share a lock of their module, and the futures' own."""
        before = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(before.shutdown)
        found: list[list[int]] = []

        def use() -> None:
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                found.append([*pool.map(abs, (-1, -2))])

        self.check_that_all_is_taken_over(use, use)
        self.assertEqual([1, 2], found[0])

        done: concurrent.futures.Future[int] = concurrent.futures.Future()

        def give() -> None:
            if not done.done():
                done.set_result(5)

        self.check_that_all_is_taken_over(give, lambda: done.result(_HOUR))

    def test_a_pool_replays(self) -> None:
        """Though it keeps its threads in a set, which has an order of its own each time."""

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

    def test_a_pool_that_is_left_is_ended_without_a_word(self) -> None:
        """Its threads wait for more when the functions are done."""
        kept: list[concurrent.futures.ThreadPoolExecutor] = []

        def use() -> None:
            kept.append(concurrent.futures.ThreadPoolExecutor(2))
            self.assertEqual(5, kept[-1].submit(int, "5").result())

        with self.assertNoLogs():
            interleave(use, use, runs=10, seed=1)

    def test_logging(self) -> None:
        """A handler keeps its lock while it asks the user's objects for their text."""

        class Told:
            def __str__(self) -> str:
                parts: list[str] = []
                for part in "abc":
                    parts.append(part)
                return "".join(parts)

        stream = io.StringIO()
        logger = logging.getLogger("itf.tests.schedules")
        logger.propagate = False
        logger.addHandler(logging.StreamHandler(stream))
        self.addCleanup(logger.handlers.clear)
        lock = logger.handlers[0].lock

        def tell() -> None:
            logger.warning("%s", Told())

        self.check_that_all_is_taken_over(tell, tell)
        self.assertEqual("abc\n" * 40, stream.getvalue())
        self.assertIs(lock, logger.handlers[0].lock)

    def test_a_cached_property(self) -> None:
        """Until Python 3.12 it has a lock, one for all instances."""

        class Slow:
            @functools.cached_property
            def found(self) -> list[int]:
                parts: list[int] = []
                for part in range(3):
                    parts.append(part)
                return parts

        self.check_that_all_is_taken_over(lambda: Slow().found, lambda: Slow().found)

    def test_what_poses_as_something_else_is_let_alone(self) -> None:
        """A mock with a spec says that it is a dict, a list, a lock."""
        posing = [mock.Mock(spec=kind) for kind in ({}, [], deque(), threading.Lock(), print)]

        def use() -> None:
            for poser in posing:
                self.assertIsInstance(poser, mock.Mock)

        interleave(use, runs=2, seed=1)

    def test_a_lock_that_is_out_of_reach_is_waited_for(self) -> None:
        """It costs time, and fails nothing: whoever waits is taken to be outside."""
        lock = threading.Lock()
        # Tuples are not changed.
        hidden = (lock,)

        def hold() -> None:
            with hidden[0]:
                for _ in range(10):
                    threading.get_ident()

        del lock
        explored = interleave(hold, hold, runs=10, seed=1)
        self.assertEqual(10, explored.runs)


if __name__ == "__main__":
    unittest.main()
