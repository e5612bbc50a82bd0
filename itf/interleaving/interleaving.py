"""Functions run as threads, many times, each time in another order: `interleave`."""

from __future__ import annotations

import contextvars
import functools
import gc
import os
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from itf.exception_notes import add_note
from itf.exceptions import (
    InterleavingDeadlockError,
    InterleavingError,
    InterleavingTimeoutError,
)
from itf.gil import warn_without_gil
from itf.interleaving.arguments import (
    check_functions,
    check_numbers,
    codes_of,
    names_of,
    thread_names,
)
from itf.interleaving.current import current_managed_thread, current_run
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
from itf.interleaving.scheduler import Scheduler
from itf.interleaving.tracing import Scope, Tracer, make_tracer
from itf.safe_repr import safe_str
from itf.timeline import current_owner
from itf.tracebacks import strip_own_frames

__all__ = ["InterleavingResult", "interleave"]

__unittest = True


# What modules are exchanged for a while is the whole process's: one at a time.
class _Exclusive:
    lock = threading.RLock()


_exclusive: Final = _Exclusive()

# A seed that a person can copy by hand.
_MAX_SEED: Final = 1_000_000


@dataclass(frozen=True)
class InterleavingResult:
    """What was tried without a failure.

    Attributes:
        seed: The seed of the first run.
        runs: How many runs there were.
        schedules: How many of them went differently from each other.
    """

    seed: int
    runs: int
    schedules: int


def interleave(
    *functions: Callable[[], object],
    setup: Callable[[], object] | None = None,
    check: Callable[[], object] | None = None,
    runs: int = 200,
    seed: int | None = None,
    trace: Iterable[ModuleType | str] | None = None,
    timeout: float | None = 60.0,
) -> InterleavingResult:
    """Run functions as threads that take turns, each run in another order, until one fails.

    A run calls ``setup``, then each function in a thread of its own, then
    ``check``.  One thread runs at a time, and may be interrupted before any
    instruction of the user's code that another thread could notice, in the
    middle of a line.  Locks, conditions, events, semaphores, barriers, queues
    and ``time.sleep`` do not wait in real time: while one thread waits the others
    go on, and where all of them wait, time jumps to the first whose wait ends.
    Where all wait for ever, the run fails as a deadlock.  Threads that the
    functions start take part, too; at the end, those that are no daemons are
    waited for.

    All choices follow from the seed.  The same seed gives the same turns on the
    same version of Python, if the functions do the same each time: what is
    random, or left over from the run before, is for ``setup`` to put right.

    Example:
        >>> class Account:
        ...     balance = 0
        ...     def deposit(self):
        ...         self.balance += 1
        >>> account = Account()
        >>> def setup():
        ...     account.balance = 0
        >>> def check():
        ...     return account.balance == 2
        >>> try:
        ...     interleave(account.deposit, account.deposit, setup=setup, check=check, seed=1)
        ... except AssertionError as error:
        ...     print(error)  # doctest: +ELLIPSIS
        run ... of 200 failed: check returned False
        replay: interleave(..., seed=..., runs=1), the same under Python 3...
        the turns that led to it (last ... of ...):
        ...

    Args:
        functions: What runs in threads: functions, methods, partials, anything
            that can be called without arguments.
        setup: Called before each run, in the caller's thread.
        check: Called after each run, in the caller's thread.  It fails the run by
            raising, or by returning False.
        runs: How many runs at most.
        seed: The seed of the first run, from which those of the others follow.
            By default a random one.
        trace: Modules, or names of modules and packages, whose code may be
            interrupted, beside that of the functions.  By default all but the
            standard library and what is installed in ``site-packages``.
        timeout: Seconds that the functions may take in one run; None for ever.

    Returns:
        What was tried.

    Raises:
        InterleavingError: A function, or a thread that it started, raised an exception,
            or the check failed; the exception is its cause.
        InterleavingDeadlockError: The threads wait for each other.
        InterleavingTimeoutError: A run took longer than it may.
        TypeError: A function cannot be called, or is a coroutine function.
        ValueError: There is no function, or not one run.
        RuntimeError: It was called inside of another interleave.

    Thread safety: any thread may call it; calls of several threads follow one another.
    """
    warn_without_gil()
    check_functions(functions, setup, check)
    check_numbers(runs, seed, timeout)
    scope = Scope(codes_of(functions), names_of(trace))
    if seed is None:
        seed = random.SystemRandom().randrange(_MAX_SEED)
    with _exclusively(timeout):
        plan = _Runner(functions, setup, check, scope, timeout)
        return plan.run_all(seed, runs)


@dataclass
class _Failure:
    """Why a run failed: in words, what was raised, and what to raise."""

    text: str
    cause: BaseException | None = None
    error: Callable[[str, int, int, Sequence[str]], InterleavingError] = InterleavingError


