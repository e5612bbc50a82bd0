"""The TestCase that has the three interfaces and the eleven fixtures."""

from __future__ import annotations

import contextvars
import functools
import sys
import unittest
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar, Final, Literal, NoReturn, get_args

from itf.faults.injection import Injection, describe_lost, inject_faults
from itf.faults.plan import FaultPlan
from itf.fixtures.async_runner import async_test_runner
from itf.fixtures.config_tracking import config_change_tracker
from itf.fixtures.counter import thread_safe_counter
from itf.fixtures.declaration import FixtureDeclaration, FixtureSet, takes_no_fixtures
from itf.fixtures.error_tracking import ErrorTrackingContext, error_tracking_context
from itf.fixtures.file_generator import test_file_generator
from itf.fixtures.mock_parser import mock_parser_factory
from itf.fixtures.parallel_environment import ParallelTestEnvironment, parallel_test_environment
from itf.fixtures.performance import performance_monitor
from itf.fixtures.resource_monitoring import resource_monitor
from itf.fixtures.sample_code import sample_code_files
from itf.fixtures.workspace import temp_workspace
from itf.frames import strip_own_frames
from itf.guard.growth import assert_no_growth
from itf.guard.guard import DEFAULT_GRACE, Guard
from itf.guard.scopes import guard_class, guard_module
from itf.guard.terms import guard_around, guard_for
from itf.interfaces.config_change import ConfigChangeObserver
from itf.interfaces.error_propagation import ErrorPropagationMixin
from itf.interfaces.resource_tracking import ResourceTracker
from itf.notes import add_note
from itf.texts import safe_str
from itf.timeline import Timeline, current_owner
from itf.wrapping import is_coroutine_function, passed_off_as

__all__ = ["IntegrationTestCase", "LeakPolicy"]

__unittest = True

LeakPolicy = Literal["fail", "warn", "off"]

_POLICIES: Final = get_args(LeakPolicy)

# What unittest calls around the test method; wrapped as it is, if it is there.
_STEPS: Final = frozenset(("setUp", "asyncSetUp", "tearDown", "asyncTearDown"))

# How many events of the timeline a failure shows.
_EVENTS_SHOWN: Final = 20


