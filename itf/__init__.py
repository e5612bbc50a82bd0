"""itf: integration tests for people who use unittest, with the standard library alone."""

# The layers, each of which imports only from those below it:
#
#   case.py, async_case.py   IntegrationTestCase, AsyncIntegrationTestCase
#   fixtures/                the eleven fixtures, and how they reach a test
#   interfaces/  workers/    errors, configuration, resources; processes, threads
#   file_generation/         files, trees and projects to test with
#   leaks/  faults/          leak detection; failures on demand
#   event_loops/             virtual time, shuffled order, deadlines of tasks
#   performance/             timing, statistics, comparison
#   interleaving/            threads in an order chosen by a seed
#   mock_tree_sitter/        parsers and trees with tree-sitter's Python API
#   timeline.py              the ordered events of a test
#   event_text.py            one line of text for an event
#   tracebacks.py            stack frames of user code, without those of itf
#   fork_safety.py           hooks at os.fork, locks that are free in a forked child
#   linux_proc.py            facts about processes from /proc, the subreaper flag
#   descriptors.py           file descriptors that travel to a new process
#   formats.py               the standard formats, to JSON and back
#   exception_notes.py       notes on exceptions of any class
#   safe_repr.py             text for any object, short and without secrets
#   validation.py            checks of arguments: numbers, timeouts, choices
#   lazy_imports.py          names that a lazy import has not resolved yet
#   _private.py              every private name of the standard library that itf uses
#   gil.py                   the warning that itf is untested without the GIL
#   exceptions.py            the exceptions that itf raises
#
# Names are resolved at first use (PEP 562): `import itf` imports neither
# multiprocessing nor asyncio nor json nor unittest.

# This file has only syntax that Python 2.7 reads, so that an old Python raises the
# ImportError below instead of a SyntaxError.

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an installer may ignore python_requires
    raise ImportError(
        "itf needs Python 3.11 or newer; this is " + ".".join(map(str, sys.version_info[:3]))
    )

from typing import TYPE_CHECKING

from itf._lazy_names import resolve_at_first_use

if TYPE_CHECKING:
    # For type checkers, which do not see __getattr__. A test compares it with _NAMES.
    from itf.async_case import AsyncIntegrationTestCase as AsyncIntegrationTestCase
    from itf.case import IntegrationTestCase as IntegrationTestCase
    from itf.exceptions import (
        AsyncDeadlockError as AsyncDeadlockError,
        ConfigCycleError as ConfigCycleError,
        CounterTimeoutError as CounterTimeoutError,
        FaultInjectionError as FaultInjectionError,
        FaultTimeoutError as FaultTimeoutError,
        FixtureError as FixtureError,
        FormatError as FormatError,
        InjectedFaultError as InjectedFaultError,
        InterleavingDeadlockError as InterleavingDeadlockError,
        InterleavingError as InterleavingError,
        InterleavingTimeoutError as InterleavingTimeoutError,
        ItfError as ItfError,
        MockParserError as MockParserError,
        ResourceError as ResourceError,
        TaskTimeoutError as TaskTimeoutError,
        TimingError as TimingError,
        WorkerDiedError as WorkerDiedError,
        WorkerError as WorkerError,
        WorkerPicklingError as WorkerPicklingError,
        WorkerTimeoutError as WorkerTimeoutError,
        WorkspaceError as WorkspaceError,
        WorkspaceEscapeError as WorkspaceEscapeError,
    )
    from itf.faults.injection import inject_faults as inject_faults
    from itf.faults.plan import FaultPlan as FaultPlan
    from itf.file_generation.mutations import Mutation as Mutation
    from itf.fixtures.async_orders import FailingSchedule as FailingSchedule
    from itf.fixtures.async_runner import (
        AsyncTestRunner as AsyncTestRunner,
        async_test_runner as async_test_runner,
    )
    from itf.fixtures.base import Fixture as Fixture
    from itf.fixtures.config_tracking import (
        ConfigChangeTracker as ConfigChangeTracker,
        config_change_tracker as config_change_tracker,
    )
    from itf.fixtures.counter import (
        ThreadSafeCounter as ThreadSafeCounter,
        thread_safe_counter as thread_safe_counter,
    )
    from itf.fixtures.declaration import fixture as fixture
    from itf.fixtures.error_tracking import (
        ErrorTrackingContext as ErrorTrackingContext,
        error_tracking_context as error_tracking_context,
    )
    from itf.fixtures.file_generator import (
        TestFileGenerator as TestFileGenerator,
        test_file_generator as test_file_generator,
    )
    from itf.fixtures.mock_parser import (
        MockParserFactory as MockParserFactory,
        mock_parser_factory as mock_parser_factory,
    )
    from itf.fixtures.parallel_environment import (
        ParallelTestEnvironment as ParallelTestEnvironment,
        parallel_test_environment as parallel_test_environment,
    )
    from itf.fixtures.performance import (
        PerformanceMonitor as PerformanceMonitor,
        performance_monitor as performance_monitor,
    )
    from itf.fixtures.resource_monitoring import (
        ResourceMonitor as ResourceMonitor,
        resource_monitor as resource_monitor,
    )
    from itf.fixtures.sample_code import (
        SampleCodeFiles as SampleCodeFiles,
        sample_code_files as sample_code_files,
    )
    from itf.fixtures.workspace import (
        TempWorkspace as TempWorkspace,
        temp_workspace as temp_workspace,
    )
    from itf.formats import (
        ConfigChangeEvent as ConfigChangeEvent,
        ErrorContext as ErrorContext,
        ResourceRecord as ResourceRecord,
        TimelineEvent as TimelineEvent,
        event_from_json as event_from_json,
        event_to_json as event_to_json,
    )
    from itf.interfaces.config_change import ConfigChangeObserver as ConfigChangeObserver
    from itf.interfaces.error_propagation import ErrorPropagationMixin as ErrorPropagationMixin
    from itf.interfaces.resource_tracking import ResourceTracker as ResourceTracker
    from itf.interleaving.interleaving import (
        InterleavingResult as InterleavingResult,
        interleave as interleave,
    )
    from itf.leaks.api import (
        guard_capabilities as guard_capabilities,
        guard_suite as guard_suite,
        leak_guard as leak_guard,
        outlives_test as outlives_test,
    )
    from itf.leaks.growth.growth_check import assert_no_growth as assert_no_growth
    from itf.leaks.leak_report import LeakReport as LeakReport
    from itf.timeline import Timeline as Timeline