class _Runner:
    """What is done in each run."""

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

    def run_all(self, seed: int, runs: int) -> InterleavingResult:
        """Try so many runs, and return what was tried if none fails."""
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
        result = InterleavingResult(seed, runs, len(schedules))
        _record_event(action="explored", seed=seed, runs=runs, schedules=result.schedules)
        return result

    def _run(self, tracer: Tracer, seed: int, title: str, number: int) -> Scheduler:
        """Do one run, and return the scheduler that knows how it went."""
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
            self._timeout,
            current_run.clock_offset,
        )
        try:
            failure = self._run_threads(scheduler) or self._run_check()
        except BaseException as error:
            # What is no Exception goes through: Ctrl-C, and how pytest fails and skips.
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
        """Run the functions, and return how they failed, if they did."""
        for name, function in zip(self._names, self._functions, strict=True):
            managed = scheduler.add(name)
            call = functools.partial(contextvars.copy_context().run, function)
            body = functools.partial(scheduler.run_in_thread, managed, call)
            managed.thread = threading.Thread(target=body, name=name)
        failure = None
        with (
            self._patcher.patch_objects((*self._functions, self._setup, self._check)),
            _gc_disabled(),
        ):
            current_run.scheduler = scheduler
            try:
                scheduler.run()
                # Told before the threads are ended, for that changes what it tells.
                failure = self._describe(scheduler)
            finally:
                with _silenced_pool_logger():
                    scheduler.end_threads()
                current_run.scheduler = None
                current_run.clock_offset += scheduler.now
        if failure is not None and scheduler.not_ended:
            names = ", ".join(managed.name for managed in scheduler.not_ended)
            failure.text += f"\n  could not be ended: {names}"
        return failure

    def _describe(self, scheduler: Scheduler) -> _Failure | None:
        if scheduler.failed is not None and scheduler.failed.error is not None:
            error = scheduler.failed.error
            if not isinstance(error, Exception):
                # Such as a KeyboardInterrupt that a function raises.
                raise error
            strip_own_frames(error)
            return _Failure(f"{scheduler.failed.name} raised {_describe_error(error)}", error)
        if scheduler.timed_out:
            text = describe_stuck(scheduler, self._timeout or 0.0)
            return _Failure(text, error=InterleavingTimeoutError)
        if scheduler.deadlocked:
            circle = tuple(managed.name for managed in wait_cycle(scheduler.deadlocked))
            text = describe_deadlock(scheduler.deadlocked)
            return _Failure(text, error=functools.partial(InterleavingDeadlockError, circle=circle))
        return None

    def _run_check(self) -> _Failure | None:
        """Ask the check, and return what it says against the run."""
        if self._check is None:
            return None
        try:
            verdict = self._check()
        except Exception as error:
            if _is_skip(error):
                raise
            strip_own_frames(error)
            return _Failure(f"check raised {_describe_error(error)}", error)
        return _Failure("check returned False") if verdict is False else None


def _describe_error(error: BaseException) -> str:
    text = safe_str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_skip(error: BaseException) -> bool:
    """Say whether an error is a test's wish to be skipped, which is not a failure."""
    unittest = sys.modules.get("unittest")
    return unittest is not None and isinstance(error, unittest.SkipTest)


def _record_event(**data: object) -> None:
    owner = current_owner.get()
    if owner is not None:
        owner.timeline.record("interleave", data)


@contextmanager
def _exclusively(timeout: float | None) -> Iterator[None]:
    """Let no other interleave run meanwhile."""
    if current_managed_thread() is not None:
        raise RuntimeError("interleave was called by a function that interleave runs; call it once")
    lock = _exclusive.lock
    if not lock.acquire(timeout=-1 if timeout is None else timeout):
        raise TimeoutError(
            f"another thread's interleave did not end within {timeout} s; "
            "it exchanges what is in threading, queue and time, so one runs at a time"
        )
    try:
        if _depth.value:
            raise RuntimeError("interleave was called by setup or check of another; call it once")
        _depth.value += 1
        try:
            yield
        finally:
            _depth.value -= 1
    finally:
        lock.release()


class _Depth:
    """How deep the calls of the thread that has the lock are nested."""

    value = 0


_depth: Final = _Depth()


@contextmanager
def _gc_disabled() -> Iterator[None]:
    """Put the garbage collector off: a ``__del__`` in the middle of a run is in no seed."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _silenced_pool_logger() -> Iterator[None]:
    """Let pools not log how their threads are ended."""
    pools = sys.modules.get("concurrent.futures._base")
    if pools is None or pools.LOGGER.disabled:
        yield
        return
    pools.LOGGER.disabled = True
    try:
        yield
    finally:
        pools.LOGGER.disabled = False


def _after_fork() -> None:
    # The child has only the thread that forked; there are no turns to take.
    if current_run.scheduler is not None:
        current_run.scheduler.detach_all()
        current_run.scheduler = None
    _exclusive.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
