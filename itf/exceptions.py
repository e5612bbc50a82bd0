"""Exceptions that itf raises.

Every exception has the objects that its message names as attributes, so that callers
need not parse the text.  All classes derive from `ItfError`, and from a fitting class
of the standard library where there is one: code that catches `ValueError` or
`TimeoutError` catches them too.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AsyncDeadlockError",
    "ConfigCycleError",
    "CounterTimeoutError",
    "FaultInjectionError",
    "FaultTimeoutError",
    "FixtureError",
    "FormatError",
    "InjectedFaultError",
    "InterleavingDeadlockError",
    "InterleavingError",
    "InterleavingTimeoutError",
    "ItfError",
    "MockParserError",
    "ResourceError",
    "TaskTimeoutError",
    "TimingError",
    "WorkerDiedError",
    "WorkerError",
    "WorkerPicklingError",
    "WorkerTimeoutError",
    "WorkspaceError",
    "WorkspaceEscapeError",
]

__unittest = True


class ItfError(Exception):
    """Base class of all exceptions of itf."""


class FormatError(ItfError, ValueError):
    """A text is not an event in itf's format, or its format version is not supported."""


class ConfigCycleError(ItfError):
    """Observers of configuration changes trigger one another in a cycle.

    Attributes:
        keys: Configuration keys in the order of their changes; the first key is repeated
            at the end.
    """

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


class ResourceError(ItfError):
    """A resource was tracked twice, released twice, or released without being tracked.

    Attributes:
        resource_id: Id of the resource.
        owner_module: Module that owns or owned the resource; None if the id is unknown.
    """

    def __init__(
        self, message: str, resource_id: str = "", owner_module: str | None = None
    ) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.owner_module = owner_module


class FixtureError(ItfError):
    """A fixture cannot be set up or used as requested."""


class WorkspaceError(ItfError, OSError):
    """A workspace could not be removed completely.

    Attributes:
        leftovers: Paths that still exist.
    """

    def __init__(self, message: str, leftovers: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.leftovers = tuple(leftovers)


class WorkspaceEscapeError(ItfError, ValueError):
    """A file name refers to a path outside of the workspace."""


class WorkerError(ItfError, RuntimeError):
    """A worker failed, died, or could not be stopped.

    Attributes:
        worker: The worker's name.
    """

    def __init__(self, message: str, worker: str = "") -> None:
        super().__init__(message)
        self.worker = worker


class WorkerTimeoutError(WorkerError, TimeoutError):
    """A wait for a worker, or for an object that workers share, timed out.

    The message shows the stack of each worker.
    """


class WorkerDiedError(WorkerError):
    """A worker ended without a result: it was killed, or called ``os._exit`` or ``sys.exit``.

    Attributes:
        worker: The worker's name.
        exitcode: Exit code, negative for a signal as in `multiprocessing`; None if the
            code is unknown.
        signal: Name of the signal that killed the worker, such as ``SIGKILL``; None if no
            signal did.
    """

    def __init__(
        self,
        message: str,
        worker: str = "",
        exitcode: int | None = None,
        signal: str | None = None,
    ) -> None:
        super().__init__(message, worker)
        self.exitcode = exitcode
        self.signal = signal


class WorkerPicklingError(WorkerError, TypeError):
    """An object cannot be pickled for another process.

    Attributes:
        worker: The worker's name.
        variable: Name of the object, as in the message.
    """

    def __init__(self, message: str, worker: str = "", variable: str = "") -> None:
        super().__init__(message, worker)
        self.variable = variable


class FaultInjectionError(ItfError, TypeError):
    """A fault cannot be injected at this target."""


class FaultTimeoutError(ItfError, TimeoutError):
    """An injected hang exceeded its time limit, or a plan did not hit in time."""


class InjectedFaultError(ItfError, RuntimeError):
    """Injected failure of a fault plan that specifies no other exception.

    Attributes:
        target: Name of the called function, such as ``shop.cache.load``.
        call: Number of the call that failed, from 1.
    """

    def __init__(self, message: str, target: str = "", call: int = 0) -> None:
        super().__init__(message)
        self.target = target
        self.call = call


class InterleavingError(ItfError, AssertionError):
    """One interleaving of several functions, run as threads, failed.

    The exception of the function or of the check is the cause (``__cause__``).

    Attributes:
        seed: Seed that repeats this interleaving, together with ``runs=1``.
        run: Number of the run that failed, from 1.
        schedule: Steps of the threads up to the failure, one line for each switch.
    """

    def __init__(
        self, message: str, seed: int = 0, run: int = 0, schedule: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.seed = seed
        self.run = run
        self.schedule = tuple(schedule)


class InterleavingDeadlockError(InterleavingError):
    """All threads of an interleaving are blocked.

    Attributes:
        circle: Names of the threads that wait for one another; the first name is repeated
            at the end.  Empty if the waits form no cycle.
    """

    def __init__(
        self,
        message: str,
        seed: int = 0,
        run: int = 0,
        schedule: Sequence[str] = (),
        circle: Sequence[str] = (),
    ) -> None:
        super().__init__(message, seed, run, schedule)
        self.circle = tuple(circle)


class InterleavingTimeoutError(InterleavingError, TimeoutError):
    """A run did not end in time: a function loops, or is blocked where itf cannot see."""


class MockParserError(ItfError, RuntimeError):
    """Configured failure of a mock parser."""


class TaskTimeoutError(ItfError, TimeoutError):
    """A coroutine did not end in time, or ignored its cancellation."""


class CounterTimeoutError(ItfError, TimeoutError):
    """A counter did not reach a value in time.

    Attributes:
        wanted: The expected value.
        value: The value at the timeout.
    """

    def __init__(self, message: str, wanted: int = 0, value: int = 0) -> None:
        super().__init__(message)
        self.wanted = wanted
        self.value = value


class AsyncDeadlockError(ItfError, RuntimeError):
    """All tasks of an event loop are blocked, and no event can resume one of them.

    Attributes:
        tasks: Names of the tasks; the message shows their stacks.
    """

    def __init__(self, message: str, tasks: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tasks = tuple(tasks)


class TimingError(ItfError, RuntimeError):
    """A timing failed, was stopped without a start, or was requested but never measured."""
