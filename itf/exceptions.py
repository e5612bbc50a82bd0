"""What itf itself raises.

Every class carries the objects its message speaks of, so that a caller never
has to parse the text.  All of them derive from `ItfError` and, where the
standard library has a fitting class, from that one too: code that catches
`ValueError` or `TimeoutError` keeps working.
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
    """The base of everything that itf raises by its own decision."""


class FormatError(ItfError, ValueError):
    """A text is not an event in itf's format, or in a version of it that this itf cannot read."""


class ConfigCycleError(ItfError):
    """Observers change configuration in a circle.

    Attributes:
        keys: The keys in the order in which they changed, the first one again at the end.
    """

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


class ResourceError(ItfError):
    """A resource was tracked or released out of turn.

    Attributes:
        resource_id: The id in question.
        owner_module: The module that owns or owned it; None if the id is unknown.
    """

    def __init__(
        self, message: str, resource_id: str = "", owner_module: str | None = None
    ) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.owner_module = owner_module


class FixtureError(ItfError):
    """A fixture cannot be set up as it was asked for."""


class WorkspaceError(ItfError, OSError):
    """A workspace could not be removed whole.

    Attributes:
        leftovers: The paths that are still there.
    """

    def __init__(self, message: str, leftovers: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.leftovers = tuple(leftovers)


class WorkspaceEscapeError(ItfError, ValueError):
    """A name leads out of the workspace that it was to stay in."""


class WorkerError(ItfError, RuntimeError):
    """A worker failed, died, or could not be stopped.

    Attributes:
        worker: The worker's name.
    """

    def __init__(self, message: str, worker: str = "") -> None:
        super().__init__(message)
        self.worker = worker


class WorkerTimeoutError(WorkerError, TimeoutError):
    """A wait for a worker, or for what workers share, took longer than it may.

    Its text says for each worker where it is.
    """


class WorkerDiedError(WorkerError):
    """A worker ended without a word: it was killed, or left by ``os._exit`` or ``sys.exit``.

    Attributes:
        worker: The worker's name.
        exitcode: Its exit code, negative for a signal as in `multiprocessing`;
            None if it cannot be known.
        signal: The name of the signal that killed it, such as ``SIGKILL``; None if none did.
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
    """Something cannot be sent from one process to another.

    Attributes:
        worker: The worker's name.
        variable: The name of what cannot be sent, as the message has it.
    """

    def __init__(self, message: str, worker: str = "", variable: str = "") -> None:
        super().__init__(message, worker)
        self.variable = variable


class FaultInjectionError(ItfError, TypeError):
    """A fault cannot be injected there."""


class FaultTimeoutError(ItfError, TimeoutError):
    """A call hung for longer than its plan allows, or a plan did not hit in time."""


class InjectedFaultError(ItfError, RuntimeError):
    """The failure that a test asked for with a plan that does not say which.

    Attributes:
        target: What was called, such as ``shop.cache.load``.
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
    """The failure that a test asked a mock parser for."""


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
    """All tasks of a loop are blocked, and nothing is left that could wake one of them.

    Attributes:
        tasks: The names of the tasks; the message has their stacks.
    """

    def __init__(self, message: str, tasks: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tasks = tuple(tasks)


class TimingError(ItfError, RuntimeError):
    """A timing was ended that was not started, or asked for and never taken."""
