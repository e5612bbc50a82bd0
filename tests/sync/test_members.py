"""Tests of the member table: its processes and threads, which are alive, and full tables."""

from __future__ import annotations

import multiprocessing
import os
import threading
import unittest
from typing import Any
from unittest import mock

from itf.exceptions import WorkerError
from itf.sync import members as members_module
from itf.sync.lock import SharedLock
from itf.sync.members import MemberTable
from tests.support import fork
from tests.sync.primitives_support import DEADLINE, PrimitivesTestCase, die, linger, stop_myself


def enter(table: MemberTable, twice: MemberTable, name: str) -> None:
    """Enter a started process; exit with 7 if both arguments are the same, living table."""
    table.join(name)
    os._exit(7 if table is twice and table.is_alive(table.process_slot()) else 1)


class MemberTableTest(PrimitivesTestCase):
    def names(self) -> list[str]:
        """Return the names of the living members."""
        return [member.name for member in self.table.members()]

    def test_who_takes_part(self) -> None:
        """The test is a member; a process becomes one at its first use, under the name it gives."""
        self.assertEqual(["test"], self.names())
        self.assertEqual(os.getpid(), self.table.members()[0].pid)
        pid = self.fork(lambda: (self.table.join("w1"), linger()))
        self.eventually(lambda: self.names() == ["test", "w1"], "w1 is not there")
        self.assertEqual(pid, self.table.members()[1].pid)

    def test_a_slot_needs_its_life_byte(self) -> None:
        """A slot is not claimed while another process is stopped with its life byte locked."""
        pid = self.fork(self.table.join)
        self.assertEqual(0, self.join(pid))
        self.assertTrue(self.table.try_lock_byte(members_module._LIFE + 1, shared=True))

        def enter_too() -> None:
            with self.assertRaisesRegex(WorkerError, "more than 2 processes"):
                self.table.join()

        with mock.patch.object(members_module, "PROCESS_SLOTS", 2):
            self.assertEqual(0, self.join(self.fork(enter_too)))
        self.table.unlock_byte(members_module._LIFE + 1)

    def test_a_dead_process_is_not_alive(self) -> None:
        """A process is dead from its death on, also as a zombie; a stopped one is alive."""
        pid = self.fork(lambda: (self.table.join("w1"), stop_myself()))
        self.await_stop(pid)
        place = self.table.members()[1].process
        self.assertTrue(self.table.is_alive(place))
        os.kill(pid, 9)
        self.await_death(pid)
        self.assertFalse(self.table.is_alive(place))
        self.assertEqual(["test"], self.names())

    def test_a_forked_child_has_its_own_slot(self) -> None:
        """A forked child has its own slot; what it closes does not end its parent's life."""

        def family() -> None:
            place = self.table.process_slot()
            child = fork()
            if not child:
                own = self.table.process_slot()
                self.table.close()
                os._exit(own)
            other = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os._exit(10 * place + other)

        self.assertEqual(12, self.join(self.fork(family)))
        self.assertEqual(0, self.table.process_slot())
        check = self.fork(lambda: os._exit(self.table.is_alive(0)))
        self.assertEqual(1, self.join(check))

    def test_a_started_process_has_one_table(self) -> None:
        """A process that gets the table twice has one object, and stays alive."""
        for method in multiprocessing.get_all_start_methods():
            worker: Any = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
                target=enter, args=(self.table, self.table, "w1")
            )
            worker.start()
            worker.join(DEADLINE)
            self.assertEqual(7, worker.exitcode, method)
            worker.close()

    def test_a_table_unpickled_twice_is_one_object(self) -> None:
        """Unpickling the table again gives the same object, and the process stays alive."""
        duplicate = mock.Mock(detach=lambda: os.dup(self.table.descriptor))
        self.assertIs(self.table, members_module._rebuild(duplicate))
        check = self.fork(lambda: os._exit(self.table.is_alive(0)))
        self.assertEqual(1, self.join(check))

    def test_each_thread_has_a_slot(self) -> None:
        """Each thread has its own slot, which the next thread with its ident inherits."""
        slots = [self.table.thread_slot(), self.table.thread_slot()]
        barrier = threading.Barrier(8)

        def sit() -> None:
            slots.append(self.table.thread_slot())
            barrier.wait(DEADLINE)

        threads = [threading.Thread(target=sit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual(slots[0], slots[1])
        self.assertEqual(9, len(set(slots)))

    def test_process_slots_of_dead_processes_are_reused(self) -> None:
        """More processes than slots can use a table, one after the other."""
        lock = SharedLock(self.table, "data", default_timeout=DEADLINE)
        count = members_module.PROCESS_SLOTS + 44
        for _ in range(count):
            self.join(self.fork(lambda: (lock.acquire(), lock.release())))
        self.assertEqual(["test"], self.names())

    def test_thread_slots_of_dead_threads_are_reused(self) -> None:
        """A dead thread's slot is reused after what the thread held was recovered, not before."""
        lock = SharedLock(self.table, "data", default_timeout=DEADLINE)
        with mock.patch.object(members_module, "THREAD_SLOTS", 3):
            self.join(self.fork(lambda: (lock.acquire(), die())))
            slots = [
                self.join(self.fork(lambda: os._exit(self.table.thread_slot()))) for _ in range(3)
            ]
            self.assertEqual([1, 2, 1], slots)
            with lock:
                self.assertEqual(
                    0, self.join(self.fork(lambda: os._exit(self.table.thread_slot())))
                )

    def test_a_full_table(self) -> None:
        """A full table raises a WorkerError that names the limit."""
        with mock.patch.object(members_module, "PROCESS_SLOTS", 1):
            pid = self.fork(
                lambda: self.assertRaisesRegex(
                    WorkerError, "more than 1 processes take part", self.table.join
                )
            )
            self.assertEqual(0, self.join(pid))

    def test_dead_holders(self) -> None:
        """All processes can read which process died, and what it held."""
        pid = self.fork(lambda: self.table.join("w1"))
        self.join(pid)
        self.fork(lambda: self.table.record_dead_holder(1, "lock 'data'"))
        self.eventually(self.table.dead_holders, "no casualty")
        self.assertEqual([("w1", pid, "lock 'data'")], self.table.dead_holders())

    def test_no_room(self) -> None:
        """Too many shared objects raise a WorkerError, and existing objects stay usable."""
        lock = SharedLock(self.table, "data")
        with self.assertRaisesRegex(WorkerError, "no room for .*: this environment has .* shared"):
            for _ in range(10_000):
                self.table.allocate(6, 100_000, "many")
        with lock:
            pass

    def test_bad_input(self) -> None:
        """A name that is not a str is a TypeError."""
        with self.assertRaisesRegex(TypeError, "the name of a worker is a str, got 3"):
            self.table.join(3)  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
