"""IntegrationTestCase: a TestCase with the three interfaces and the eleven fixtures."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from itf.fixtures.declaration import BuiltinDeclaration, FixtureDeclaration, FixtureSet
from itf.interfaces.config_change import ConfigChangeObserver
from itf.interfaces.error_propagation import ErrorPropagationMixin
from itf.interfaces.resource_tracking import ResourceTracker
from itf.leaks.leak import DEFAULT_GRACE
from itf.leaks.unittest_hooks import guard_class, guard_module
from itf.teardown_checks import LeakPolicy
from itf.test_run import TestRun

# Fixtures, faults and leak detection are imported at first use, so that
# `from itf import IntegrationTestCase` stays cheap.
if TYPE_CHECKING:
    from itf.faults.injection import Injection
    from itf.faults.plan import FaultPlan
    from itf.fixtures.async_runner import AsyncTestRunner
    from itf.fixtures.config_tracking import ConfigChangeTracker
    from itf.fixtures.counter import ThreadSafeCounter
    from itf.fixtures.error_tracking import ErrorTrackingContext
    from itf.fixtures.file_generator import TestFileGenerator
    from itf.fixtures.mock_parser import MockParserFactory
    from itf.fixtures.parallel_environment import ParallelTestEnvironment
    from itf.fixtures.performance import PerformanceMonitor
    from itf.fixtures.resource_monitoring import ResourceMonitor
    from itf.fixtures.sample_code import SampleCodeFiles
    from itf.fixtures.workspace import Workspace
    from itf.leaks.detector import LeakDetector

__all__ = ["IntegrationTestCase", "LeakPolicy"]

__unittest = True


class IntegrationTestCase(
    ErrorPropagationMixin, ConfigChangeObserver, ResourceTracker, unittest.TestCase
):
    """A `unittest.TestCase` with the three interfaces and the eleven fixtures.

    A fixture is set up when a test first uses it, as an attribute
    (``self.temp_workspace``) or as a parameter (``def test_x(self, temp_workspace)``).

    A test ends in this order: the user's ``tearDown`` and cleanups run; workers that
    still run are stopped; fixtures are torn down, last first.  Then each of these fails
    the test: errors that were not retrieved, resources that were not released, and leaks
    of the process.  Last, changes to the process are undone.  A failing test shows the
    last events of its timeline.

    A subclass that overrides ``setUp`` or ``tearDown`` need not call the inherited one.

    Attributes:
        leak_policy: How leaks are handled.  ``fail`` fails the test; ``warn`` issues a
            ResourceWarning and restores only settings; ``off`` does nothing.
        leak_ignore: Leaks to allow: names, patterns (``pump-*``), kinds
            (``threads``), or both (``threads:pump-*``).
        leak_grace: Seconds to wait for threads and other resources that are ending.
        leak_trace: Whether to record where resources are created, for the report of
            a leak; ``ITF_TRACE=1`` does so for all classes.
        gc_check: Whether to collect garbage after each test and report unclosed
            resources in it as leaks of the test.

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

    temp_workspace: FixtureDeclaration[Workspace] = BuiltinDeclaration(
        "itf.fixtures.workspace", "temp_workspace"
    )
    sample_code_files: FixtureDeclaration[SampleCodeFiles] = BuiltinDeclaration(
        "itf.fixtures.sample_code", "sample_code_files"
    )
    error_tracking_context: FixtureDeclaration[ErrorTrackingContext] = BuiltinDeclaration(
        "itf.fixtures.error_tracking", "error_tracking_context"
    )
    config_change_tracker: FixtureDeclaration[ConfigChangeTracker] = BuiltinDeclaration(
        "itf.fixtures.config_tracking", "config_change_tracker"
    )
    resource_monitor: FixtureDeclaration[ResourceMonitor] = BuiltinDeclaration(
        "itf.fixtures.resource_monitoring", "resource_monitor"
    )
    parallel_test_environment: FixtureDeclaration[ParallelTestEnvironment] = BuiltinDeclaration(
        "itf.fixtures.parallel_environment", "parallel_test_environment"
    )
    mock_parser_factory: FixtureDeclaration[MockParserFactory] = BuiltinDeclaration(
        "itf.fixtures.mock_parser", "mock_parser_factory"
    )
    test_file_generator: FixtureDeclaration[TestFileGenerator] = BuiltinDeclaration(
        "itf.fixtures.file_generator", "test_file_generator"
    )
    async_test_runner: FixtureDeclaration[AsyncTestRunner] = BuiltinDeclaration(
        "itf.fixtures.async_runner", "async_test_runner"
    )
    thread_safe_counter: FixtureDeclaration[ThreadSafeCounter] = BuiltinDeclaration(
        "itf.fixtures.counter", "thread_safe_counter"
    )
    performance_monitor: FixtureDeclaration[PerformanceMonitor] = BuiltinDeclaration(
        "itf.fixtures.performance", "performance_monitor"
    )

    _itf_method_name: str
    # The class of the state of a run. `guard_suite` detects by this attribute that a test has
    # a leak detector of its own.
    _itf_run_type: ClassVar[type[TestRun]] = TestRun

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        guard_class(cls, _detector_around)

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        guard_module(type(self).__module__, _detector_around, type(self))
        self._itf_method_name = methodName

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test, as `unittest.TestCase.run` does."""
        with self._itf_running():
            return super().run(result)

    def debug(self) -> None:
        """Run the test without a result, as `unittest.TestCase.debug` does."""
        with self._itf_running():
            super().debug()

    @contextmanager
    def subTest(self, msg: Any = ..., **params: Any) -> Generator[None]:
        """Begin a subtest, as `unittest.TestCase.subTest` does."""
        inner = super().subTest(**params) if msg is ... else super().subTest(msg, **params)
        with inner, self._itf_run.recorded_failure():
            yield

    def assertErrorPropagated(
        self, error: BaseException, *modules: str, msg: str | None = None
    ) -> None:
        """Check that an error passed through these modules in this order.

        The error may have passed through others in between; `assert_error_path` allows none.

        Raises:
            AssertionError: With the actual path and the expected modules.
        """
        path = self.get_error_path(error)
        steps = iter(path)
        # `in` on an iterator continues after the previous match, so this checks the order.
        if not path or not all(module in steps for module in modules):
            taken = " -> ".join(path) or "(nothing was captured)"
            standard = (
                f"{type(error).__name__} did not propagate through {' -> '.join(modules)}; "
                f"it went {taken}"
            )
            if msg is not None:
                # Combined as unittest combines messages.
                standard = f"{standard} : {msg}" if self.longMessage else msg
            raise self.failureException(standard)

    def inject_faults(self, target: Any, name: str, plan: FaultPlan) -> Injection:
        """Make calls of a function fail as a plan says, from now until the test ends.

        Like `itf.inject_faults`, but effective at once and undone by a cleanup of the
        test; ``with self.inject_faults(...)`` undoes it at the end of the ``with``.

        Args:
            target: A module, a class or an object.
            name: The name of the attribute that is called.
            plan: Which calls fail, and how.

        Returns:
            The injection; its ``undo()`` ends it early.
        """
        from itf.faults.injection import inject_faults

        injection = inject_faults(target, name, plan)
        # Set explicitly, because the method may be called in another thread than the test's.
        injection.timeline = self.timeline
        injection.owner = self
        self.addCleanup(injection.undo)
        injection.start()
        self._itf_run.injections.append(injection)
        return injection

    @staticmethod
    def assert_no_growth(
        function: Callable[[], object], rounds: int = 20, *, warmup: int = 5, msg: str | None = None
    ) -> None:
        """Check that repeated calls of a function do not accumulate resources.

        Like `itf.assert_no_growth`, which describes the arguments.
        """
        from itf.leaks.growth.growth_check import assert_no_growth

        assert_no_growth(function, rounds, warmup=warmup, msg=msg)

    def __reduce__(self) -> tuple[Any, ...]:
        # Parallel runners send tests between processes. Locks, logs, wrappers and the state of
        # unittest belong to one run, so they are not pickled.
        run = self.__dict__.get("_itf_current_run")
        attributes = dict(self.__dict__)
        if run is not None:
            for name in run.wrapped:
                del attributes[name]
            attributes.update(run.replaced)
        left_out = {*vars(_rebuild(type(self), self._itf_method_name)), self._itf_method_name}
        state = {
            name: value
            for name, value in attributes.items()
            if name not in left_out and not name.startswith("_itf_")
        }
        return (_rebuild, (type(self), self._itf_method_name), state)

    @property
    def _itf_run(self) -> TestRun:
        """The current run, or one created for a fixture that is used before `run` is called."""
        run: TestRun | None = self.__dict__.get("_itf_current_run")
        if run is None:
            # setdefault is atomic: two threads get the same run.
            run = self.__dict__.setdefault("_itf_current_run", self._itf_run_type(self))
        return run

    @property
    def _itf_fixtures(self) -> FixtureSet:
        return self._itf_run.fixtures

    @contextmanager
    def _itf_running(self) -> Iterator[None]:
        """Create the state of one run before unittest's part of it, and drop it after."""
        if self.__dict__.pop("_itf_has_run", False):
            # A second run starts clean: the interfaces store their records in attributes with this
            # prefix.
            for name in [name for name in self.__dict__ if name.startswith("_itf_")]:
                if name != "_itf_method_name":
                    del self.__dict__[name]
        run = self._itf_run
        try:
            run.begin()
            yield
        except BaseException:
            # After Ctrl-C unittest skips the cleanups.
            run.abandon()
            raise
        finally:
            run.end()
            # Breaks the cycle between run and test; otherwise only the garbage collector would free
            # both.
            self.__dict__.pop("_itf_current_run", None)
            self.__dict__["_itf_has_run"] = True


def _detector_around(cls: type[IntegrationTestCase]) -> LeakDetector | None:
    """Return the leak detector for the code around the tests of a class."""
    from itf.leaks.policy import detector_around

    return detector_around(cls)


def _rebuild(cls: type[IntegrationTestCase], method_name: str) -> IntegrationTestCase:
    """Create a TestCase without calling its ``__init__``, which may take other arguments."""
    case = cls.__new__(cls)
    IntegrationTestCase.__init__(case, method_name)
    return case
