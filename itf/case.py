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
from itf.test_run import LeakPolicy, TestRun

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
    # The class of a run's state. `guard_suite` knows by it that a test has a detector.
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
            if msg is not None:
                # As unittest puts them together.
                standard = f"{standard} : {msg}" if self.longMessage else msg
            raise self.failureException(standard)

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
        from itf.faults.injection import inject_faults

        injection = inject_faults(target, name, plan)
        # The timeline of this test, not of the thread that calls this method.
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
        """Check that a function leaves no more behind each time it is called.

        As `itf.assert_no_growth`, which describes the arguments.
        """
        from itf.leaks.growth.growth_check import assert_no_growth

        assert_no_growth(function, rounds, warmup=warmup, msg=msg)

    def __reduce__(self) -> tuple[Any, ...]:
        # Parallel runners send tests between processes. Locks, logs, wrappers and the
        # state of unittest belong to one run, and stay here.
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
        """The run that goes on, or the one that a fixture has started before `run` was called."""
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
        """Hold the state of one run, from before unittest's part of it until after."""
        if self.__dict__.pop("_itf_has_run", False):
            # The interfaces keep their records in attributes like these.
            for name in [name for name in self.__dict__ if name.startswith("_itf_")]:
                if name != "_itf_method_name":
                    del self.__dict__[name]
        run = self._itf_run
        try:
            run.begin()
            yield
        except BaseException:
            # Ctrl-C: unittest leaves the cleanups out.
            run.abandon()
            raise
        finally:
            run.end()
            # The run refers to the test; without this, only the collector would free both.
            self.__dict__.pop("_itf_current_run", None)
            self.__dict__["_itf_has_run"] = True


def _detector_around(cls: type[IntegrationTestCase]) -> LeakDetector | None:
    """Return the leak detector for what surrounds the tests of a class."""
    from itf.leaks.policy import detector_around

    return detector_around(cls)


def _rebuild(cls: type[IntegrationTestCase], method_name: str) -> IntegrationTestCase:
    """Make a TestCase without calling its ``__init__``, which may take other arguments."""
    case = cls.__new__(cls)
    IntegrationTestCase.__init__(case, method_name)
    return case
