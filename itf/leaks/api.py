"""Public functions: detect leaks of a block or a suite, and exempt what may stay."""

from __future__ import annotations

import os
import sys
import threading
import unittest
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager, nullcontext
from typing import Any, Final, get_args

from itf.exception_notes import add_note
from itf.gil import warn_without_gil
from itf.leaks.detector import GuardPolicy, LeakDetector
from itf.leaks.leak import DEFAULT_GRACE, IgnoreList, Leak
from itf.leaks.leak_report import LeakReport
from itf.leaks.probes.interpreters import SEES_INTERPRETERS
from itf.leaks.probes.names import SEES_FILES, SEES_SHARED
from itf.leaks.registry import SEES_COROUTINES, active_detectors
from itf.leaks.unittest_hooks import class_scope, guard_class, guard_module
from itf.safe_repr import safe_repr
from itf.tracebacks import code_location

__all__ = ["guard_capabilities", "guard_suite", "leak_guard", "outlives_test", "trace_wanted"]

__unittest = True

_TRACE_VARIABLE: Final = "ITF_TRACE"


def trace_wanted() -> bool:
    """Return whether ``ITF_TRACE=1`` in the environment switches tracing on."""
    return os.environ.get(_TRACE_VARIABLE, "") not in ("", "0")


@contextmanager
def leak_guard(
    name: str = "",
    *,
    policy: GuardPolicy = "fail",
    ignore: Iterable[str] = (),
    trace: bool | None = None,
    grace: float = DEFAULT_GRACE,
) -> Generator[LeakReport]:
    """Report what a block leaves behind, and restore the settings it changed.

    Args:
        name: Name of the block in the report; by default the location of the ``with``.
        policy: ``fail`` raises an AssertionError, and ends or removes what was
            left behind. ``warn`` issues a ResourceWarning, and only restores settings.
        ignore: Leaks to accept: names, patterns (``pump-*``),
            dimensions (``threads``), or both (``threads:pump-*``).
        trace: Whether to record where things are created; by default as
            ``ITF_TRACE`` is set.
        grace: Seconds to wait for things that are about to end by themselves.

    Yields:
        The report, empty until the end of the block.

    Raises:
        AssertionError: Something was left behind, and the block itself did not fail.

    Example:
        >>> import threading
        >>> stop = threading.Event()
        >>> with warnings.catch_warnings(record=True):
        ...     warnings.simplefilter("always")
        ...     with leak_guard("upload", policy="warn", grace=0.0) as report:
        ...         threading.Thread(target=stop.wait, args=(60,), name="pump").start()
        >>> print(report.summary)
        SUMMARY: 1 thread leaked by upload
        >>> stop.set()

    Thread safety: several threads may run such blocks at once; each report
    has only the leaks of its own block.
    """
    warn_without_gil()
    _check(policy, grace)
    name = name or f"the block at {code_location()}"
    traced = trace_wanted() if trace is None else trace
    report = LeakReport(name, traced=traced)
    guard = LeakDetector(
        lambda: name, policy=policy, ignore=IgnoreList(ignore, "ignore"), trace=traced, grace=grace
    )
    guard.begin()
    try:
        yield report
    except BaseException as error:
        report.fill(_leaks_of(guard))
        if report:
            add_note(error, report.text)
        raise
    report.fill(_leaks_of(guard))
    if report and policy == "fail":
        raise AssertionError(report.text)
    if report:
        warnings.warn(report.text, ResourceWarning, stacklevel=3)


def _leaks_of(guard: LeakDetector) -> list[Leak]:
    found = guard.end()
    return [] if found is None else found.leaks


def _check(policy: str, grace: float) -> None:
    if policy not in get_args(GuardPolicy):
        raise ValueError(
            f"policy is {safe_repr(policy)}; it is one of {', '.join(get_args(GuardPolicy))}"
        )
    if not isinstance(grace, int | float) or not grace >= 0:
        raise ValueError(f"grace is {safe_repr(grace)}; it is a number of seconds, 0 or more")


@contextmanager
def outlives_test(why: str) -> Generator[None]:
    """Exempt what is created in this block from leak detection.

    Meant for objects that stay on purpose, like a cache or a pool that the first
    use creates. No detector reports them, in this test or in a later one.

    Args:
        why: The reason, as documentation for readers of the code.

    Example:
        >>> import tempfile, os
        >>> with leak_guard():
        ...     with outlives_test("made once, and kept"):
        ...         handle, path = tempfile.mkstemp()
        >>> os.close(handle)
        >>> os.unlink(path)

    Raises:
        ValueError: The reason is empty or not a string.
    """
    if not isinstance(why, str) or not why.strip():
        raise ValueError(f"outlives_test takes the reason as a text, got {safe_repr(why)}")
    # Another thread may start a detector during the block; its snapshot counts too.
    needed = active_detectors.stands or threading.active_count() > 1
    with active_detectors.allowing() if needed else nullcontext():
        yield


