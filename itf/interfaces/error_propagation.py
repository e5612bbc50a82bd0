"""Errors that cross from module to module: captured with their context, and checked."""

from __future__ import annotations

import os
import re
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

from itf.exception_notes import get_notes
from itf.formats import ErrorContext, ExceptionEntry, copy_containers
from itf.safe_repr import safe_repr, safe_str
from itf.timeline import BoundedLog, TimelineOwner, current_task_name
from itf.tracebacks import (
    call_stack,
    exception_depths,
    exception_tree,
    module_of,
    traceback_frames,
    user_frame,
)

__all__ = ["ErrorPropagationMixin"]

__unittest = True

# Keys that itf fills in; they record the origin of the error.
_PROTECTED: Final = ("traceback", "call_stack")

# Distinguishes a missing key from a key whose value is None.
_MISSING: Final = object()


class ErrorPropagationMixin(TimelineOwner):
    """Capture errors where they cross from one module to another.

    A mixin for any class; it needs no ``__init__``.

    Example:
        >>> errors = ErrorPropagationMixin()
        >>> context = errors.capture_cross_module_error(
        ...     "chunker.parser", "cli.main", ValueError("Parser timeout"))
        >>> errors.verify_error_context(context, {"error_type": "ValueError"})
        >>> errors.get_error_path(context["original_error"])
        ['chunker.parser', 'cli.main']

    The newest 10,000 captures are kept; `dropped_error_count` is the number of older
    captures that were dropped.

    Thread safety: every method, from any thread.
    """

    def capture_cross_module_error(
        self,
        source_module: str | None,
        target_module: str | None,
        error: BaseException,
        *,
        operation: str | None = None,
        context_data: Mapping[str, Any] | None = None,
    ) -> ErrorContext:
        """Record an error that passes between two modules, with its context.

        Args:
            source_module: The module the error comes from; None uses the module of
                the innermost frame of its traceback.
            target_module: The module that receives the error; None uses the caller's.
            error: The error itself, raised or not.
            operation: What failed.  The default is the qualified name of the function
                that raised, or the class name of this object for an error that was
                never raised.
            context_data: Further data.  The keys ``traceback`` and ``call_stack`` are
                reserved.

        Returns:
            A copy of the context.

        Raises:
            TypeError: ``error`` is not an exception, or a name is not a str.
            ValueError: ``context_data`` has a reserved key.
        """
        error = _checked_error(error)
        for name, value in (
            ("source_module", source_module),
            ("target_module", target_module),
            ("operation", operation),
        ):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a str or None, got {safe_repr(value)}")
        raised = traceback_frames(error)
        if source_module is None:
            source_module = module_of(raised[0][0] if raised else user_frame())
        if target_module is None:
            target_module = module_of(user_frame())
        if operation is None:
            operation = raised[0][0].f_code.co_qualname if raised else type(self).__name__
        context: ErrorContext = {
            "source_module": source_module,
            "target_module": target_module,
            "operation": operation,
            "original_error": error,
            "error_type": type(error).__name__,
            "error_message": safe_str(error),
            "timestamp": time.time(),
            "context_data": _context_data(error, context_data or {}),
        }
        log = self._itf_error_log
        log.append(log.next_number(), context)
        self.timeline.record("error", cast("dict[str, Any]", context))
        return cast(ErrorContext, copy_containers(context))

    def verify_error_context(self, context: ErrorContext, expected: Mapping[str, Any]) -> None:
        """Check an error context, and report all mismatches at once.

        Args:
            context: A context from `capture_cross_module_error`.
            expected: Keys with their expectations: a plain value; a type, of which
                the value must be an instance; a compiled pattern, which is searched
                in the value's text; or any object with its own ``==``, such as
                `unittest.mock.ANY`.  A nested dict is compared as a subset.
                ``timestamp`` must be present and a float; its value is not compared.

        Raises:
            AssertionError: With a line for each missing key and each mismatch.
        """
        problems: list[str] = []
        for value in (context, expected):
            if not isinstance(value, Mapping):
                raise TypeError(
                    "verify_error_context takes an error context and what is expected of it, "
                    f"both dicts; got {safe_repr(value)}"
                )
        if not isinstance(context.get("timestamp"), float):
            problems.append(_problem("timestamp", context.get("timestamp", _MISSING), "a float"))
        wanted = {key: value for key, value in expected.items() if key != "timestamp"}
        _compare(context, wanted, "", problems)
        if problems:
            count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
            _fail(f"the error context has {count}:\n" + "\n".join(f"  {line}" for line in problems))

    def get_error_chain(self) -> list[ErrorContext]:
        """Return copies of all captured contexts, in order."""
        return [
            cast(ErrorContext, copy_containers(entry)) for entry in self._itf_error_log.entries()
        ]

    @property
    def dropped_error_count(self) -> int:
        """How many of the oldest captures were dropped."""
        return self._itf_error_log.dropped

    def get_error_path(self, error: BaseException) -> list[str]:
        """Return the modules that an error passed through, origin first.

        Captures of the errors that led to it (causes, contexts and members of a group)
        count too, and precede its own.

        Returns:
            Module names; empty if none of these errors was captured.
        """
        # A cause was captured before the error raised from it, so deeper errors come first.
        depth = exception_depths(_checked_error(error))
        hops = [
            context
            for context in self._itf_error_log.entries()
            if id(context["original_error"]) in depth
        ]
        hops.sort(key=lambda context: -depth[id(context["original_error"])])
        path: list[str] = []
        for hop in hops:
            step = [hop["source_module"], hop["target_module"]]
            if path[-2:] == step:
                continue  # both modules captured the same crossing
            path += step[1:] if path[-1:] == step[:1] else step
        # A capture with equal source and target is no crossing.
        return [name for name, before in zip(path, [None, *path], strict=False) if name != before]

    def assert_error_path(self, error: BaseException, *modules: str) -> None:
        """Check that an error passed through exactly these modules, origin first.

        Raises:
            AssertionError: With the actual and the expected path.
        """
        path = self.get_error_path(error)
        if path != list(modules):
            _fail(
                f"{type(error).__name__} took another path:\n"
                f"  got:      {_arrows(path)}\n"
                f"  expected: {_arrows(modules)}"
            )

    def forget_error_frames(self) -> None:
        """Clear the frames of all captured tracebacks.

        A traceback keeps every local variable of its frames alive: a socket, a lock, a
        workspace.  `IntegrationTestCase` calls this when a test ends; the text of the
        tracebacks stays.
        """
        if "_itf_errors" not in self.__dict__:
            return  # fast path: most tests capture nothing
        for context in self._itf_error_log.entries():
            for exception, _, _ in exception_tree(context["original_error"]):
                traceback.clear_frames(exception.__traceback__)

    @property
    def _itf_error_log(self) -> BoundedLog[ErrorContext]:
        log = self.__dict__.get("_itf_errors")
        if log is None:
            log = self.__dict__.setdefault("_itf_errors", BoundedLog[ErrorContext]())
        return cast("BoundedLog[ErrorContext]", log)


