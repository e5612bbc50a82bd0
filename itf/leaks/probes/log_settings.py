"""How logging is set up: the handlers, levels and switches of every logger."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from itf.leaks.probes.changes import Change
from itf.safe_repr import safe_repr

__all__ = ["LogSettings"]

__unittest = True


class _LoggerState(NamedTuple):
    handlers: tuple[Any, ...] = ()
    level: int = 0
    propagate: bool = True
    disabled: bool = False
    filters: tuple[Any, ...] = ()


_UNTOUCHED: Final = _LoggerState()
_ROOT_LEVEL: Final = 30  # logging.WARNING, without importing logging


class _Reading(NamedTuple):
    disable: int
    # The values are states, as plain tuples, which are made more quickly.
    loggers: dict[str, tuple[Any, ...]]


# What stands before logging is imported.
_NOTHING: Final = _Reading(0, {"root": (*_UNTOUCHED._replace(level=_ROOT_LEVEL),)})


class LogSettings:
    """The settings of `logging`, of every logger by its name."""

    def read(self) -> _Reading:
        """Return what they are now."""
        logging = sys.modules.get("logging")
        root = getattr(logging, "root", None)
        if logging is None or root is None:
            return _NOTHING
        loggers = {"root": _state_of(root)}
        for name, logger in list(root.manager.loggerDict.items()):
            # A name that only has children is a placeholder.
            if isinstance(logger, logging.Logger) and (
                logger.handlers
                or logger.level
                or logger.disabled
                or logger.filters
                or not logger.propagate
            ):
                loggers[name] = _state_of(logger)
        return _Reading(root.manager.disable, loggers)

    def changes(self, before: _Reading, after: _Reading) -> Iterable[Change]:
        """Tell of every logger that is not as it was."""
        import logging

        if before.disable != after.disable:
            yield Change(
                "logging.disable",
                str(before.disable),
                str(after.disable),
                lambda: logging.disable(before.disable),
            )
        for name in sorted({*before.loggers, *after.loggers}):
            old = _LoggerState(*before.loggers.get(name, ()))
            new = _LoggerState(*after.loggers.get(name, ()))
            # A library that sets up its own logger when it is imported.
            if name not in before.loggers and _comes_with_import(name, new, logging):
                continue
            for field in _LoggerState._fields:
                if getattr(old, field) != getattr(new, field):
                    yield Change(
                        f"logging.{name}.{field}",
                        safe_repr(getattr(old, field)),
                        safe_repr(getattr(new, field)),
                        _restorer(logging.getLogger(None if name == "root" else name), field, old),
                    )


def _state_of(logger: Any) -> tuple[Any, ...]:
    return (
        tuple(logger.handlers),
        logger.level,
        logger.propagate,
        logger.disabled,
        tuple(logger.filters),
    )


def _comes_with_import(name: str, state: _LoggerState, logging: Any) -> bool:
    """Say whether a logger looks as a library leaves its own at import, and no test does.

    It has a `NullHandler`, or it is the one that `concurrent.futures` keeps.
    """
    quiet = all(isinstance(handler, logging.NullHandler) for handler in state.handlers)
    plain = state._replace(handlers=()) == _UNTOUCHED
    return plain and (quiet or name == "concurrent.futures")


def _restorer(logger: Any, field: str, old: _LoggerState) -> Callable[[], object]:
    value = getattr(old, field)
    if field == "level":
        # By its method, which also empties the caches of all loggers.
        return lambda: logger.setLevel(value)
    if isinstance(value, tuple):
        return lambda: getattr(logger, field).__setitem__(slice(None), value)
    return lambda: setattr(logger, field, value)
