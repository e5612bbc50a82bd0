"""The runs of one call of `interleave`: set-up, threads, check, and the error of a failed run."""

from __future__ import annotations

import contextvars
import functools
import gc
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from itf.exception_notes import add_note
from itf.exceptions import (
    InterleavingDeadlockError,
    InterleavingError,
    InterleavingTimeoutError,
)
from itf.fork_safety import after_fork_in_child
from itf.interleaving.arguments import thread_names
from itf.interleaving.current import current_run
from itf.interleaving.interleaving_report import (
    describe_deadlock,
    describe_stuck,
    describe_turns,
    replay_advice,
    shown_turns,
)
from itf.interleaving.managed_thread import wait_cycle
from itf.interleaving.patching import Patcher
from itf.interleaving.pct_strategy import PctStrategy, Seeds
from itf.interleaving.run_supervisor import RunSupervisor
from itf.interleaving.scheduler import Scheduler
from itf.interleaving.tracing import Scope, Tracer, make_tracer
from itf.safe_repr import safe_str
from itf.timeline import current_owner
from itf.tracebacks import strip_own_frames

__all__ = ["Runner"]

__unittest = True


@dataclass
class _Failure:
    """The failure of a run.

    Attributes:
        text: Description for the message.
        cause: The exception of a function or of the check, if any.
        error: Class of the error to raise, or a factory with the same parameters.
    """

    text: str
    cause: BaseException | None = None
    error: Callable[[str, int, int, Sequence[str]], InterleavingError] = InterleavingError


class Runner:
    """The functions of one call of `interleave`, and how to run them."""

    def __init__(
        self,
        functions: Sequence[Callable[[], object]],
        setup: Callable[[], object] | None,
        check: Callable[[], object] | None,
        scope: Scope,
        timeout: float | None,
    ) -> None:
        self._functions = functions
        self._names = thread_names(functions)
        self._setup = setup
        self._check = check
        self._scope = scope
        self._timeout = timeout
        self._patcher = Patcher(scope)

    def run_all(self, seed: int, runs: int) -> set[int]:
        """Run the functions this many times; raise the error of the first run that fails.

        Returns:
            The different schedules of the runs, each as a hash.
        """
        schedules = set()
        tracer = make_tracer(self._scope)
        with ExitStack() as stack:
            stack.enter_context(self._patcher.patch_modules())
            stack.enter_context(current_run.called_from_this_thread())
            tracer.start()
            stack.callback(tracer.stop)
            seeds = Seeds(seed)
            for number in range(1, runs + 1):
                scheduler = self._run(tracer, seeds.seed, f"run {number} of {runs}", number)
                schedules.add(hash(tuple(scheduler.turn_trace)))
                seeds.advance(scheduler.steps)
        _record_event(action="explored", seed=seed, runs=runs, schedules=len(schedules))
        return schedules

    def _run(self, tracer: Tracer, seed: int, title: str, number: int) -> Scheduler:
        """Do one run and return its scheduler; raise an error if the run fails."""
        if self._setup is not None:
            try:
                self._setup()
            except Exception as error:
                add_note(error, f"in setup of {title} of interleave, seed {seed}")
                raise
        scheduler = Scheduler(
            PctStrategy(seed),
            self._scope.location_of,
            tracer.trace_call,
            current_run.clock_offset,
        )
        try:
            failure = self._run_threads(scheduler) or self._run_check()
        except BaseException as error:
            # Not a failure of the run: KeyboardInterrupt, and pytest's failures and skips.
            add_note(error, f"in {title} of interleave; {replay_advice(seed)}")
            raise
        if failure is None:
            return scheduler
        lines = describe_turns(scheduler)
        message = "\n".join(
            [f"{title} failed: {failure.text}", replay_advice(seed), shown_turns(lines)]
        )
        _record_event(action="failed", seed=seed, run=number, error=message.partition("\n")[0])
        raise failure.error(message, seed, number, lines) from failure.cause

    def _run_threads(self, scheduler: Scheduler) -> _Failure | None:
        """Run the functions in threads; return the failure, or None."""
        for name, function in zip(self._names, self._functions, strict=True):
            managed = scheduler.add(name)
            call = functools.partial(contextvars.copy_context().run, function)
            body = functools.partial(scheduler.run_in_thread, managed, call)
            managed.thread = threading.Thread(target=body, name=name)
        supervisor = RunSupervisor(scheduler, self._timeout)
        failure = None
        with (
            self._patcher.patch_objects((*self._functions, self._setup, self._check)),
            _gc_disabled(),
        ):
            current_run.scheduler = scheduler
            try:
                supervisor.run()
                # Before end_threads, which unwinds the stacks that are described.
                failure = self._failure_of(scheduler, timed_out=supervisor.timed_out)
            finally:
                with _silenced_pool_logger():
                    supervisor.end_threads()
                current_run.scheduler = None
                current_run.clock_offset += scheduler.now
        if failure is not None and supervisor.not_ended:
            names = ", ".join(managed.name for managed in supervisor.not_ended)
            failure.text += f"\n  could not be ended: {names}"
        return failure

    def _failure_of(self, scheduler: Scheduler, *, timed_out: bool) -> _Failure | None:
        """Return the failure of the threads, or None."""
        if scheduler.failed is not None and scheduler.failed.error is not None:
            error = scheduler.failed.error
            if not isinstance(error, Exception):
                # For example a KeyboardInterrupt: raised unchanged.
                raise error
            strip_own_frames(error)
            return _Failure(f"{scheduler.failed.name} raised {_describe_error(error)}", error)
        if timed_out:
            text = describe_stuck(scheduler, self._timeout or 0.0)
            return _Failure(text, error=InterleavingTimeoutError)
        deadlocked = scheduler.policy.deadlocked
        if deadlocked:
            cycle = tuple(managed.name for managed in wait_cycle(deadlocked))
            text = describe_deadlock(deadlocked)
            return _Failure(text, error=functools.partial(InterleavingDeadlockError, circle=cycle))
        return None

    def _run_check(self) -> _Failure | None:
        """Call ``check``; return the failure if it raises an exception or returns False."""
        if self._check is None:
            return None
        try:
            check_result = self._check()
        except Exception as error:
            if _is_skip(error):
                raise
            strip_own_frames(error)
            return _Failure(f"check raised {_describe_error(error)}", error)
        return _Failure("check returned False") if check_result is False else None


def _describe_error(error: BaseException) -> str:
    text = safe_str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_skip(error: BaseException) -> bool:
    """Return whether an error is unittest's SkipTest, which is not a failure."""
    unittest = sys.modules.get("unittest")
    return unittest is not None and isinstance(error, unittest.SkipTest)


def _record_event(**data: object) -> None:
    owner = current_owner.get()
    if owner is not None:
        owner.timeline.record("interleave", data)


@contextmanager
def _gc_disabled() -> Iterator[None]:
    """Disable the garbage collector: it calls ``__del__`` at times that no seed determines."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _silenced_pool_logger() -> Iterator[None]:
    """Silence the logger of `concurrent.futures`: it would log each unwound pool thread."""
    pools = sys.modules.get("concurrent.futures._base")
    if pools is None or pools.LOGGER.disabled:
        yield
        return
    pools.LOGGER.disabled = True
    try:
        yield
    finally:
        pools.LOGGER.disabled = False


@after_fork_in_child
def _detach_in_child() -> None:
    # The child has only the thread that forked, so the scheduler must not make it wait.
    if current_run.scheduler is not None:
        for managed in current_run.scheduler.threads:
            managed.unwinding = managed.bypass = True
        current_run.scheduler = None