class IntegrationTestCase(
    ErrorPropagationMixin, ConfigChangeObserver, ResourceTracker, unittest.TestCase
):
    """A `unittest.TestCase` with the three interfaces and the eleven fixtures.

    A fixture is set up where a test first uses it, as an attribute
    (``self.temp_workspace``) or as a parameter (``def test_x(self,
    temp_workspace)``), and torn down after the test.  When the test ends, in
    this order: the user's ``tearDown`` and cleanups; workers that still run are
    stopped; fixtures are torn down, last first; errors nobody looked at, then
    resources nobody released, and then whatever else was left in the process
    fail the test; what it changed in the process is put back.  A test that fails
    shows the last events of its timeline.

    No method needs to be called by a subclass that overrides ``setUp`` and the like.

    Attributes:
        leak_policy: What becomes of a test that left something behind: ``fail``;
            ``warn``, a ResourceWarning, and only settings are put back; or ``off``.
        leak_ignore: What may be left behind: names, patterns (``pump-*``),
            dimensions (``threads``), or both (``threads:pump-*``).
        leak_grace: Seconds until what is on its way out counts as left behind.
        leak_trace: Whether it is remembered where things are made, to be told
            with a leak; ``ITF_TRACE=1`` does it for all classes.
        gc_check: Whether garbage is collected after each test, and what that
            frees without its having been closed is told of this test.

    Example:
        >>> class WorkspaceTest(IntegrationTestCase):
        ...     def test_folders(self, temp_workspace):
        ...         self.assertTrue((temp_workspace / "src").is_dir())
        >>> WorkspaceTest("test_folders").debug()
    """

    leak_policy: ClassVar[LeakPolicy] = "fail"
    leak_ignore: ClassVar[Sequence[str]] = ()
    leak_grace: ClassVar[float] = DEFAULT_GRACE
    leak_trace: ClassVar[bool] = False
    gc_check: ClassVar[bool] = False

    assert_no_growth = staticmethod(assert_no_growth)

    # fill=False: their own parameters are options, not names of fixtures.
    temp_workspace = FixtureDeclaration(temp_workspace, fill=False)
    sample_code_files = FixtureDeclaration(sample_code_files, fill=False)
    error_tracking_context = FixtureDeclaration(error_tracking_context, fill=False)
    config_change_tracker = FixtureDeclaration(config_change_tracker, fill=False)
    resource_monitor = FixtureDeclaration(resource_monitor, fill=False)
    parallel_test_environment = FixtureDeclaration(parallel_test_environment, fill=False)
    mock_parser_factory = FixtureDeclaration(mock_parser_factory, fill=False)
    test_file_generator = FixtureDeclaration(test_file_generator, fill=False)
    async_test_runner = FixtureDeclaration(async_test_runner, fill=False)
    thread_safe_counter = FixtureDeclaration(thread_safe_counter, fill=False)
    performance_monitor = FixtureDeclaration(performance_monitor, fill=False)

    _itf_method_name: str
    # Of the run that goes on.
    _itf_guard: Guard | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        guard_class(cls, guard_around)

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        guard_module(type(self).__module__, guard_around, type(self))
        self._itf_method_name = methodName

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test, as `unittest.TestCase.run` does."""
        run = super().run
        # In between there may be a `run` of another base, that makes things first.
        by_us = getattr(run, "__func__", None) is unittest.TestCase.run
        suite = _suite_behind(sys._getframe(1), result) if by_us else None
        running = self._itf_begin()
        self.__dict__["_itf_suite"] = suite
        try:
            return run(result)
        except BaseException:
            # Ctrl-C: unittest leaves the cleanups out; ours still put things back.
            self._itf_abandon()
            raise
        finally:
            self._itf_end(running)

    def debug(self) -> None:
        """Run the test without a result, as `unittest.TestCase.debug` does."""
        running = self._itf_begin()
        try:
            super().debug()
        except BaseException:
            self._itf_abandon()  # as in `run`
            raise
        finally:
            self._itf_end(running)

    @contextmanager
    def subTest(self, msg: Any = ..., **params: Any) -> Generator[None]:
        """Begin a subtest, as `unittest.TestCase.subTest` does."""
        inner = super().subTest(**params) if msg is ... else super().subTest(msg, **params)
        with inner, self._itf_watching():
            yield

    def assertErrorPropagated(
        self, error: BaseException, *modules: str, msg: str | None = None
    ) -> None:
        """Check that an error passed through these modules in this order.

        It may have passed through others in between; `assert_error_path` takes
        no others.

        Raises:
            AssertionError: With the path taken and the modules expected.
        """
        path = self.get_error_path(error)
        steps = iter(path)
        # `in` on an iterator goes on from where the module before was found.
        if not path or not all(module in steps for module in modules):
            taken = " -> ".join(path) or "(nothing was captured)"
            standard = (
                f"{type(error).__name__} did not propagate through {' -> '.join(modules)}; "
                f"it went {taken}"
            )
            raise self.failureException(self._formatMessage(msg, standard))

    def inject_faults(self, target: Any, name: str, plan: FaultPlan) -> Injection:
        """Let calls of a function fail as a plan says, from now to the end of the test.

        As `itf.inject_faults`, but at once, and undone with the test's
        cleanups; ``with self.inject_faults(...)`` undoes it at its end.

        Args:
            target: A module, a class or an object.
            name: The name of what is called.
            plan: When it fails and how.

        Returns:
            What undoes it before, with ``undo()``.
        """
        injection = inject_faults(target, name, plan)
        # The test's own timeline, whichever thread this is called in.
        injection.timeline = self.timeline
        injection.owner = self
        self.addCleanup(injection.undo)
        injection.start()
        self.__dict__.setdefault("_itf_injections", []).append(injection)
        return injection

    def __reduce__(self) -> tuple[Any, ...]:
        # Parallel runners send tests between processes.  What belongs to one run
        # (locks, logs, wrappers, the state of unittest) stays behind.
        wrapped = self.__dict__.get("_itf_wrapped_steps", ())
        made_anew = vars(_rebuild(type(self), self._itf_method_name))
        state = {
            key: value
            for key, value in self.__dict__.items()
            if key not in made_anew
            and not key.startswith("_itf_")
            and key != self._itf_method_name
            and key not in wrapped
        }
        return (_rebuild, (type(self), self._itf_method_name), state)

    @property
    def _itf_fixtures(self) -> FixtureSet:
        fixtures: FixtureSet | None = self.__dict__.get("_itf_fixture_set")
        if fixtures is None:
            fixtures = self.__dict__.setdefault("_itf_fixture_set", FixtureSet(self, self._itf_arm))
        return fixtures

    def _itf_begin(self) -> _Running:
        """Begin one run: state of its own, the wrapped method, our cleanup."""
        own = self.__dict__
        if own.pop("_itf_has_run", False):
            for key in [key for key in own if key.startswith("_itf_")]:
                if key not in ("_itf_method_name", "_itf_loop"):
                    del own[key]
        self.timeline = Timeline(self.id())
        own["_itf_error"] = None
        self._itf_arm()
        token = current_owner.set(self)
        wrapped = (self._itf_method_name, *_steps_of(type(self)))
        if not _STEPS.isdisjoint(own):
            wrapped += (*(own.keys() & _STEPS),)
        replaced = {name: own[name] for name in wrapped if name in own}
        for name in wrapped:
            own[name] = self._itf_wrapped(getattr(self, name))
        own["setUp"] = self._itf_guarded(self.setUp)
        own["_itf_wrapped_steps"] = steps = {"setUp", *wrapped}
        if replaced:
            steps -= replaced.keys()
        return token, wrapped, replaced

    def _itf_end(self, running: _Running) -> None:
        """End what `_itf_begin` began."""
        token, wrapped, replaced = running
        own = self.__dict__
        for name in wrapped:
            own.pop(name, None)
        own.pop("setUp", None)
        own.pop("_itf_wrapped_steps", None)
        own.update(replaced)
        current_owner.reset(token)
        own["_itf_has_run"] = True
        own["_itf_suite"] = None
        guard: Guard | None = own.pop("_itf_guard", None)
        if guard is not None:
            guard.abandon()  # Ctrl-C in a cleanup, after which no other is called

    def _itf_guarded(self, set_up: Callable[..., Any]) -> Callable[..., Any]:
        """Let the guard look right before `setUp`.

        Not earlier: a runner may redirect stdout when a test starts, and a
        TestCase for coroutines makes its loop before.
        """

        def begin_and_set_up(*args: Any) -> None:
            guard = guard_for(self, self._itf_method_name)
            if guard is not None:
                self.__dict__["_itf_guard"] = guard
                guard.begin(self._itf_follows())
            set_up(*args)

        return begin_and_set_up

    def _itf_follows(self) -> Any:
        """Say after which test nothing but unittest has run; None if that is not sure.

        It is after the one before it in the same class, where the same run of a
        suite, by unittest's own code, calls them with a result of unittest's.
        """
        suite = self.__dict__.get("_itf_suite")
        return None if suite is None else (type(self), suite)

    def _itf_wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the test method, or what is around it: fill in parameters, and see how it ends.

        The wrapper carries the marks of the method (skip, expected failure).
        """
        if not is_coroutine_function(method):

            def wrapper(*args: Any) -> Any:
                # As _itf_watching, which would cost a test as much as all its looks.
                try:
                    if takes_no_fixtures(method):
                        return method(*args)
                    return method(*args, **self._itf_fixtures.arguments_for(method))
                except unittest.SkipTest:
                    raise
                except BaseException as error:
                    self._itf_see(error)
                    raise

            return passed_off_as(method, wrapper)

        if not hasattr(self, "enterAsyncContext"):
            # unittest would never await it, and take it for passed.
            def refusal(*args: Any) -> NoReturn:
                raise TypeError(
                    f"{type(self).__name__}.{method.__name__} is a coroutine function; "
                    "derive from itf.AsyncIntegrationTestCase"
                )

            return refusal

        @functools.wraps(method)
        async def async_wrapper(*args: Any) -> Any:
            with self._itf_watching():
                return await method(*args, **self._itf_fixtures.arguments_for(method))

        return async_wrapper

    @contextmanager
    def _itf_watching(self) -> Generator[None]:
        """Remember the first error that passes here, and explain it."""
        try:
            yield
        except unittest.SkipTest:
            raise
        except BaseException as error:
            self._itf_see(error)
            raise

    def _itf_see(self, error: BaseException) -> None:
        if self.__dict__.get("_itf_error") is None:
            self.__dict__["_itf_error"] = error
        self._itf_explain(error)

    def _itf_explain(self, error: BaseException) -> None:
        """Cut our frames from an error's traceback, and give it the timeline as a note."""
        strip_own_frames(error)
        # An error that leaves a subtest may leave the test as well.
        if len(self.timeline) and self.__dict__.get("_itf_explained") is not error:
            self.__dict__["_itf_explained"] = error
            add_note(error, self.timeline.describe(_EVENTS_SHOWN))

    def _itf_arm(self) -> None:
        """See to it that what ends a test is done, once, after all of the user's cleanups.

        Cleanups run last first, so ours is added before any other can be.
        """
        if self.__dict__.get("_itf_armed"):
            return
        self.__dict__["_itf_armed"] = True
        self.__dict__["_itf_steps"] = iter(_ENDING)
        unittest.TestCase.addCleanup(self, self._itf_finish)

    def _itf_finish(self) -> None:
        """Take the steps that end a test; after one that fails it, the others come in turn."""
        try:
            for step in self.__dict__["_itf_steps"]:
                step(self)
        except BaseException:
            unittest.TestCase.addCleanup(self, self._itf_finish)
            raise

    def _itf_stop_workers(self) -> None:
        if "_itf_fixture_set" not in self.__dict__:
            return  # the test has used none
        self.__dict__["_itf_used"] = list(self._itf_fixtures.active())
        problems = []
        for manager in self._itf_fixtures.active():
            if isinstance(manager, ParallelTestEnvironment):
                try:
                    manager.stop_workers()
                except Exception as error:  # noqa: BLE001 - the other environments end, too
                    problems.append(safe_str(error))
        if problems:
            raise self.failureException("; ".join(problems))

    def _itf_tear_down_fixtures(self) -> None:
        if "_itf_fixture_set" not in self.__dict__:
            return
        failures = self._itf_fixtures.tear_down(self.__dict__.get("_itf_error"))
        for failure in failures:
            if not isinstance(failure, Exception):
                raise failure  # Ctrl-C ends the run, whatever else went wrong
        if len(failures) == 1:
            raise failures[0]  # as it is: its traceback leads to where it came from
        if failures:
            lines = [f"  {type(error).__name__}: {safe_str(error)}" for error in failures]
            group = BaseExceptionGroup("fixtures failed at their tear-down", failures)
            raise self.failureException(
                "\n".join([f"{len(failures)} fixtures failed at their tear-down:", *lines])
            ) from group

    def _itf_check_errors(self) -> None:
        trackers = self._itf_users_of(ErrorTrackingContext)
        unseen = [context for tracker in trackers for context in tracker.unseen_errors()]
        if not unseen:
            return
        count = "1 error" if len(unseen) == 1 else f"{len(unseen)} errors"
        lines = [
            f"  {context['error_type']}: {context['error_message']} "
            f"({context['context_data'].get('origin')}, raised in {context['operation']} "
            f"of {context['source_module']})"
            for context in unseen
        ]
        failure = self.failureException(
            "\n".join([f"{count} nobody looked at; look at get_error_chain():", *lines])
        )
        for context in unseen:
            add_note(failure, "".join(context["context_data"]["traceback"]).rstrip())
        raise failure

    def _itf_check_faults(self) -> None:
        text = describe_lost(self.__dict__.pop("_itf_plans", ()))
        if text:
            raise self.failureException(text)

    def _itf_check_resources(self) -> None:
        policy = self.leak_policy
        if policy not in _POLICIES:
            raise ValueError(
                f"{type(self).__name__}.leak_policy is {policy!r}; "
                f"set it to one of {', '.join(_POLICIES)}"
            )
        problems = []
        # The test itself has a ledger only if it tracks something.
        own = [self] if "_itf_resources" in self.__dict__ else []
        for tracker in [*own, *self._itf_users_of(ResourceTracker)]:
            try:
                tracker.assert_no_leaks()
            except AssertionError as error:
                problems.append(safe_str(error))
        if not problems or policy == "off":
            return
        if policy == "fail":
            raise self.failureException("\n".join(problems))
        warnings.warn(f"{self.id()}: " + "\n".join(problems), ResourceWarning, stacklevel=2)

    def _itf_disarm(self) -> None:
        self.__dict__["_itf_armed"] = False
        self.__dict__["_itf_error"] = self.__dict__["_itf_explained"] = None
        used = self.__dict__.pop("_itf_used", [])
        for tracker in (self, *used):
            # Of a fixture, too: at its own tear-down, in a `with`, the frame of
            # the test was still running.
            if isinstance(tracker, ErrorPropagationMixin):
                tracker.forget_error_frames()

    def _itf_check_leaks(self) -> None:
        guard: Guard | None = self.__dict__.pop("_itf_guard", None)
        report = guard.end() if guard is not None else None
        if guard is None or report is None:
            return
        for leak in report.leaks:
            self.timeline.record("leak", {"what": leak.noun, "name": leak.name})
        if guard.policy == "fail":
            raise self.failureException(report.text)
        warnings.warn(report.text, ResourceWarning, stacklevel=2)

    def _itf_abandon(self) -> None:
        """Put things back after a run that unittest broke off, without judging it."""
        for injection in reversed(self.__dict__.pop("_itf_injections", [])):
            injection.undo()
        if self.__dict__.get("_itf_armed"):
            try:
                self._itf_stop_workers()
            finally:
                self._itf_fixtures.tear_down(self.__dict__.get("_itf_error"))
                self._itf_disarm()

    def _itf_users_of(self, kind: type[Any]) -> list[Any]:
        return [
            manager for manager in self.__dict__.get("_itf_used", ()) if isinstance(manager, kind)
        ]


