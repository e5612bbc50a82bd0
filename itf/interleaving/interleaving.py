"""`interleave`: run functions as threads, many times, each time in another order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from itf.gil import warn_without_gil
from itf.interleaving.arguments import check_functions, codes_of, names_of
from itf.interleaving.call_lock import single_call
from itf.interleaving.runner import Runner
from itf.interleaving.tracing import Scope
from itf.validation import check_integer, check_timeout

__all__ = ["InterleavingResult", "interleave"]

__unittest = True


# Upper limit of random first seeds: short enough to type.
_MAX_SEED: Final = 1_000_000


@dataclass(frozen=True)
class InterleavingResult:
    """Result of a call of `interleave` in which no run failed.

    Attributes:
        seed: The seed of the first run.
        runs: Number of runs.
        schedules: Number of different schedules among the runs.
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
    """Run functions as threads, many times in different orders, until a run fails.

    A run calls ``setup``, then each function in its own thread, then ``check``.  Exactly
    one thread runs at a time.  A thread may be preempted before any instruction of user
    code whose timing another thread can observe, also in the middle of a line.

    Locks, conditions, events, semaphores, barriers, queues and ``time.sleep`` wait in
    virtual time.  While a thread waits, the other threads run.  If all threads wait, time
    advances at once to the first timeout.  If there is no timeout, the run fails with a
    deadlock.  Threads that the functions start take part in the run, which waits for
    them unless they are daemons.

    The seed determines all decisions.  The same seed gives the same order on the same
    version of Python, if the functions are deterministic.  ``setup`` must reset the state
    that a run changes, and seed random numbers.

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
        functions: Callables without parameters; each runs in its own thread.
        setup: Called before each run, in the caller's thread.
        check: Called after each run, in the caller's thread.  The run fails if ``check``
            raises an exception or returns False.
        runs: Maximal number of runs.
        seed: Seed of the first run; the seeds of further runs are derived from it.
            None chooses a random seed.
        trace: Modules, or names of modules and packages, in whose code threads may be
            preempted, in addition to the functions' files.  None means all code except
            the standard library and ``site-packages``.
        timeout: Real seconds that the functions may take in one run; None for no limit.

    Returns:
        The number of runs, and how many different schedules they had.

    Raises:
        InterleavingError: A function, or a thread that it started, raised an exception,
            or the check failed.  The exception is its ``__cause__``.
        InterleavingDeadlockError: No thread can continue.
        InterleavingTimeoutError: A run took longer than ``timeout``.
        TypeError: A function cannot be called, or is a coroutine function; a number has the
            wrong type.
        ValueError: There is no function, or a number is out of range.
        RuntimeError: The call is inside another call of `interleave`.

    Thread safety: any thread may call it; concurrent calls run one after the other.
    """
    warn_without_gil()
    check_functions(functions, setup, check)
    runs = check_integer("interleave: runs", runs, 1)
    seconds = check_timeout("interleave: timeout", timeout)
    scope = Scope(codes_of(functions), names_of(trace))
    if seed is None:
        seed = random.SystemRandom().randrange(_MAX_SEED)
    seed = check_integer("interleave: seed", seed, 0)
    with single_call(seconds):
        runner = Runner(functions, setup, check, scope, seconds)
        schedules = runner.run_all(seed, runs)
    return InterleavingResult(seed, runs, len(schedules))
