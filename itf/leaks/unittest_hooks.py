"""Detectors around a class and a module, installed by wrapping their set-up.

Leaks of `setUpClass` belong to the class. They are searched for after
`tearDownClass` and the class cleanups. The same holds for modules.
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

_MakeDetector = Callable[[type[Any]], "LeakDetector | None"]

# Attribute of a class that holds its detector while its tests run.
_SCOPE: Final = "_itf_class_scope"


def class_scope(cls: type[Any]) -> LeakDetector | None:
    """Return the detector of a class or, if there is none, of its module."""
    guard = vars(cls).get(_SCOPE) or _module_guards.get(cls.__module__)
    return guard if guard is not None and guard.before is not None else None


def guard_class(cls: type[Any], make: _MakeDetector) -> None:
    """Wrap the `setUpClass` of a class, if it has one, to start a detector first.

    Args:
        cls: The class.
        make: Returns the detector; None if the policy of the class is ``off``.
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
            # KeyboardInterrupt: unittest skips the class cleanups.
            if guard is not None:
                guard.abandon()
            raise

    setUpClass._itf_guarded = True  # type: ignore[attr-defined]
    cls.setUpClass = classmethod(setUpClass)


def _begin_class(cls: type[Any], make: _MakeDetector) -> LeakDetector | None:
    if class_scope(cls) is not None and vars(cls).get(_SCOPE) is not None:
        return None  # already begun: this call came through super()
    guard = make(cls)
    if guard is None:
        return None
    guard.parent = _module_guards.get(cls.__module__)
    setattr(cls, _SCOPE, guard)
    guard.begin()
    # Cleanups run in reverse order: this one runs after those the class adds.
    cls.addClassCleanup(_end_class, cls, guard)
    return guard


def _end_class(cls: type[Any], guard: LeakDetector) -> None:
    setattr(cls, _SCOPE, None)
    _report(guard.end(), guard)


def _report(report: LeakReport | None, guard: LeakDetector) -> None:
    if report is None:
        return
    if guard.policy == "fail":
        raise AssertionError(report.text)
    warnings.warn(report.text, ResourceWarning, stacklevel=3)


_module_guards: dict[str, LeakDetector] = {}


def guard_module(name: str, make: _MakeDetector, cls: type[Any]) -> None:
    """Wrap the `setUpModule` of a module, if it has one, to start a detector first.

    Args:
        name: The name of an imported module.
        make: Returns the detector, or None for no detection.
        cls: The class of the module whose policy applies.
    """
    module: Any = sys.modules.get(name)
    function = None
    if "setUpModule" in getattr(module, "__dict__", {}):
        # The name may be a lazy import (3.15). If it fails, unittest reports the error.
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
    _report(guard.end(), guard)