def _fail(message: str) -> NoReturn:
    raise AssertionError(message)


def _arrows(modules: Any) -> str:
    return " -> ".join(modules) or "(nothing was captured)"


def _checked_error(error: object) -> BaseException:
    # type(), not isinstance(): a Mock(spec=ValueError) passes isinstance, and its chain of
    # tracebacks never ends.
    if issubclass(type(error), BaseException):
        return cast(BaseException, error)
    hint = "; pass an instance, not the class" if isinstance(error, type) else ""
    raise TypeError(f"expected an exception, got {safe_repr(error)}{hint}")


def _context_data(error: BaseException, extra: Mapping[str, Any]) -> dict[str, Any]:
    taken = [key for key in _PROTECTED if key in extra]
    if taken:
        raise ValueError(
            f"context_data may not replace {' and '.join(map(repr, taken))}, which itf fills in; "
            "use another key"
        )
    return {
        "traceback": _format(error),
        "call_stack": call_stack(error),
        "exceptions": _exceptions(error),
        "thread": threading.current_thread().name,
        "process": os.getpid(),
        "task": current_task_name(),
        **copy_containers(dict(extra)),
    }


def _format(error: BaseException) -> list[str]:
    try:
        return traceback.format_exception(error)
    except Exception as failure:  # noqa: BLE001 - an exception class can break its own formatting
        return [
            *traceback.format_tb(error.__traceback__),
            f"{type(error).__qualname__}: {safe_str(error)}\n",
            f"(the rest cannot be formatted: {type(failure).__name__}: {safe_str(failure)})\n",
        ]


def _exceptions(error: BaseException) -> list[ExceptionEntry]:
    return [
        cast(
            ExceptionEntry,
            {
                "id": number,
                "parent_id": parent,
                "relation": relation,
                "type": type(exception).__qualname__,
                "module": type(exception).__module__,
                "message": safe_str(exception),
                "notes": get_notes(exception),
            },
        )
        for number, (exception, parent, relation) in enumerate(exception_tree(error))
    ]


def _compare(
    got: Mapping[str, Any], expected: Mapping[str, Any], where: str, problems: list[str]
) -> None:
    for key, wanted in expected.items():
        path = f"{where}[{key!r}]" if where else str(key)
        value = got.get(key, _MISSING)
        if isinstance(wanted, Mapping) and isinstance(value, Mapping):
            _compare(value, wanted, path, problems)
        elif value is _MISSING or not _matches_safely(value, wanted):
            problems.append(_problem(path, value, _wanted_text(wanted)))


def _matches_safely(value: object, wanted: object) -> bool:
    try:
        return _matches(value, wanted)
    except Exception:  # noqa: BLE001 - an == or a str() that fails is no match, and no reason to stop
        return False


def _matches(value: object, wanted: object) -> bool:
    if isinstance(wanted, type):
        # A type also matches itself: {'error_class': ValueError} may contain the class.
        return isinstance(value, wanted) or value is wanted
    if isinstance(wanted, re.Pattern):
        text = value if isinstance(value, str | bytes) else str(value)
        return type(text) is type(wanted.pattern) and wanted.search(text) is not None
    return bool(wanted == value)


def _wanted_text(wanted: object) -> str:
    if isinstance(wanted, type):
        return f"an instance of {wanted.__qualname__}"
    if isinstance(wanted, re.Pattern):
        return f"text in which {wanted.pattern!r} is found"
    return safe_repr(wanted)


def _problem(path: str, value: object, wanted: str) -> str:
    if value is _MISSING:
        return f"{path}: missing, expected {wanted}"
    return f"{path}: got {safe_repr(value)}, expected {wanted}"
