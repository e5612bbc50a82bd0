"""What fails a test at its end: workers, fixtures, errors, faults, resources and leaks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from itf.exception_notes import add_note
from itf.fixtures.base import Fixture
from itf.interfaces.resource_tracking import ResourceTracker
from itf.safe_repr import safe_str

if TYPE_CHECKING:
    from itf.leaks.detector import LeakDetector

__all__ = [
    "LeakPolicy",
    "check_errors",
    "check_faults",
    "check_leaks",
    "check_resources",
    "raise_failures",
    "stop_workers",
]

__unittest = True

LeakPolicy = Literal["fail", "warn", "off"]

_POLICIES: Final = get_args(LeakPolicy)

# Each function has the test as its first argument, an IntegrationTestCase.  The module of that
# class imports this one, so the type is not named here.  Each raises the test's
# failureException.


def stop_workers(case: Any, fixtures: Sequence[Any]) -> None:
    """Stop the workers of fixtures that still run."""
    problems = []
    for fixture in fixtures:
        if not isinstance(fixture, Fixture):
            continue
        try:
            fixture._itf_stop_workers()
        except Exception as error:  # noqa: BLE001 - the other fixtures' workers stop too
            problems.append(safe_str(error))
    if problems:
        raise case.failureException("; ".join(problems))


def raise_failures(case: Any, failures: Sequence[BaseException]) -> None:
    """Raise the errors that fixtures raised at their tear-down, several as one failure."""
    for failure in failures:
        if not isinstance(failure, Exception):
            raise failure  # Ctrl-C ends the run, whatever else went wrong
    if len(failures) == 1:
        raise failures[0]  # not a group, to keep its traceback
    if failures:
        lines = [f"  {type(error).__name__}: {safe_str(error)}" for error in failures]
        group = BaseExceptionGroup("fixtures failed at their tear-down", failures)
        raise case.failureException(
            "\n".join([f"{len(failures)} fixtures failed at their tear-down:", *lines])
        ) from group


def check_errors(case: Any, fixtures: Sequence[Any]) -> None:
    """Fail the test for errors of workers that were not retrieved."""
    contexts = [
        context
        for fixture in fixtures
        if isinstance(fixture, Fixture)
        for context in fixture._itf_unretrieved_errors()
    ]
    if not contexts:
        return
    count = "1 error" if len(contexts) == 1 else f"{len(contexts)} errors"
    lines = [
        f"  {context['error_type']}: {context['error_message']} "
        f"({context['context_data'].get('origin')}, raised in {context['operation']} "
        f"of {context['source_module']})"
        for context in contexts
    ]
    failure = case.failureException(
        "\n".join([f"{count} not retrieved; retrieve errors with get_error_chain():", *lines])
    )
    for context in contexts:
        add_note(failure, "".join(context["context_data"]["traceback"]).rstrip())
    raise failure


def check_faults(case: Any) -> None:
    """Fail the test for fault plans that a worker process could not receive."""
    # Fault plans are in this attribute from the first injection on.
    plans = vars(case).pop("_itf_plans", ())
    if not plans:
        return
    from itf.faults.injection import describe_failed_transfers

    text = describe_failed_transfers(plans)
    if text:
        raise case.failureException(text)


def check_resources(case: Any, fixtures: Sequence[Any]) -> None:
    """Fail the test, or warn, for tracked resources that were not released."""
    policy = case.leak_policy
    if policy not in _POLICIES:
        raise ValueError(
            f"{type(case).__name__}.leak_policy is {policy!r}; "
            f"set it to one of {', '.join(_POLICIES)}"
        )
    problems = []
    for tracker in [case, *fixtures]:
        if not isinstance(tracker, ResourceTracker):
            continue
        try:
            tracker.assert_no_leaks()
        except AssertionError as error:
            problems.append(safe_str(error))
    if not problems or policy == "off":
        return
    if policy == "fail":
        raise case.failureException("\n".join(problems))
    warnings.warn(f"{case.id()}: " + "\n".join(problems), ResourceWarning, stacklevel=3)


def check_leaks(case: Any, detector: LeakDetector) -> None:
    """Fail the test, or warn, for leaks of the process."""
    report = detector.end()
    if report is None:
        return
    for leak in report.leaks:
        case.timeline.record("leak", {"what": leak.noun, "name": leak.name})
    if detector.policy == "fail":
        raise case.failureException(report.text)
    warnings.warn(report.text, ResourceWarning, stacklevel=3)
