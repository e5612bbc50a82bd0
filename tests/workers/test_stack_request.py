"""Tests of stack requests: a stuck process answers, and a request never harms a process."""

from __future__ import annotations

import collections
import ctypes
import itertools
import os
import re
import signal
import threading
import time
import unittest
import unittest.mock
from collections.abc import Callable

from itf.workers.hang_report import describe_worker
from itf.workers.kernel_threads import progress, signal_task
from itf.workers.stack_dump import begin_listening, end_listening, own_number
from itf.workers.stack_request import FAULTHANDLER_SIGNAL, HANDLER_SIGNAL, ask_other
from tests.support import fork
from tests.workers.worker_support import DEADLINE, WorkerTestCase, eventually, idle

# How long the stress lasts. Asking all threads of a process from within one of
# them, as `faulthandler` does, killed every second of these workers.
STRESS = 3.0


# Seconds in which a worker is left alone before it is asked again.
REST = 0.1


def never_come_back_from_c() -> None:
    """Hold the interpreter lock in C, where no signal is looked at."""
    collections.deque(itertools.repeat(0), maxlen=0)


main_thread_goes_on = threading.Event()
"""Set, in the worker, once its main thread has started the other one, which it waits for too."""


def take_it_from_main_thread() -> None:
    """Do the same once the main thread is asleep, where it waits for something else."""
    looks = [None, progress(os.getpid(), os.getpid())]

    def look_again() -> bool:
        looks.append(progress(os.getpid(), os.getpid()))
        return looks[-1] == looks[-8:][0]

    main_thread_goes_on.wait(DEADLINE)
    eventually(look_again, DEADLINE)
    never_come_back_from_c()


def wait_in_c() -> None:
    """Wait in C, without the interpreter lock, for what no signal ends."""
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def run_for_ever() -> None:
    """Run Python code."""
    while True:
        descend(20)


def descend(depth: int) -> int:
    """Change the frames of this thread."""
    return descend(depth - 1) if depth else 0


