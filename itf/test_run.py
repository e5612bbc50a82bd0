"""TestRun: the state of one run of one test, and the steps that end it.

`IntegrationTestCase` makes a `TestRun` when a test starts and drops it when the
test is over.  Until then the `TestRun` replaces the test method, ``setUp``,
``tearDown`` and their asynchronous counterparts on the instance by wrappers.  The
wrappers fill in fixtures and record the first failure.  unittest itself calls the
tear-down steps: they are one cleanup, registered before any of the user's, and
unittest runs cleanups last first.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import unittest
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from itf.exception_notes import add_note
from itf.fixtures.declaration import FixtureSet, takes_no_fixtures
from itf.gil import warn_without_gil
from itf.interfaces.error_propagation import ErrorPropagationMixin
from itf.teardown_checks import (
    check_errors,
    check_faults,
    check_leaks,
    check_resources,
    raise_failures,
    stop_workers,
)
from itf.timeline import Timeline, current_owner
from itf.tracebacks import strip_own_frames

if TYPE_CHECKING:
    from itf.faults.injection import Injection
    from itf.leaks.detector import LeakDetector

__all__ = ["TestRun"]

__unittest = True

# Methods that unittest calls around the test method.
_STEPS: Final = frozenset(("setUp", "asyncSetUp", "tearDown", "asyncTearDown"))

# Events of the timeline in the note of a failure: about one screen.
_EVENTS_SHOWN: Final = 20


class TestRun:
    """The state of one run of one test.

    Args:
        case: The test, an `IntegrationTestCase`.

    Attributes:
        fixtures: The fixtures that the test has used.
        failure: The first exception that left the test, ``setUp``, ``tearDown`` or
            a subtest; None as long as there is none.
        injections: The faults that `IntegrationTestCase.inject_faults` injected.
        detector: Compares the process before and after the test; None before
            ``setUp``, and if the test's ``leak_policy`` is ``off``.
        wrapped: Names of the methods that are replaced on the instance.
        replaced: Attributes that the instance itself had under these names.

    Thread safety: `fixtures` and `annotate` may be used by any thread; everything
    else by the thread that runs the test.
    """

    # Keeps pytest from collecting this class, whose name begins with "Test", as a test.
    __test__ = False

    def __init__(self, case: Any) -> None:
        # An IntegrationTestCase; its module imports this one, so the type is not named here.
        self.case = case
        self.fixtures = FixtureSet(case, self.register_tear_down)
        self.failure: BaseException | None = None
        self.injections: list[Injection] = []
        self.detector: LeakDetector | None = None
        self.wrapped: frozenset[str] = frozenset()
        self.replaced: dict[str, Any] = {}
        self._owner_token: contextvars.Token[Any] | None = None
        self._annotated: BaseException | None = None
        self._used_fixtures: list[Any] = []
        # None while the tear-down is not registered.
        self._remaining_steps: Iterator[Callable[[TestRun], None]] | None = None

    def begin(self) -> None:
        """Start the run: a new timeline, the tear-down registered, the methods wrapped."""
        self.case.timeline = Timeline(self.case.id())
        self.register_tear_down()
        self._owner_token = current_owner.set(self.case)
        attributes = vars(self.case)
        names = {
            self.case._itf_method_name,
            *_overridden_steps(type(self.case)),
            *(_STEPS & attributes.keys()),
        }
        methods = {name: self.wrap(getattr(self.case, name)) for name in names}
        set_up = methods.get("setUp") or self.case.setUp
        methods["setUp"] = self.detect_leaks_from(set_up)
        self.replace_methods(methods)

    def replace_methods(self, methods: dict[str, Callable[..., Any]]) -> None:
        """Set methods on the instance, which hide those of its class until `end`."""
        attributes = vars(self.case)
        for name in methods.keys() - self.wrapped:
            if name in attributes:
                self.replaced[name] = attributes[name]
        attributes.update(methods)
        self.wrapped |= methods.keys()

    def end(self) -> None:
        """Undo what `begin` did to the test; called after unittest's part of the run."""
        attributes = vars(self.case)
        for name in self.wrapped:
            attributes.pop(name, None)
        attributes.update(self.replaced)
        if self._owner_token is not None:
            current_owner.reset(self._owner_token)
        if self.detector is not None:
            # After Ctrl-C in a cleanup, unittest calls no further ones, so the detector has not
            # ended.
            self.detector.abandon()

    def abandon(self) -> None:
        """Restore what the test changed, without reporting, after Ctrl-C interrupted it."""
        injections, self.injections = self.injections, []
        for injection in reversed(injections):
            injection.undo()
        if self._remaining_steps is not None:
            try:
                self._stop_workers()
            finally:
                self.fixtures.tear_down(self.failure)
                self._finish_tear_down()

    # --- wrappers around the user's methods ---------------------------------------------------

    def wrap(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method that fills in fixtures, calls ``method`` and records its failure.

        The wrapper has the attributes of ``method``, which mark a skip or an
        expected failure.
        """
        if not inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            def wrapper(*args: Any) -> Any:
                with self.recorded_failure():
                    return method(*args, **self.arguments_for(method))

            return wrapper

        if not hasattr(self.case, "enterAsyncContext"):
            # unittest would call the coroutine function, never await the coroutine, and report a
            # success.
            def refusal(*args: Any) -> NoReturn:
                raise TypeError(
                    f"{type(self.case).__name__}.{method.__name__} is a coroutine function; "
                    "derive from itf.AsyncIntegrationTestCase"
                )

            return refusal

        @functools.wraps(method)
        async def async_wrapper(*args: Any) -> Any:
            with self.recorded_failure():
                return await method(*args, **self.arguments_for(method))

        return async_wrapper

    def arguments_for(self, method: Callable[..., Any]) -> dict[str, Any]:
        """Return the fixtures that the parameters of a method name."""
        return {} if takes_no_fixtures(method) else self.fixtures.arguments_for(method)

    @contextmanager
    def recorded_failure(self) -> Generator[None]:
        """Record and annotate an exception that leaves this ``with``, unless it is a skip."""
        try:
            yield
        except unittest.SkipTest:
            raise
        except BaseException as error:
            self.record_failure(error)
            raise

    def record_failure(self, error: BaseException) -> None:
        """Store the test's first exception, and annotate every exception."""
        if self.failure is None:
            self.failure = error
        self.annotate(error)

    def annotate(self, error: BaseException) -> None:
        """Remove itf's frames from an exception's traceback, and add the timeline as a note."""
        strip_own_frames(error)
        # An exception that leaves a subtest may leave the test too; one note is enough.
        if len(self.case.timeline) and self._annotated is not error:
            self._annotated = error
            add_note(error, self.case.timeline.describe(_EVENTS_SHOWN))

    def detect_leaks_from(self, set_up: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``setUp``, preceded by the leak detector's first snapshot.

        Not earlier, because a runner may redirect stdout in ``startTest``, and a test for
        coroutines creates its event loop.
        """

        def begin_and_set_up(*args: Any) -> None:
            warn_without_gil()
            self.begin_detection()
            set_up(*args)

        return begin_and_set_up

    def begin_detection(self) -> None:
        """Take the leak detector's first snapshot."""
        # Imported here, so that `from itf import IntegrationTestCase` stays cheap.
        from itf.leaks.policy import detector_for

        self.detector = detector_for(self.case, self.case._itf_method_name)
        if self.detector is not None:
            self.detector.begin()

    # --- the end of the test ------------------------------------------------------------------

    def register_tear_down(self) -> None:
        """Register the tear-down steps as a cleanup, once.

        unittest runs cleanups last first.  This one is registered before any of
        the user's, so it runs after all of them.
        """
        if self._remaining_steps is None:
            self._remaining_steps = iter(_TEARDOWN_STEPS)
            # A subclass may override addCleanup.
            unittest.TestCase.addCleanup(self.case, self.tear_down)

    def tear_down(self) -> None:
        """Run the tear-down steps.

        Each step may fail the test on its own.  After a step that raises, the remaining
        steps become a cleanup of their own, which unittest calls next.
        """
        try:
            for step in self._remaining_steps or ():
                step(self)
        except BaseException:
            unittest.TestCase.addCleanup(self.case, self.tear_down)
            raise

    def _stop_workers(self) -> None:
        self._used_fixtures = list(self.fixtures.active())
        stop_workers(self.case, self._used_fixtures)

    def _tear_down_fixtures(self) -> None:
        raise_failures(self.case, self.fixtures.tear_down(self.failure))

    def _check_errors(self) -> None:
        check_errors(self.case, self._used_fixtures)

    def _check_faults(self) -> None:
        check_faults(self.case)

    def _check_resources(self) -> None:
        check_resources(self.case, self._used_fixtures)

    def _finish_tear_down(self) -> None:
        """Drop references to the test's frames, so that garbage shows in the leak check."""
        self._remaining_steps = None
        self.failure = self._annotated = None
        used, self._used_fixtures = self._used_fixtures, []
        for tracker in (self.case, *used):
            if isinstance(tracker, ErrorPropagationMixin):
                tracker.forget_error_frames()

    def _check_leaks(self) -> None:
        detector, self.detector = self.detector, None
        if detector is not None:
            check_leaks(self.case, detector)


# In this order: a worker may use a fixture, and a fixture may hold a resource.
_TEARDOWN_STEPS: Final[tuple[Callable[[TestRun], None], ...]] = (
    TestRun._stop_workers,
    TestRun._tear_down_fixtures,
    TestRun._check_errors,
    TestRun._check_faults,
    TestRun._check_resources,
    TestRun._finish_tear_down,
    TestRun._check_leaks,
)


def _overridden_steps(cls: type[Any]) -> set[str]:
    """Return the methods around a test that a user's class defines; others do nothing."""
    found: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in ("unittest", "itf"):
            found |= _STEPS & vars(base).keys()
    return found
