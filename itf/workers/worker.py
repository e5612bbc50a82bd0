"""Base class of worker processes and worker threads: results, exceptions, deadlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from itf.exceptions import WorkerError, WorkerTimeoutError
from itf.safe_repr import safe_repr
from itf.signatures import signature_of
from itf.workers.base import WorkerContext

__all__ = ["DEFAULT", "Default", "Ending", "Worker", "check_call"]

__unittest = True


class Default:
    """The type of `DEFAULT`."""

    def __repr__(self) -> str:
        return "the environment's default_timeout"


DEFAULT: Final = Default()
"""Stands for a timeout that was not given: the environment's ``default_timeout`` is used."""


class Ending(NamedTuple):
    """How a worker ended.

    Attributes:
        value: Return value of the target.
        error: Exception to raise instead; None if the target returned.
        is_failure: Whether the error counts as a failure of the worker; False, for
            example, if the test has killed the worker.
        module: Module of the user's code that raised the error; empty if unknown.
        operation: Function that raised the error; empty if unknown.
    """

    value: Any = None
    error: BaseException | None = None
    is_failure: bool = False
    module: str = ""
    operation: str = ""


class Worker:
    """Base of `WorkerProcess` and `WorkerThread`; a mixin without an ``__init__``."""

    name: str
    worker_context: WorkerContext
    _itf_is_retrieved = False
    _itf_reported = False

    def result(self, timeout: float | Default | None = DEFAULT) -> Any:
        """Wait until the worker has ended, and return or raise what its target did.

        Args:
            timeout: Seconds to wait; None waits forever.

        Raises:
            WorkerError: The worker was not started.
            WorkerTimeoutError: The worker has not ended in time.
            WorkerDiedError: The worker was killed, or exited, before it could return.
        """
        ending = self._itf_ending(timeout, "result()")
        if ending.error is not None:
            raise ending.error
        return ending.value

    def exception(self, timeout: float | Default | None = DEFAULT) -> BaseException | None:
        """Wait until the worker has ended, and return the error that ended it.

        Args:
            timeout: Seconds to wait; None waits forever.

        Returns:
            The error; None if there was no error, or the test itself has ended the worker.

        Raises:
            WorkerError: The worker was not started.
            WorkerTimeoutError: The worker has not ended in time.
        """
        ending = self._itf_ending(timeout, "exception()")
        return ending.error if ending.is_failure else None

    def unretrieved_exception(self) -> BaseException | None:
        """Return the error of an ended worker if no caller has retrieved it, else None."""
        if not self._itf_has_ended():
            return None
        ending = self._itf_reported_ending()
        return ending.error if ending.is_failure and not self._itf_is_retrieved else None

    @property
    def failed_in(self) -> tuple[str, str]:
        """Module and function that raised the worker's error; empty strings if unknown."""
        ending = self._itf_find_ending() if self._itf_has_ended() else Ending()
        return ending.module, ending.operation

    def _itf_ending(self, timeout: float | Default | None, action: str) -> Ending:
        self._itf_require_started(action)
        seconds = self._itf_seconds(timeout)
        if not self._itf_wait(seconds):
            raise self._itf_timeout(seconds, action)
        self._itf_is_retrieved = True
        return self._itf_reported_ending()

    def _itf_reported_ending(self) -> Ending:
        """Return how the worker ended; call `WorkerContext.on_failure` once for its error."""
        ending = self._itf_find_ending()
        if ending.is_failure and ending.error is not None and not self._itf_reported:
            self._itf_reported = True
            self.worker_context.on_failure(self, ending.error)
        return ending

    def _itf_seconds(self, timeout: float | Default | None) -> float | None:
        return self.worker_context.default_timeout if isinstance(timeout, Default) else timeout

    def _itf_timeout(self, seconds: float | None, action: str) -> WorkerTimeoutError:
        text = f"worker {self.name!r} is still running after {seconds:g} s, in {action}"
        everybody = self.worker_context.describe()
        return WorkerTimeoutError(f"{text}\n{everybody}" if everybody else text, self.name)

    def _itf_require_startable(self) -> None:
        if self._itf_was_started():
            raise WorkerError(f"worker {self.name!r} was started before; make a new one", self.name)
        if self.worker_context.is_closed:
            raise WorkerError(
                f"worker {self.name!r} cannot start: its environment is closed; "
                "start workers inside the `with`",
                self.name,
            )

    def _itf_require_started(self, action: str) -> None:
        if not self._itf_was_started():
            raise WorkerError(
                f"{action}: worker {self.name!r} was not started; call start() first", self.name
            )

    def _itf_was_started(self) -> bool:
        raise NotImplementedError

    def _itf_has_ended(self) -> bool:
        """Return whether the worker was started and has ended."""
        raise NotImplementedError

    def _itf_wait(self, seconds: float | None) -> bool:
        """Wait until the worker has ended; return whether it has."""
        raise NotImplementedError

    def _itf_find_ending(self) -> Ending:
        """Return how the worker ended; called only after its end."""
        raise NotImplementedError


def check_call(
    worker: str, target: object, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return the target after a check that it can be called with these arguments.

    The check is made in the test, because an error in the worker would be reported
    far from the line that caused it.

    Raises:
        TypeError: The target cannot be called, or not with these arguments.
    """
    if not callable(target):
        raise TypeError(
            f"the target of worker {worker!r} is a function, got {safe_repr(target)}; "
            "pass it without calling it, and its arguments as args"
        )
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise TypeError(
            f"the args of worker {worker!r} are a tuple, got {safe_repr(args)}; "
            "for one argument write args=(argument,)"
        )
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"the kwargs of worker {worker!r} are a dict, got {safe_repr(kwargs)}")
    signature = signature_of(target)
    if signature is None:
        return target  # many functions in C have no signature
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(target, "__name__", safe_repr(target))
        raise TypeError(
            f"worker {worker!r} cannot call {name}{signature} "
            f"with args={safe_repr(tuple(args))} and kwargs={safe_repr(dict(kwargs))}: {error}"
        ) from None
    return target
