"""A thread pool that knows what its threads are at, and can be left while one is stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from itf.frames import where_is
from itf.texts import safe_repr

__all__ = ["TrackedExecutor"]

__unittest = True

_P = ParamSpec("_P")
_T = TypeVar("_T")


class TrackedExecutor(ThreadPoolExecutor):
    """The executor of a loop in a test.

    asyncio would wait for its own threads for ever, and does not say which they are.

    Thread safety: every method, from any thread.
    """

    def __init__(self, name: str) -> None:
        self._itf_threads: list[threading.Thread] = []
        # What each thread runs now; written by the thread itself.
        self._itf_running: dict[threading.Thread, Callable[..., Any]] = {}
        super().__init__(thread_name_prefix=name, initializer=self._itf_began)

    def _itf_began(self) -> None:
        self._itf_threads.append(threading.current_thread())

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a function in a thread, as `concurrent.futures.Executor.submit` does."""
        return super().submit(self._itf_run, fn, *args, **kwargs)

    def _itf_run(self, function: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
        thread = threading.current_thread()
        self._itf_running[thread] = function
        try:
            return function(*args, **kwargs)
        finally:
            del self._itf_running[thread]

    def at_work(self) -> list[str]:
        """Name the threads that are at work: each with what it runs, and where it is."""
        return [
            f"thread {thread.name!r} ({_name(function)}, {where_is(thread)})"
            for thread, function in self._itf_running.copy().items()
        ]

    def end(self, timeout: float) -> list[threading.Thread]:
        """Take no more work, wait for the threads, and return those that do not end.

        Args:
            timeout: Seconds for all of them.
        """
        self.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + timeout
        for thread in self._itf_threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread for thread in self._itf_threads if thread.is_alive()]


def _name(function: Any) -> str:
    # asyncio.to_thread runs Context.run, or a partial of it, with the function inside.
    for inner in getattr(function, "args", ()):
        if callable(inner):
            return _name(inner)
    return str(getattr(function, "__qualname__", None) or safe_repr(function))
