"""What goes on outside of an event loop and may still call it: jobs of executors, threads."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from itf.frames import where_is

__all__ = ["RealWork"]

__unittest = True

# multiprocessing's thread that writes to a pipe; it never calls a loop.
_HARMLESS: Final = "QueueFeederThread"

# Threads that have run a loop of their own, such as those of tests that run in
# parallel.  They come and go as they like, and are no business of another loop.
_loop_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


class RealWork:
    """The jobs and threads that one loop has to wait for in real time.

    A thread counts while it lives if it was started by what runs in the loop,
    or between two runs of it, or has called the loop; the idle threads of
    executors that the loop was given do not.

    Thread safety: `thread_calls`, from any thread; the rest, in the loop's.
    """

    def __init__(self) -> None:
        self._home: threading.Thread | None = None
        self._jobs: set[Future[Any]] = set()
        self._workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._seen = set(threading.enumerate())
        self._started: set[threading.Thread] = set()
        self._callers: set[threading.Thread] = set()

    def loop_runs_here(self) -> None:
        """Note that this thread is about to run the loop."""
        self._home = threading.current_thread()
        if self._home not in _loop_threads:
            _loop_threads.add(self._home)

    def thread_calls(self, args: tuple[Any, ...]) -> None:
        """Note that this thread has called the loop, and may do so again.

        One that only says that a job has ended may be an idle worker from now on.
        """
        thread = threading.current_thread()
        if thread is self._home or thread in self._workers:
            return
        if not any(isinstance(arg, Future) and arg in self._jobs for arg in args):
            self._callers.add(thread)

    def has_jobs(self) -> bool:
        """Say whether a job is at work, whose end the loop will be told of."""
        return bool(self._jobs)

    def has_threads(self) -> bool:
        """Say whether a thread is at work that may still call the loop, or end without a word."""
        now = set(threading.enumerate())
        for thread in now - self._seen:
            if thread not in self._workers and thread.name != _HARMLESS:
                self._started.add(thread)
        self._seen = now
        return bool((self._started or self._callers) and self._threads())

    def look_away(self) -> None:
        """Pass over the threads started since `has_threads`, while nothing of ours ran."""
        if not self._jobs:
            self._seen = set(threading.enumerate())

    def _threads(self) -> list[threading.Thread]:
        for threads in (self._started, self._callers):
            for thread in threads.copy():
                # One that is just being started has no ident yet.
                if thread.ident is not None and not thread.is_alive():
                    threads.discard(thread)
        own = [thread for thread in self._started.copy() if thread not in _loop_threads]
        return [thread for thread in {*own, *self._callers.copy()} if thread is not self._home]

    def describe(self) -> list[str]:
        """Name what is at work now."""
        self.has_threads()  # also what was started since the last look
        told = [f"thread {thread.name!r} ({where_is(thread)})" for thread in self._threads()]
        if self._jobs:
            count = len(self._jobs)
            told.insert(0, "1 job of an executor" if count == 1 else f"{count} jobs of executors")
        return told

    @contextmanager
    def handing_on(self) -> Iterator[None]:
        """Hand a job on to an executor: the threads that it starts for it are its workers."""
        before = set(threading.enumerate())
        yield
        for thread in set(threading.enumerate()) - before:
            self._workers.add(thread)

    def job_began(self, job: Future[Any]) -> None:
        """Note that a job is at work."""
        self._jobs.add(job)

    def job_ended(self, job: Future[Any]) -> None:
        """Note that a job has ended, and that the loop has been told of it."""
        self._jobs.discard(job)