def guard_suite(
    suite: unittest.TestSuite,
    *,
    policy: GuardPolicy = "fail",
    ignore: Iterable[str] = (),
    trace: bool | None = None,
    grace: float = DEFAULT_GRACE,
) -> unittest.TestSuite:
    """Add leak detection to every test of a suite, and to their classes and modules.

    Tests of `IntegrationTestCase` have their own detection and are not changed.

    Args:
        suite: The suite; its tests are changed in place.
        policy: ``fail`` or ``warn``, as in `leak_guard`.
        ignore: Leaks to accept, as in `leak_guard`.
        trace: Whether to record where things are created.
        grace: Seconds to wait for things that are about to end by themselves.

    Returns:
        The same suite.

    Example:
        >>> import io
        >>> class PlainTest(unittest.TestCase):
        ...     def test_folder(self):
        ...         os.environ["FOLDER"] = "x"
        >>> suite = guard_suite(unittest.TestSuite([PlainTest("test_folder")]))
        >>> result = unittest.TestResult()
        >>> _ = suite.run(result)
        >>> print(result.failures[0][1].splitlines()[-1].partition(" leaked")[0])
        SUMMARY: 1 variable
        >>> "FOLDER" in os.environ
        False
    """
    _check(policy, grace)
    traced = trace_wanted() if trace is None else trace
    allowed = IgnoreList(ignore, "ignore")

    def make(owner: type[Any]) -> LeakDetector:
        return LeakDetector(
            lambda: owner.__qualname__, policy=policy, ignore=allowed, trace=traced, grace=grace
        )

    for test in _tests_of(suite):
        if not isinstance(test, unittest.TestCase):
            continue
        # An IntegrationTestCase has a detector of its own, and a test is guarded once.
        if not hasattr(test, "_itf_run_type") and "_itf_guard" not in vars(test):
            guard_module(type(test).__module__, make, type(test))
            guard_class(type(test), make)
            _GuardedTest(test, make)
    return suite


def _tests_of(suite: Iterable[Any]) -> Generator[Any]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _tests_of(test)
        else:
            yield test


class _GuardedTest:
    """Leak detection for one test of a class that is not an `IntegrationTestCase`.

    The instance's ``run`` and ``debug`` are replaced. The detector begins before
    ``setUp``. It ends in the cleanup that was added first, which runs last.
    """

    def __init__(self, test: unittest.TestCase, make: Any) -> None:
        self._test = test
        self._make = make
        self._guard: LeakDetector | None = None
        for name in ("run", "debug"):
            test.__dict__[name] = self._around(getattr(test, name))
        test.__dict__["_itf_guard"] = self

    def _around(self, run: Any) -> Any:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            test = self._test
            test.addCleanup(self._end)
            set_up = test.setUp

            def begin_and_set_up() -> None:
                self._begin()
                set_up()

            test.__dict__["setUp"] = begin_and_set_up
            try:
                return run(*args, **kwargs)
            finally:
                test.__dict__.pop("setUp", None)
                guard, self._guard = self._guard, None
                if guard is not None:
                    guard.abandon()  # debug() raised, so unittest skipped the cleanups

        return guarded

    def _begin(self) -> None:
        warn_without_gil()
        self._guard = self._make(type(self._test))
        self._guard.namer = self._test.id
        self._guard.parent = class_scope(type(self._test))
        self._guard.begin()

    def _end(self) -> None:
        guard, self._guard = self._guard, None
        report = guard.end() if guard is not None else None
        if report is None or guard is None:
            return
        if guard.policy == "fail":
            raise self._test.failureException(report.text)
        warnings.warn(report.text, ResourceWarning, stacklevel=2)


def guard_capabilities() -> dict[str, bool]:
    """Return which kinds of leaks can be detected on this platform.

    Returns:
        Each kind by its name in `leak_ignore`, and whether it is detected.
    """
    linux = sys.platform == "linux"
    children = linux and os.path.exists(f"/proc/self/task/{os.getpid()}/children")
    return {
        "threads": True,
        "processes": children,
        "interpreters": SEES_INTERPRETERS,
        "descriptors": linux or os.path.isdir("/dev/fd"),
        "files": SEES_FILES,
        "tasks": SEES_COROUTINES,
        "shared": SEES_SHARED,
        "environment": True,
        "settings": True,
        "errors": True,
        "garbage": True,
    }
