"""Leak options of a test class, read from its attributes once."""

from __future__ import annotations

import threading
import unittest
import warnings
import weakref
from typing import Any, Final

from itf.leaks.api import trace_wanted
from itf.leaks.detector import LeakDetector
from itf.leaks.gc_check import GarbageCheck
from itf.leaks.leak import IgnoreList
from itf.leaks.unittest_hooks import class_scope
from itf.safe_repr import safe_repr

__all__ = ["ClassPolicy", "detector_around", "detector_for", "policy_of"]

__unittest = True


class ClassPolicy:
    """The leak options of a class, and the state that its tests share.

    Args:
        cls: A class with the attributes of `IntegrationTestCase`.

    Raises:
        TypeError: ``leak_ignore`` is not a list of strings.
        ValueError: ``leak_grace`` or an entry of ``leak_ignore`` is invalid.
    """

    def __init__(self, cls: type[Any]) -> None:
        self.ignore = IgnoreList(cls.leak_ignore, f"{cls.__qualname__}.leak_ignore")
        self.grace = cls.leak_grace
        if not isinstance(self.grace, int | float) or not self.grace >= 0:
            raise ValueError(
                f"{cls.__qualname__}.leak_grace is {safe_repr(self.grace)}; "
                "it is a number of seconds, 0 or more"
            )
        self.trace = bool(cls.leak_trace) or trace_wanted()
        self._checks_garbage = bool(cls.gc_check)
        self._checks: list[tuple[int, GarbageCheck]] = []
        self._cls = weakref.ref(cls)
        self._ran: set[str] = set()
        self._awaits_end = False

    def garbage_check(self) -> GarbageCheck | None:
        """Return a check not in use by another test; tests of a class may run concurrently."""
        if not self._checks_garbage:
            return None
        here = threading.get_ident()
        for thread, check in self._checks:
            if thread == here and not check.looks:
                return check
        check = GarbageCheck()
        self._checks.append((here, check))
        return check

    def note_run(self, method: str) -> None:
        """Record that a test runs, and schedule the warnings at the end of the class."""
        self._ran.add(method)
        cls = self._cls()
        if not self._awaits_end and cls is not None:
            self._awaits_end = True
            cls.addClassCleanup(self._end_class)

    def _end_class(self) -> None:
        cls = self._cls()
        ran, self._ran, self._awaits_end = self._ran, set(), False
        if cls is None:
            return
        _known.pop(cls, None)
        # An active check belongs to a test that still runs in another thread.
        for check in [check for _, check in self._checks if not check.looks]:
            for found in check.close():
                warnings.warn(
                    f"{cls.__qualname__} dropped, after the test that made it: {found.text}",
                    ResourceWarning,
                    stacklevel=2,
                )
        unused = self.ignore.unused() if "leak_ignore" in vars(cls) else ()
        # Tests that did not run could have matched the entry, and another class
        # may need an inherited entry: warn in neither case.
        if unused and ran.issuperset(unittest.TestLoader().getTestCaseNames(cls)):
            entries = ", ".join(map(repr, unused))
            warnings.warn(
                f"{cls.__qualname__}.leak_ignore has {entries}, which matched nothing in any of "
                "its tests; remove what is not needed any more",
                UserWarning,
                stacklevel=2,
            )


# Not stored on the class: it may be pickled by value for another process.
_known: Final[weakref.WeakKeyDictionary[type[Any], ClassPolicy]] = weakref.WeakKeyDictionary()


def policy_of(cls: type[Any]) -> ClassPolicy:
    """Return the leak options of a class, cached."""
    options = _known.get(cls)
    if options is None:
        options = _known[cls] = ClassPolicy(cls)
    return options


def detector_for(test: Any, method: str) -> LeakDetector | None:
    """Return a detector for one test; None if its policy is ``off``."""
    if test.leak_policy not in ("fail", "warn"):
        return None
    cls = type(test)
    options = policy_of(cls)
    options.note_run(method)
    return LeakDetector(
        test.id,
        policy=test.leak_policy,
        ignore=options.ignore,
        trace=options.trace,
        grace=options.grace,
        parent=class_scope(cls),
        garbage=options.garbage_check(),
    )


def detector_around(cls: type[Any]) -> LeakDetector | None:
    """Return a detector for the fixtures of a class; None if its policy is ``off``."""
    if cls.leak_policy not in ("fail", "warn"):
        return None
    options = policy_of(cls)
    return LeakDetector(
        lambda: cls.__qualname__,
        policy=cls.leak_policy,
        ignore=options.ignore,
        trace=options.trace,
        grace=options.grace,
    )
