from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import unittest
from unittest import mock

from itf.workers import stopping
from itf.workers.processes import default_context, process_class
from itf.workers.stopping import close_queue, stop_processes

DEADLINE = 30


class StopProcessesTest(unittest.TestCase):
    def test_an_interrupt_in_the_grace_ends_the_workers_all_the_same(self):
        """Whoever presses Ctrl-C twice leaves no worker behind."""
        context = default_context()
        ready = context.Event()

        def refuse():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            ready.set()
            while True:
                signal.pause()

        worker = process_class(context)(target=refuse)
        worker.start()
        self.assertTrue(ready.wait(DEADLINE))
        with (
            mock.patch.object(stopping, "_join", side_effect=KeyboardInterrupt),
            self.assertRaises(KeyboardInterrupt),
        ):
            stop_processes([worker])
        worker.join(DEADLINE)
        self.assertFalse(worker.is_alive())
        worker.release()


class CloseQueueTest(unittest.TestCase):
    def setUp(self):
        self.before = len(os.listdir("/proc/self/fd")), threading.active_count()

    def assert_nothing_left(self):
        now = len(os.listdir("/proc/self/fd")), threading.active_count()
        self.assertEqual(self.before[0], now[0])
        # Less is fine: a thread of another test may have ended meanwhile.
        self.assertLessEqual(now[1], self.before[1])

    def test_one_that_was_never_used(self):
        """Both ends of its pipe are closed."""
        queue = multiprocessing.get_context("fork").Queue()
        close_queue(queue)
        self.assert_nothing_left()

    def test_one_that_is_full(self):
        """Its feeder, which waits for a reader, ends."""
        queue = multiprocessing.get_context("fork").Queue()
        queue.put(b"x" * 10_000_000)
        close_queue(queue)
        self.assert_nothing_left()

    def test_one_whose_writer_was_killed(self):
        """Its feeder, which waits for a lock that nobody will release, ends."""
        queue = multiprocessing.get_context("fork").Queue()
        # As a worker that is killed in the middle of a put.
        pid = os.fork()
        if not pid:
            queue._wlock.acquire()
            os._exit(0)
        os.waitpid(pid, 0)
        queue.put(b"x")
        close_queue(queue)
        self.assert_nothing_left()

    def test_one_that_the_user_has_closed(self):
        """Closing it again does no harm."""
        for items in (0, 1):
            queue = multiprocessing.get_context("fork").Queue()
            for _ in range(items):
                queue.put(b"x" * 10_000_000)
            queue.close()
            close_queue(queue)
            self.assert_nothing_left()
