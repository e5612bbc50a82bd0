"""The exceptions that itf raises.

Each class has attributes for the objects that its message names, so that callers
need not parse the text.  All derive from `ItfError`, and from a fitting class of
the standard library where one exists, so that code that catches `ValueError` or
`TimeoutError` catches these too.
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
    """The base class of all exceptions that itf raises on its own account."""


class FormatError(ItfError, ValueError):
    """A text is not an event in itf's format, or its format version cannot be read."""


class ConfigCycleError(ItfError):
    """Observers of configuration keys change each other's keys in a cycle.

    Attributes:
        keys: The keys in the order of the changes; the first is repeated at the end.
    """

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


class ResourceError(ItfError):
    """A resource was tracked twice, released twice, or released without being tracked.

    Attributes:
        resource_id: The id of the resource.
        owner_module: The module that owns or owned the resource; None for an unknown id.
    """

    def __init__(
        self, message: str, resource_id: str = "", owner_module: str | None = None
    ) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.owner_module = owner_module


class FixtureError(ItfError):
    """A fixture is missing, cannot be set up, or is used while it is not set up."""


class WorkspaceError(ItfError, OSError):
    """A workspace could not be removed completely.

    Attributes:
        leftovers: The paths that still exist.
    """

    def __init__(self, message: str, leftovers: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.leftovers = tuple(leftovers)


class WorkspaceEscapeError(ItfError, ValueError):
    """A path leads out of the workspace."""


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

    The message shows where each worker is.
    """


class WorkerDiedError(WorkerError):
    """A worker ended without a result: killed, or by ``os._exit`` or ``sys.exit``.

    Attributes:
        worker: The worker's name.
        exitcode: Its exit code, negative for a signal as in `multiprocessing`;
            None if unknown.
        signal: The name of the signal that killed it, such as ``SIGKILL``; None if
            no signal did.
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
    """An object cannot be sent from one process to another.

    Attributes:
        worker: The worker's name.
        variable: The name of the object, as in the message.
    """

    def __init__(self, message: str, worker: str = "", variable: str = "") -> None:
        super().__init__(message, worker)
        self.variable = variable


class FaultInjectionError(ItfError, TypeError):
    """A fault cannot be injected at the given place."""


class FaultTimeoutError(ItfError, TimeoutError):
    """An injected hang exceeded its time limit, or a plan did not hit in time."""


class InjectedFaultError(ItfError, RuntimeError):
    """The error of a hit for which the fault plan defines no other outcome.

    Attributes:
        target: The function that was called, such as ``shop.cache.load``.
        call: The number of the call that failed.
    """

    def __init__(self, message: str, target: str = "", call: int = 0) -> None:
        super().__init__(message)
        self.target = target
        self.call = call


class InterleavingError(ItfError, AssertionError):
    """A run of `interleave` failed.

    If a function or the check raised an exception, it is the ``__cause__``.

    Attributes:
        seed: The seed of this run: ``interleave(..., seed=seed, runs=1)`` repeats it.
        run: Number of the run that failed, from 1.
        schedule: The turns of the threads before the failure, one line each.
    """

    def __init__(
        self, message: str, seed: int = 0, run: int = 0, schedule: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.seed = seed
        self.run = run
        self.schedule = tuple(schedule)


class InterleavingDeadlockError(InterleavingError):
    """All threads of a run wait, and no thread can end any of these waits.

    Attributes:
        circle: Names of threads that wait for each other in a cycle, with the first
            again at the end; empty if there is no cycle.
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
    """A run did not end in time: a function loops endlessly, or is blocked in C code."""


class MockParserError(ItfError, RuntimeError):
    """The failure that a test configured for a mock parser."""


class TaskTimeoutError(ItfError, TimeoutError):
    """A coroutine did not end in time, or suppressed its cancellation."""


class CounterTimeoutError(ItfError, TimeoutError):
    """A counter did not reach a value in time.

    Attributes:
        wanted: The value that `wait_until` was called with.
        value: The value of the counter at the timeout.
    """

    def __init__(self, message: str, wanted: int = 0, value: int = 0) -> None:
        super().__init__(message)
        self.wanted = wanted
        self.value = value


class AsyncDeadlockError(ItfError, RuntimeError):
    """All tasks of an event loop are blocked, and nothing can wake any of them.

    Attributes:
        tasks: The names of the tasks; the message contains their stacks.
    """

    def __init__(self, message: str, tasks: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tasks = tuple(tasks)


class TimingError(ItfError, RuntimeError):
    """A timing was ended without being started, or requested without being taken."""
