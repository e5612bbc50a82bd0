"""itf: integration tests for people who use unittest, with the standard library alone."""

# The layers, each of which imports only from those below it:
#
#   case.py, async_case.py   IntegrationTestCase, AsyncIntegrationTestCase
#   fixtures/                the eleven fixtures, and how they reach a test
#   interfaces/  workers/    errors, configuration, resources; processes, threads
#   file_generation/         files, trees and projects to test with
#   guard/  faults/          what a test leaves behind; what fails, when and how
#   loops/                   event loops, and the tasks in them
#   measures/                samples of time, statistics, comparisons
#   schedules/               threads in an order chosen by a seed
#   syntax/                  parsers and trees like those of tree-sitter
#   timeline.py              what happened, in order
#   frames.py  forks.py      whose frame is it; locks that a forked child finds free
#   proc.py                  what the kernel tells of processes
#   descriptors.py           file descriptors that travel to a new process
#   formats.py               the standard formats, to JSON and back
#   notes.py  texts.py       notes on exceptions; what is shown of any object
#   exceptions.py            what itf raises
#
# Names are resolved at first use (PEP 562): `import itf` brings in neither
# multiprocessing nor asyncio nor json, nor unittest.

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # For type checkers, which do not see __getattr__; a test holds it to _MODULES.
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
    from itf.fixtures.async_orders import FailedOrder as FailedOrder
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
    from itf.guard.growth import assert_no_growth as assert_no_growth
    from itf.guard.guarding import (
        guard_capabilities as guard_capabilities,
        guard_suite as guard_suite,
        leak_guard as leak_guard,
        outlives_test as outlives_test,
    )
    from itf.guard.report import LeakReport as LeakReport
    from itf.interfaces.config_change import ConfigChangeObserver as ConfigChangeObserver
    from itf.interfaces.error_propagation import ErrorPropagationMixin as ErrorPropagationMixin
    from itf.interfaces.resource_tracking import ResourceTracker as ResourceTracker
    from itf.schedules.interleaving import (
        Exploration as Exploration,
        interleave as interleave,
    )
    from itf.timeline import Timeline as Timeline

__version__ = "0.1.0"

_MODULES = {
    "AsyncDeadlockError": "itf.exceptions",
    "AsyncIntegrationTestCase": "itf.async_case",
    "AsyncTestRunner": "itf.fixtures.async_runner",
    "ConfigChangeEvent": "itf.formats",
    "ConfigChangeObserver": "itf.interfaces.config_change",
    "ConfigChangeTracker": "itf.fixtures.config_tracking",
    "ConfigCycleError": "itf.exceptions",
    "CounterTimeoutError": "itf.exceptions",
    "ErrorContext": "itf.formats",
    "ErrorPropagationMixin": "itf.interfaces.error_propagation",
    "ErrorTrackingContext": "itf.fixtures.error_tracking",
    "Exploration": "itf.schedules.interleaving",
    "FailedOrder": "itf.fixtures.async_orders",
    "FaultInjectionError": "itf.exceptions",
    "FaultPlan": "itf.faults.plan",
    "FaultTimeoutError": "itf.exceptions",
    "Fixture": "itf.fixtures.base",
    "FixtureError": "itf.exceptions",
    "FormatError": "itf.exceptions",
    "InjectedFaultError": "itf.exceptions",
    "IntegrationTestCase": "itf.case",
    "InterleavingDeadlockError": "itf.exceptions",
    "InterleavingError": "itf.exceptions",
    "InterleavingTimeoutError": "itf.exceptions",
    "ItfError": "itf.exceptions",
    "LeakReport": "itf.guard.report",
    "MockParserError": "itf.exceptions",
    "MockParserFactory": "itf.fixtures.mock_parser",
    "Mutation": "itf.file_generation.mutations",
    "ParallelTestEnvironment": "itf.fixtures.parallel_environment",
    "PerformanceMonitor": "itf.fixtures.performance",
    "ResourceError": "itf.exceptions",
    "ResourceMonitor": "itf.fixtures.resource_monitoring",
    "ResourceRecord": "itf.formats",
    "ResourceTracker": "itf.interfaces.resource_tracking",
    "SampleCodeFiles": "itf.fixtures.sample_code",
    "TaskTimeoutError": "itf.exceptions",
    "TempWorkspace": "itf.fixtures.workspace",
    "TestFileGenerator": "itf.fixtures.file_generator",
    "ThreadSafeCounter": "itf.fixtures.counter",
    "Timeline": "itf.timeline",
    "TimelineEvent": "itf.formats",
    "TimingError": "itf.exceptions",
    "WorkerDiedError": "itf.exceptions",
    "WorkerError": "itf.exceptions",
    "WorkerPicklingError": "itf.exceptions",
    "WorkerTimeoutError": "itf.exceptions",
    "WorkspaceError": "itf.exceptions",
    "WorkspaceEscapeError": "itf.exceptions",
    "assert_no_growth": "itf.guard.growth",
    "async_test_runner": "itf.fixtures.async_runner",
    "config_change_tracker": "itf.fixtures.config_tracking",
    "error_tracking_context": "itf.fixtures.error_tracking",
    "event_from_json": "itf.formats",
    "event_to_json": "itf.formats",
    "fixture": "itf.fixtures.declaration",
    "guard_capabilities": "itf.guard.guarding",
    "guard_suite": "itf.guard.guarding",
    "inject_faults": "itf.faults.injection",
    "interleave": "itf.schedules.interleaving",
    "leak_guard": "itf.guard.guarding",
    "mock_parser_factory": "itf.fixtures.mock_parser",
    "outlives_test": "itf.guard.guarding",
    "parallel_test_environment": "itf.fixtures.parallel_environment",
    "performance_monitor": "itf.fixtures.performance",
    "resource_monitor": "itf.fixtures.resource_monitoring",
    "sample_code_files": "itf.fixtures.sample_code",
    "temp_workspace": "itf.fixtures.workspace",
    "test_file_generator": "itf.fixtures.file_generator",
    "thread_safe_counter": "itf.fixtures.counter",
}

__all__ = [*_MODULES]  # noqa: PLE0604 - the one list of names, also for __getattr__


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'itf' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