def start_threads() -> str:
    """Have threads that are just starting or ending, all the time."""
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        threads = [threading.Thread(target=descend, args=(5,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return "well"


class StuckInCTest(WorkerTestCase):
    """Where no Python code of the worker can run, or none of its main thread."""

    def check(self, main: Callable[[], None], other: Callable[[], None], *patterns: str) -> None:
        """Ask a worker with these two threads until it tells all of this."""

        def both() -> None:
            threading.Thread(target=other, daemon=True).start()
            main_thread_goes_on.set()
            main()

        worker = self.started(both, method="fork", name="w")
        text, rest = "", threading.Event()

        def tells_all() -> bool:
            nonlocal text
            # To be asked wakes the main thread, and one of these waits until it is asleep.
            rest.wait(REST)
            text = describe_worker(worker)
            return all(re.search(pattern, text) for pattern in patterns)

        self.assertTrue(eventually(tells_all, DEADLINE), text)
        self.assertTrue(worker.is_alive())
        worker.kill()

    def test_the_main_thread_that_holds_the_interpreter_lock(self) -> None:
        """The report has its stack, and that of the thread that waits for the GIL."""
        self.check(
            never_come_back_from_c,
            idle,
            r"main thread \(most recent call first\):\n.* in never_come_back_from_c\n",
            r"thread \d+ \(most recent call first\):\n",
        )

    def test_another_thread_that_holds_it(self) -> None:
        """The report also has the stack of the main thread, which waits for the GIL."""
        self.check(
            idle,
            take_it_from_main_thread,
            r"thread \d+ \(most recent call first\):\n"
            r".* in never_come_back_from_c\n.* in take_it_from_main_thread\n",
            r"main thread \(most recent call first\):\n(.*\n)*.* in idle\n",
        )

    def test_the_main_thread_that_waits_without_it(self) -> None:
        """Both threads sleep, and the report has the stacks of both."""
        self.check(
            wait_in_c,
            idle,
            r"main thread \(most recent call first\):\n.* in wait_in_c\n",
            r"thread \d+ \(most recent call first\):\n(.*\n)*.* in idle\n",
        )

    def test_a_thread_that_runs_meanwhile_is_not_asked(self) -> None:
        """Reading the frames of a running thread could crash the worker."""
        self.check(
            wait_in_c,
            run_for_ever,
            r"main thread \(most recent call first\):\n.* in wait_in_c\n",
            r"thread \d+: running; its stack was not requested",
        )


class HarmTest(WorkerTestCase):
    """What being asked does to a worker."""

    def test_threads_that_start_and_end_while_it_is_asked(self) -> None:
        """No worker dies of many requests while its threads start and end."""
        end = time.monotonic() + STRESS
        answers = 0
        while time.monotonic() < end:
            worker = self.started(start_threads, method="fork")
            while worker.is_alive():
                answers += "in start_threads" in worker.stacks()
            self.assertEqual("well", worker.result(DEADLINE))
        self.assertGreater(answers, 10)

    def test_one_that_has_closed_its_descriptors(self) -> None:
        """It gets no request: the descriptor's number may belong to another file."""
        reading, writing = os.pipe()

        def close_all_and_open_anew() -> None:
            os.dup2(writing, 99)
            os.closerange(3, 99)
            for _ in range(90):
                os.dup(99)
            os.write(99, b"x")
            threading.Event().wait(DEADLINE)

        worker = self.started(close_all_and_open_anew, method="fork", name="w")
        os.close(writing)
        self.assertEqual(b"x", os.read(reading, 100))
        self.assertEqual(
            f"worker 'w' (pid {worker.pid}): running; it did not return its stacks",
            describe_worker(worker),
        )
        worker.kill()
        self.assertEqual(b"", os.read(reading, 100))
        os.close(reading)

    def test_a_signal_that_is_lost(self) -> None:
        """The signal is sent again: Python loses one that arrives just before a blocking call."""
        worker = self.started(idle)
        self.assertTrue(eventually(lambda: "thread 'MainThread'" in worker.stacks()))
        sent: list[int | None] = []

        def lose_the_first(pid: int, task: int, number: int) -> None:
            sent.append(number)
            if len(sent) > 1:
                signal_task(pid, task, number)

        with unittest.mock.patch("itf.workers.stack_request.signal_task", lose_the_first):
            self.assertRegex(worker.stacks(), r"^thread 'MainThread' \(most recent call first\):")
        self.assertEqual([HANDLER_SIGNAL, HANDLER_SIGNAL], sent)
        worker.kill()

    def test_two_that_ask_at_a_time(self) -> None:
        """Each of two concurrent requests gets a complete answer."""
        worker = self.started(idle)
        self.assertTrue(eventually(lambda: "in idle" in worker.stacks()))
        found: list[str] = []
        threads = [
            threading.Thread(
                target=lambda: found.extend(worker.stacks(DEADLINE) for _ in range(20))
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual(80, len(found))
        for text in found:
            self.assertRegex(text, r"^thread 'MainThread' \(most recent call first\):\n")
            self.assertEqual(1, text.count("in idle"), text)
        worker.kill()


@unittest.skipIf(HANDLER_SIGNAL is None or FAULTHANDLER_SIGNAL is None, "no signals to ask by")
class ListeningTest(unittest.TestCase):
    """A process that can be asked, for as long as it has an environment."""

    def setUp(self) -> None:
        self.assertIsNone(own_number())
        self.before = self.handlers()

    def handlers(self) -> tuple[object, bool]:
        """Return what stands at the two signals."""
        assert HANDLER_SIGNAL is not None
        assert FAULTHANDLER_SIGNAL is not None
        with open("/proc/self/status") as file:
            caught = int(re.findall(r"SigCgt:\t(\w+)", file.read())[0], 16)
        return signal.getsignal(HANDLER_SIGNAL), bool(caught >> (FAULTHANDLER_SIGNAL - 1) & 1)

    def test_the_signals_are_put_back(self) -> None:
        """The handlers are restored after the last environment."""
        begin_listening()
        begin_listening()
        number = own_number()
        self.assertIsNotNone(number)
        self.assertNotEqual(self.before, self.handlers())
        end_listening()
        self.assertEqual(number, own_number())
        end_listening()
        self.assertIsNone(own_number())
        self.assertEqual(self.before, self.handlers())

    def test_a_handler_of_somebody_else_stays(self) -> None:
        """A handler of the user stays, and this process does not answer requests."""
        assert HANDLER_SIGNAL is not None

        def theirs(number: int, frame: object) -> None:
            raise AssertionError(number)

        self.addCleanup(signal.signal, HANDLER_SIGNAL, signal.signal(HANDLER_SIGNAL, theirs))
        begin_listening()
        self.addCleanup(end_listening)
        self.assertIsNone(own_number())
        self.assertIs(theirs, signal.getsignal(HANDLER_SIGNAL))

    def test_a_handler_that_came_after_ours_stays(self) -> None:
        """Also where ours could not be taken back, for the last that needed it was a thread."""
        assert HANDLER_SIGNAL is not None
        begin_listening()
        thread = threading.Thread(target=end_listening)
        thread.start()
        thread.join(DEADLINE)
        self.addCleanup(signal.signal, HANDLER_SIGNAL, self.before[0])
        self.test_a_handler_of_somebody_else_stays()

    def test_begun_in_a_thread(self) -> None:
        """Outside the main thread Python sets no handlers; only `faulthandler` answers."""
        for step in (begin_listening, end_listening):
            thread = threading.Thread(target=step)
            thread.start()
            thread.join(DEADLINE)
            self.assertEqual(step is end_listening, own_number() is None)
        self.assertEqual(self.before, self.handlers())

    def test_a_child_asks_its_parent(self) -> None:
        """A child requests stacks by the descriptor's number; another descriptor gives none."""
        begin_listening()
        self.addCleanup(end_listening)
        parent, number = os.getpid(), own_number() or 0
        reading, writing = os.pipe()
        pid = fork()
        if not pid:
            os.write(writing, (ask_other(parent, number) or "nothing").encode())
            os.write(writing, (ask_other(parent, reading) or "nothing").encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(writing)
        with open(reading) as file:
            said = file.read()
        self.assertIn("in test_a_child_asks_its_parent", said)
        self.assertTrue(said.endswith("nothing"), said)


if __name__ == "__main__":
    unittest.main()
