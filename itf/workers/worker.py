"""What a worker is, process or thread: how it ends is known, and waiting for that has an end."""

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
"""A timeout that was not given: the environment's ``default_timeout``, 60 s unless set."""


class Ending(NamedTuple):
    """How a worker ended.

    Attributes:
        value: What its target returned.
        error: What is raised instead; None if it returned.
        is_failure: Whether the error is the worker's fault, and not what the test asked for.
        module: The module of the user's that the error came out of; empty if unknown.
        operation: The function that raised it; empty if unknown.
    """

    value: Any = None
    error: BaseException | None = None
    is_failure: bool = False
    module: str = ""
    operation: str = ""


class Worker:
    """What worker processes and worker threads have in common; without an ``__init__``."""

    name: str
    worker_context: WorkerContext
    _itf_looked_at = False
    _itf_told = False

    def result(self, timeout: float | Default | None = DEFAULT) -> Any:
        """Wait for the end and return what the target returned, or raise what it raised.

        Args:
            timeout: Seconds; None is for ever.

        Raises:
            WorkerError: It was not started.
            WorkerTimeoutError: It has not ended.
            WorkerDiedError: It was killed, or exited, before it could return.
        """
        ending = self._itf_ending(timeout, "result()")
        if ending.error is not None:
            raise ending.error
        return ending.value

    def exception(self, timeout: float | Default | None = DEFAULT) -> BaseException | None:
        """Wait for the end and return the error that made it.

        Args:
            timeout: Seconds; None is for ever.

        Returns:
            The error; None if there was none, or the test itself has ended the worker.

        Raises:
            WorkerError: It was not started.
            WorkerTimeoutError: It has not ended.
        """
        ending = self._itf_ending(timeout, "exception()")
        return ending.error if ending.is_failure else None

    def unseen_failure(self) -> BaseException | None:
        """Return the error of a worker that has ended, unless somebody looked at it."""
        if not self._itf_has_ended():
            return None
        ending = self._itf_told_ending()
        return ending.error if ending.is_failure and not self._itf_looked_at else None

    @property
    def failed_in(self) -> tuple[str, str]:
        """The module that a worker's error came out of, and the function; empty if unknown."""
        ending = self._itf_find_ending() if self._itf_has_ended() else Ending()
        return ending.module, ending.operation

    def _itf_ending(self, timeout: float | Default | None, action: str) -> Ending:
        self._itf_require_started(action)
        seconds = self._itf_seconds(timeout)
        if not self._itf_wait(seconds):
            raise self._itf_timeout(seconds, action)
        self._itf_looked_at = True
        return self._itf_told_ending()

    def _itf_told_ending(self) -> Ending:
        """Return how it ended, and tell its home of an error that is seen for the first time."""
        ending = self._itf_find_ending()
        if ending.is_failure and ending.error is not None and not self._itf_told:
            self._itf_told = True
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
        """Say whether it was started and has ended."""
        raise NotImplementedError

    def _itf_wait(self, seconds: float | None) -> bool:
        """Wait for the end, and say whether it has come."""
        raise NotImplementedError

    def _itf_find_ending(self) -> Ending:
        """Return how it ended; it has."""
        raise NotImplementedError


def check_call(
    worker: str, target: object, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Callable[..., Any]:
    """Refuse what could only fail in the worker, where it is far from its cause.

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
        return target  # many functions in C do not say
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(target, "__name__", safe_repr(target))
        raise TypeError(
            f"worker {worker!r} cannot call {name}{signature} "
            f"with args={safe_repr(tuple(args))} and kwargs={safe_repr(dict(kwargs))}: {error}"
        ) from None
    return target
