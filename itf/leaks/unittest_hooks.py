"""The guards around a class and a module, set up without their help.

What `setUpClass` makes belongs to the class, and is looked for after
`tearDownClass` and the class's cleanups; the module likewise.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import unittest
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

# Every import of `IntegrationTestCase` imports this module, and few of them need a detector.
if TYPE_CHECKING:
    from itf.leaks.detector import LeakDetector
    from itf.leaks.leak_report import LeakReport

__all__ = ["class_scope", "guard_class", "guard_module"]

__unittest = True

_MakeGuard = Callable[[type[Any]], "LeakDetector | None"]

# Where a class keeps the guard around it, for as long as it runs.
_SCOPE: Final = "_itf_class_scope"


def class_scope(cls: type[Any]) -> LeakDetector | None:
    """Return the guard around a class or, without one, around its module."""
    guard = vars(cls).get(_SCOPE) or _module_guards.get(cls.__module__)
    return guard if guard is not None and guard.before is not None else None


def guard_class(cls: type[Any], make: _MakeGuard) -> None:
    """Put a guard around the `setUpClass` that a class has; without one there is nothing to guard.

    Args:
        cls: The class.
        make: Makes the guard; None if the class wants none.
    """
    inherited: Any = getattr(cls, "setUpClass", None)
    function = getattr(inherited, "__func__", None)
    if function is None or hasattr(function, "_itf_guarded"):
        return
    if getattr(function, "__module__", "").partition(".")[0] == "unittest":
        return

    @functools.wraps(function)
    def setUpClass(cls: type[Any]) -> Any:
        guard = _begin_class(cls, make)
        try:
            return function(cls)
        except Exception:
            raise
        except BaseException:
            # Ctrl-C: unittest leaves the cleanups out.
            if guard is not None:
                guard.abandon()
            raise

    setUpClass._itf_guarded = True  # type: ignore[attr-defined]
    cls.setUpClass = classmethod(setUpClass)


def _begin_class(cls: type[Any], make: _MakeGuard) -> LeakDetector | None:
    if class_scope(cls) is not None and vars(cls).get(_SCOPE) is not None:
        return None  # by way of super()
    guard = make(cls)
    if guard is None:
        return None
    guard.parent = _module_guards.get(cls.__module__)
    setattr(cls, _SCOPE, guard)
    guard.begin()
    # Cleanups run last first, so this one runs after all that the class adds.
    cls.addClassCleanup(_end_class, cls, guard)
    return guard


def _end_class(cls: type[Any], guard: LeakDetector) -> None:
    setattr(cls, _SCOPE, None)
    _tell(guard.end(), guard)


def _tell(report: LeakReport | None, guard: LeakDetector) -> None:
    if report is None:
        return
    if guard.policy == "fail":
        raise AssertionError(report.text)
    warnings.warn(report.text, ResourceWarning, stacklevel=3)


_module_guards: dict[str, LeakDetector] = {}


def guard_module(name: str, make: _MakeGuard, cls: type[Any]) -> None:
    """Put a guard around the `setUpModule` of a module; without one there is nothing to guard.

    Args:
        name: The module's name; it has been imported by now.
        make: Makes the guard; None if there is to be none.
        cls: A class of the module, whose policy counts.
    """
    module: Any = sys.modules.get(name)
    function = None
    if "setUpModule" in getattr(module, "__dict__", {}):
        # In the dict there may be a lazy import (3.15); one that fails fails for unittest.
        with contextlib.suppress(ImportError):
            function = getattr(module, "setUpModule", None)
    if not callable(function) or hasattr(function, "_itf_guarded"):
        return

    @functools.wraps(function)
    def setUpModule() -> Any:
        guard = make(cls)
        if guard is not None:
            guard.namer = lambda: name
            _module_guards[name] = guard
            guard.begin()
            unittest.addModuleCleanup(_end_module, name, guard)
        return function()

    setUpModule._itf_guarded = True  # type: ignore[attr-defined]
    module.setUpModule = setUpModule


def _end_module(name: str, guard: LeakDetector) -> None:
    _module_guards.pop(name, None)
    _tell(guard.end(), guard)
