"""Thread pool that names what its threads run, and whose shutdown has a timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from itf.safe_repr import safe_repr
from itf.tracebacks import thread_location

__all__ = ["TrackedExecutor"]

__unittest = True

_P = ParamSpec("_P")
_T = TypeVar("_T")


class TrackedExecutor(ThreadPoolExecutor):
    """The default executor of an event loop in a test.

    asyncio's own default executor waits for its threads without a timeout, and does
    not tell which threads these are.

    Args:
        thread_name_prefix: The threads are called ``prefix_0``, ``prefix_1`` and so on.

    Thread safety: all methods, from any thread.
    """

    # Attributes have a prefix, because the base class may have any other name.

    def __init__(self, thread_name_prefix: str) -> None:
        self._itf_threads: list[threading.Thread] = []
        # The function that each thread runs now. Only the thread itself changes its entry.
        self._itf_running: dict[threading.Thread, Callable[..., Any]] = {}
        super().__init__(thread_name_prefix=thread_name_prefix, initializer=self._itf_add_thread)

    def _itf_add_thread(self) -> None:
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

    def describe_running(self) -> list[str]:
        """Return a text for each busy thread: its name, its function, and its current line."""
        return [
            f"thread {thread.name!r} ({_function_name(function)}, {thread_location(thread)})"
            for thread, function in self._itf_running.copy().items()
        ]

    def shut_down(self, timeout: float) -> list[threading.Thread]:
        """Cancel the queued functions, wait for the threads, and return those still alive.

        Args:
            timeout: Seconds for all threads together.
        """
        self.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + timeout
        for thread in self._itf_threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread for thread in self._itf_threads if thread.is_alive()]


def _function_name(function: Any) -> str:
    # asyncio.to_thread submits Context.run, or a functools.partial of it, with the
    # user's function as an argument.
    for argument in getattr(function, "args", ()):
        if callable(argument):
            return _function_name(argument)
    return str(getattr(function, "__qualname__", None) or safe_repr(function))
