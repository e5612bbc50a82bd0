"""What the objects of `multiprocessing` and `threading` can do, itf's can, on each Python.

A name that a new Python adds makes a test here fail: give it to itf's object,
or say here why not.
"""

from __future__ import annotations

import multiprocessing
import threading
from multiprocessing import shared_memory
from multiprocessing.process import BaseProcess
from typing import Any

from itf.sync.barrier import SharedBarrier
from itf.sync.event import SharedEvent
from itf.sync.lock import SharedLock
from itf.sync.memory import SharedMemory
from itf.sync.queue import SharedQueue
from itf.sync.semaphore import SharedSemaphore
from itf.workers.processes import WorkerProcess
from itf.workers.threads import WorkerThread
from tests.sync.primitives_support import PrimitivesTestCase

# Names that are only another spelling, and deprecated or without documentation.
OLD_SPELLINGS = {"acquire_lock", "release_lock", "locked_lock", "isSet"}
OLD_SPELLINGS |= {"getName", "setName", "isDaemon", "setDaemon"}

# What of a process or thread is inherited as it is: it does what it says for workers, too.
AS_INHERITED = {
    BaseProcess: {"authkey", "daemon", "name", "sentinel"},
    threading.Thread: {"daemon", "ident", "is_alive", "name", "native_id"},
}


def public(value: object) -> set[str]:
    """Return the public names of an object or class."""
    return {name for name in dir(value) if not name.startswith("_")} - OLD_SPELLINGS


class PublicNamesTest(PrimitivesTestCase):
    """Nothing is missing."""

    def test_primitives(self) -> None:
        """Each has the public names of the one that it stands in for, of processes and threads."""
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        self.addCleanup(queue.join_thread)
        self.addCleanup(queue.close)
        pairs: list[tuple[object, list[object]]] = [
            (SharedLock(self.table, "lock"), [context.Lock(), threading.Lock()]),
            (
                SharedSemaphore(self.table, "slots", 1),
                [context.Semaphore(), threading.Semaphore(), context.BoundedSemaphore()],
            ),
            (SharedEvent(self.table, "event"), [context.Event(), threading.Event()]),
            (SharedBarrier(self.table, "barrier", 2), [context.Barrier(2), threading.Barrier(2)]),
            (SharedQueue(self.table, "queue"), [queue]),
            (SharedMemory(self.table, "memory", 1), [shared_memory.SharedMemory]),
        ]
        for own, others in pairs:
            for other in others:
                with self.subTest(type(own).__name__, other=other):
                    self.assertEqual(set(), public(other) - public(own))

    def test_workers(self) -> None:
        """Each public name of a process or thread is its own, or known to be right as inherited."""
        cases: list[tuple[Any, Any]] = [
            (WorkerProcess, BaseProcess),
            (WorkerThread, threading.Thread),
        ]
        for own, base in cases:
            with self.subTest(own.__name__):
                inherited = {
                    name for name in public(base) if getattr(own, name) is getattr(base, name)
                }
                self.assertEqual(AS_INHERITED[base], inherited)
                self.assertEqual(set(), public(base) - public(own))