__version__ = "0.1.0"

# Each module, and the public names that it defines.
_NAMES = {
    "itf.async_case": ("AsyncIntegrationTestCase",),
    "itf.case": ("IntegrationTestCase",),
    "itf.exceptions": (
        "AsyncDeadlockError",
        "ConfigCycleError",
        "CounterTimeoutError",
        "FaultInjectionError",
        "FaultTimeoutError",
        "FixtureError",
        "FormatError",
        "InjectedFaultError",
        "InterleavingDeadlockError",
        "InterleavingError",
        "InterleavingTimeoutError",
        "ItfError",
        "MockParserError",
        "ResourceError",
        "TaskTimeoutError",
        "TimingError",
        "WorkerDiedError",
        "WorkerError",
        "WorkerPicklingError",
        "WorkerTimeoutError",
        "WorkspaceError",
        "WorkspaceEscapeError",
    ),
    "itf.faults.injection": ("inject_faults",),
    "itf.faults.plan": ("FaultPlan",),
    "itf.fixtures.async_orders": ("FailingSchedule",),
    "itf.fixtures.async_runner": (
        "AsyncTestRunner",
        "async_test_runner",
    ),
    "itf.fixtures.base": ("Fixture",),
    "itf.fixtures.config_tracking": (
        "ConfigChangeTracker",
        "config_change_tracker",
    ),
    "itf.fixtures.counter": (
        "ThreadSafeCounter",
        "thread_safe_counter",
    ),
    "itf.fixtures.declaration": ("fixture",),
    "itf.fixtures.error_tracking": (
        "ErrorTrackingContext",
        "error_tracking_context",
    ),
    "itf.fixtures.file_generator": (
        "TestFileGenerator",
        "test_file_generator",
    ),
    "itf.fixtures.mock_parser": (
        "MockParserFactory",
        "mock_parser_factory",
    ),
    "itf.fixtures.parallel_environment": (
        "ParallelTestEnvironment",
        "parallel_test_environment",
    ),
    "itf.fixtures.performance": (
        "PerformanceMonitor",
        "performance_monitor",
    ),
    "itf.fixtures.resource_monitoring": (
        "ResourceMonitor",
        "resource_monitor",
    ),
    "itf.fixtures.sample_code": (
        "SampleCodeFiles",
        "sample_code_files",
    ),
    "itf.fixtures.workspace": (
        "TempWorkspace",
        "temp_workspace",
    ),
    "itf.formats": (
        "ConfigChangeEvent",
        "ErrorContext",
        "ResourceRecord",
        "TimelineEvent",
        "event_from_json",
        "event_to_json",
    ),
    "itf.file_generation.mutations": ("Mutation",),
    "itf.leaks.growth.growth_check": ("assert_no_growth",),
    "itf.leaks.api": (
        "guard_capabilities",
        "guard_suite",
        "leak_guard",
        "outlives_test",
    ),
    "itf.leaks.leak_report": ("LeakReport",),
    "itf.interfaces.config_change": ("ConfigChangeObserver",),
    "itf.interfaces.error_propagation": ("ErrorPropagationMixin",),
    "itf.interfaces.resource_tracking": ("ResourceTracker",),
    "itf.interleaving.interleaving": (
        "InterleavingResult",
        "interleave",
    ),
    "itf.timeline": ("Timeline",),
}

__getattr__, __dir__, __all__ = resolve_at_first_use(__name__, _NAMES)
