"""The roster: who takes part, who is alive, and what it does when places run out."""

from __future__ import annotations

import multiprocessing
import os
import threading
import unittest
from typing import Any
from unittest import mock

from itf.exceptions import WorkerError
from itf.workers import roster as roster_module
from itf.workers.arena import AnonymousFile
from itf.workers.lock import SharedLock
from itf.workers.roster import Roster
from tests.support import fork

from .primitives_support import DEADLINE, PrimitivesTestCase, die, linger, stop_myself


def enter(roster: Roster, twice: Roster, name: str) -> None:
    """Enter a started process, and say by its exit code whether it is one with one roster."""
    roster.join(name)
    os._exit(7 if roster is twice and roster.is_alive(roster.place()) else 1)


class RosterTest(PrimitivesTestCase):
    def names(self) -> list[str]:
        """Return the names of those who take part."""
        return [member.name for member in self.roster.members()]

    def test_who_takes_part(self) -> None:
        """The test itself, and a process from its first use on, by the name it gives."""
        self.assertEqual(["test"], self.names())
        self.assertEqual(os.getpid(), self.roster.members()[0].pid)
        pid = self.fork(lambda: (self.roster.join("w1"), linger()))
        self.eventually(lambda: self.names() == ["test", "w1"], "w1 is not there")
        self.assertEqual(pid, self.roster.members()[1].pid)

    def test_nobody_takes_part_without_a_life(self) -> None:
        """A place whose life somebody is stopped at is not taken."""
        pid = self.fork(self.roster.join)
        self.assertEqual(0, self.join(pid))
        self.assertTrue(self.roster.try_byte(roster_module._LIFE + 1, shared=True))

        def enter_too() -> None:
            with self.assertRaisesRegex(WorkerError, "more than 2 processes"):
                self.roster.join()

        with mock.patch.object(roster_module, "PROCESSES", 2):
            self.assertEqual(0, self.join(self.fork(enter_too)))
        self.roster.free_byte(roster_module._LIFE + 1)

    def test_a_dead_process_is_not_alive(self) -> None:
        """From the instant of its death on, also as a zombie; a stopped one is alive."""
        pid = self.fork(lambda: (self.roster.join("w1"), stop_myself()))
        self.await_stop(pid)
        place = self.roster.members()[1].process
        self.assertTrue(self.roster.is_alive(place))
        os.kill(pid, 9)
        self.await_death(pid)
        self.assertFalse(self.roster.is_alive(place))
        self.assertEqual(["test"], self.names())

    def test_a_forked_child_has_a_place_of_its_own(self) -> None:
        """And so has its own child; what the child closes does not end its parent's life."""

        def family() -> None:
            place = self.roster.place()
            child = fork()
            if not child:
                own = self.roster.place()
                self.roster.close()
                os._exit(own)
            other = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os._exit(10 * place + other)

        self.assertEqual(12, self.join(self.fork(family)))
        self.assertEqual(0, self.roster.place())
        check = self.fork(lambda: os._exit(self.roster.is_alive(0)))
        self.assertEqual(1, self.join(check))

    def test_a_started_process_has_one_roster(self) -> None:
        """However often it is sent to it: a second descriptor would end its life."""
        for method in multiprocessing.get_all_start_methods():
            worker: Any = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
                target=enter, args=(self.roster, self.roster, "w1")
            )
            worker.start()
            worker.join(DEADLINE)
            self.assertEqual(7, worker.exitcode, method)
            worker.close()

    def test_a_roster_that_comes_twice_is_one(self) -> None:
        """Unpickled again, it is the same object, and the process lives on."""
        duplicate = mock.Mock(detach=lambda: os.dup(self.roster.descriptor))
        self.assertIs(self.roster, roster_module._rebuild(duplicate))
        check = self.fork(lambda: os._exit(self.roster.is_alive(0)))
        self.assertEqual(1, self.join(check))

    def test_each_thread_has_a_seat(self) -> None:
        """Which the next thread with its ident inherits."""
        seats = [self.roster.seat(), self.roster.seat()]
        barrier = threading.Barrier(8)

        def sit() -> None:
            seats.append(self.roster.seat())
            barrier.wait(DEADLINE)

        threads = [threading.Thread(target=sit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual(seats[0], seats[1])
        self.assertEqual(9, len(set(seats)))

    def test_the_places_of_the_dead_are_used_again(self) -> None:
        """Of more processes, one after the other, than there are places."""
        lock = SharedLock(self.roster, "data", default_timeout=DEADLINE)
        count = roster_module.PROCESSES + 44
        for _ in range(count):
            self.join(self.fork(lambda: (lock.acquire(), lock.release())))
        self.assertEqual(["test"], self.names())

    def test_the_seats_of_the_dead_are_used_again(self) -> None:
        """Once what they held has been taken back, and not before."""
        lock = SharedLock(self.roster, "data", default_timeout=DEADLINE)
        with mock.patch.object(roster_module, "SEATS", 3):
            self.join(self.fork(lambda: (lock.acquire(), die())))
            seats = [self.join(self.fork(lambda: os._exit(self.roster.seat()))) for _ in range(3)]
            self.assertEqual([1, 2, 1], seats)
            with lock:
                self.assertEqual(0, self.join(self.fork(lambda: os._exit(self.roster.seat()))))

    def test_when_all_places_are_taken(self) -> None:
        """A clear error."""
        with mock.patch.object(roster_module, "PROCESSES", 1):
            pid = self.fork(
                lambda: self.assertRaisesRegex(
                    WorkerError, "more than 1 processes take part", self.roster.join
                )
            )
            self.assertEqual(0, self.join(pid))

    def test_casualties(self) -> None:
        """Who died holding what, seen by everybody."""
        pid = self.fork(lambda: self.roster.join("w1"))
        self.join(pid)
        self.fork(lambda: self.roster.report_casualty(1, "lock 'data'"))
        self.eventually(self.roster.casualties, "no casualty")
        self.assertEqual([("w1", pid, "lock 'data'")], self.roster.casualties())

    def test_no_room(self) -> None:
        """Too many objects are a clear error, and the others go on."""
        lock = SharedLock(self.roster, "data")
        with self.assertRaisesRegex(WorkerError, "no room for .*: this environment has .* shared"):
            for _ in range(10_000):
                self.roster.allocate(6, 100_000, "many")
        with lock:
            pass

    def test_a_file_without_a_name_where_there_is_no_memfd(self) -> None:
        """A temporary file that is in no directory any more."""
        with mock.patch.object(os, "memfd_create", create=True):
            del os.memfd_create  # type: ignore[attr-defined]
            file = AnonymousFile.create("itf-x", 10)
        self.assertEqual(
            (0, 10), (os.fstat(file.descriptor).st_nlink, os.fstat(file.descriptor).st_size)
        )
        file.close()

    def test_bad_input(self) -> None:
        """A name that is none."""
        with self.assertRaisesRegex(TypeError, "the name of a worker is a str, got 3"):
            self.roster.join(3)  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
