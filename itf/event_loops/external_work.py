"""Executor jobs and threads outside an event loop that may still call the loop."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from itf.tracebacks import thread_location

__all__ = ["ExternalWork"]

__unittest = True

# The thread in which multiprocessing writes the items of a queue to a pipe. It never
# calls an event loop.
_IGNORED_THREAD: Final = "QueueFeederThread"

# Threads that have run a VirtualLoop, such as the threads of tests that run in
# parallel. No other loop waits for these threads, regardless of which loop started them.
_loop_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


class ExternalWork:
    """The executor jobs and the threads for which the clock of one loop has to wait.

    A live thread counts if it was started while the loop ran, or between two runs of
    the loop, or if it has called the loop. The worker threads of executors that were
    passed to the loop do not count; only the jobs that they run do.

    Thread safety: `note_call` may be called from any thread, the other methods only
    from the thread of the loop.
    """

    def __init__(self) -> None:
        self._loop_thread: threading.Thread | None = None
        self._jobs: set[Future[Any]] = set()
        self._executor_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._known_threads = set(threading.enumerate())
        self._started: set[threading.Thread] = set()
        self._callers: set[threading.Thread] = set()

    def note_loop_thread(self) -> None:
        """Record that the current thread is about to run the loop."""
        self._loop_thread = threading.current_thread()
        if self._loop_thread not in _loop_threads:
            _loop_threads.add(self._loop_thread)

    def note_call(self, args: tuple[Any, ...]) -> None:
        """Record that the current thread has called the loop, and may call it again.

        A call that only reports the end of a known job does not count: it comes from
        an executor's thread, which may be idle from now on.

        Args:
            args: The arguments of the scheduled callback.
        """
        thread = threading.current_thread()
        if thread is self._loop_thread or thread in self._executor_threads:
            return
        if not any(isinstance(arg, Future) and arg in self._jobs for arg in args):
            self._callers.add(thread)

    def has_jobs(self) -> bool:
        """Return whether an executor job is running; its end will wake the loop."""
        return bool(self._jobs)

    def has_threads(self) -> bool:
        """Return whether a live thread counts; its end will not wake the loop."""
        current = set(threading.enumerate())
        for thread in current - self._known_threads:
            if thread not in self._executor_threads and thread.name != _IGNORED_THREAD:
                self._started.add(thread)
        self._known_threads = current
        return bool((self._started or self._callers) and self._live_threads())

    def ignore_new_threads(self) -> None:
        """Ignore the threads started since `has_threads` was called.

        To be called after the loop has waited without running any callback: threads
        that were started meanwhile were not started by the loop's callbacks. While
        jobs run, the threads may belong to a job, and are not ignored.
        """
        if not self._jobs:
            self._known_threads = set(threading.enumerate())

    def _live_threads(self) -> list[threading.Thread]:
        for threads in (self._started, self._callers):
            for thread in threads.copy():
                # A thread without an ident is just being started.
                if thread.ident is not None and not thread.is_alive():
                    threads.discard(thread)
        started = [thread for thread in self._started.copy() if thread not in _loop_threads]
        return [
            thread
            for thread in {*started, *self._callers.copy()}
            if thread is not self._loop_thread
        ]

    def describe(self) -> list[str]:
        """Return a text for the running jobs, and one for each thread that counts."""
        self.has_threads()  # finds the threads that were started since the last call
        texts = [
            f"thread {thread.name!r} ({thread_location(thread)})" for thread in self._live_threads()
        ]
        if self._jobs:
            count = len(self._jobs)
            texts.insert(0, "1 job of an executor" if count == 1 else f"{count} jobs of executors")
        return texts

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Treat the threads that are started in this block as threads of an executor.

        To be used around the submission of a job, when an executor starts threads.
        """
        before = set(threading.enumerate())
        yield
        for thread in set(threading.enumerate()) - before:
            self._executor_threads.add(thread)

    def add_job(self, job: Future[Any]) -> None:
        """Record that a job has been submitted."""
        self._jobs.add(job)

    def remove_job(self, job: Future[Any]) -> None:
        """Record that a job has ended and that the loop knows."""
        self._jobs.discard(job)