_ENDING: Final = (
    IntegrationTestCase._itf_stop_workers,
    IntegrationTestCase._itf_tear_down_fixtures,
    IntegrationTestCase._itf_check_errors,
    IntegrationTestCase._itf_check_faults,
    IntegrationTestCase._itf_check_resources,
    IntegrationTestCase._itf_disarm,
    IntegrationTestCase._itf_check_leaks,
)
"""What is done at the end of a test, in this order."""

# Of unittest: what calls `run` of a test, and what calls that.
_CALL: Final = unittest.TestCase.__call__.__code__
_RUN_SUITE: Final = unittest.TestSuite.run.__code__

# What a result is told from one test to the next; an object may have its own of each.
_TOLD_BETWEEN: Final = frozenset(name for name in dir(unittest.TestResult) if name[:1] != "_")


def _suite_behind(caller: FrameType | None, result: unittest.TestResult | None) -> FrameType | None:
    """Return the run of a suite in which nobody's code but unittest's comes between two tests.

    By its frame: where the next test has another one, a suite of somebody
    else's may have made something for it.
    """
    if result is None or type(result).__module__.partition(".")[0] != "unittest":
        return None
    if not result.__dict__.keys().isdisjoint(_TOLD_BETWEEN):
        return None
    while caller is not None and caller.f_globals.get("__name__") == "itf.async_case":
        caller = caller.f_back
    if caller is None or caller.f_code is not _CALL:
        return None
    suite = caller.f_back
    return suite if suite is not None and suite.f_code is _RUN_SUITE else None


_Running = tuple[contextvars.Token[Any], tuple[str, ...], dict[str, Any]]


# Where a class keeps which steps of a test do anything in it, once that is known.
_OWN_STEPS: Final = "_itf_own_steps"


def _steps_of(cls: type[Any]) -> tuple[str, ...]:
    """Return which steps of a test do anything in a class: unittest's own and ours do nothing."""
    known: tuple[str, ...] | None = cls.__dict__.get(_OWN_STEPS)
    if known is not None:
        return known
    owners = {
        name: next((base for base in cls.__mro__ if name in vars(base)), None) for name in _STEPS
    }
    found = tuple(
        name
        for name, owner in owners.items()
        if owner is not None and owner.__module__.partition(".")[0] not in ("unittest", "itf")
    )
    setattr(cls, _OWN_STEPS, found)
    return found


def _rebuild(cls: type[IntegrationTestCase], method_name: str) -> IntegrationTestCase:
    """Make a TestCase without its own ``__init__``, which may want other arguments."""
    case = cls.__new__(cls)
    IntegrationTestCase.__init__(case, method_name)
    return case
