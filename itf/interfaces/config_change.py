"""Configuration changes at run time: record them, notify observers, find the affected modules."""

from __future__ import annotations

import contextvars
import fnmatch
import time
from collections.abc import Callable, Generator, Iterable, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, Final, cast

from itf.exceptions import ConfigCycleError
from itf.formats import ConfigChangeEvent, copy_containers
from itf.interfaces.callbacks import CallbackRegistry, Registration, call_all
from itf.interfaces.watched_config import WatchedMapping, same_value
from itf.safe_repr import safe_repr
from itf.timeline import BoundedLog, TimelineOwner

__all__ = ["ConfigChangeObserver", "key_matches"]

__unittest = True

# Changes of one key while its first change is being observed. An observer that corrects a
# value (clamps it, say) needs one; eight leaves room for several such observers.
_MAX_REENTRIES: Final = 8

# Changes that may follow from one another. Each takes at least five of the 1000 frames
# that Python allows; real programs need fewer than ten changes.
_MAX_CHAIN: Final = 50


class ConfigChangeObserver(TimelineOwner):
    """Record configuration changes, notify observers, and find the affected modules.

    A mixin for any class; it needs no ``__init__``.

    Attributes:
        config_modules: Patterns of keys, each with the modules it affects.  A
            subclass may set it; `map_config` adds patterns for one object.
        default_affected_modules: The modules that an unknown key affects.

    Example:
        >>> config = ConfigChangeObserver()
        >>> config.map_config("parser_timeout", "chunker.parser", "chunker.parallel")
        >>> config.on_config_change("parser_timeout", 30, 60)["affected_modules"]
        ['chunker.parser', 'chunker.parallel']

    Thread safety: every method, from any thread.  Observers are called in the thread
    that makes the change, and no lock is held meanwhile.
    """

    config_modules: ClassVar[Mapping[str, Iterable[str]]] = {}
    default_affected_modules: ClassVar[Iterable[str]] = ()

    def on_config_change(
        self, config_key: str, old_value: Any, new_value: Any
    ) -> ConfigChangeEvent:
        """Record a change and notify the observers.

        Args:
            config_key: The dotted key that changed.
            old_value: The value before; None if the key did not exist.
            new_value: The value now; None if the key was removed.

        Returns:
            A copy of the event.

        Raises:
            TypeError: ``config_key`` is not a str.
            ConfigCycleError: Observers change configuration in a cycle.
            ExceptionGroup: Observers failed.  All of them were called, and the
                change is recorded.
        """
        if not isinstance(config_key, str):
            raise TypeError(f"config_key must be a str, got {safe_repr(config_key)}")
        event: ConfigChangeEvent = copy_containers(
            {
                "config_path": config_key,
                "old_value": old_value,
                "new_value": new_value,
                "affected_modules": self.get_affected_modules(config_key),
                "timestamp": time.time(),
            }
        )
        with _notifying(self._itf_config, config_key, new_value):
            log = self._itf_config.log
            log.append(log.next_number(), event)
            self.timeline.record("config", cast("dict[str, Any]", event))
            observers = self._itf_config.observers.interested(
                lambda pattern: key_matches(pattern, config_key)
            )
            failures = call_all(observers, lambda: copy_containers(event))
        _raise_failures(config_key, failures)
        return cast(ConfigChangeEvent, copy_containers(event))

    def get_affected_modules(self, config_key: str) -> list[str]:
        """Return the modules that a key affects, each once, in the order of the mapping.

        A pattern matches if it is the whole key, consecutive dotted segments of the key
        (``chunk_types`` matches ``languages.python.chunk_types``), or a glob for the whole
        key.
        """
        matching = [
            modules
            for pattern, modules in [
                *self.config_modules.items(),
                *self._itf_config.mapping.copy(),
            ]
            if key_matches(pattern, config_key)
        ]
        if not matching:
            matching = [self.default_affected_modules]
        return list(dict.fromkeys(name for modules in matching for name in _names(modules)))

    def map_config(self, pattern: str, *modules: str) -> None:
        """Declare which modules a pattern of keys affects; repeated calls add up.

        Raises:
            TypeError: The pattern or a module is not a str.
        """
        for value in (pattern, *modules):
            if not isinstance(value, str):
                raise TypeError(
                    f"map_config takes a pattern and names of modules, got {safe_repr(value)}; "
                    "pass a list as map_config(pattern, *modules)"
                )
        self._itf_config.mapping.append((pattern, modules))

    def register_observer(
        self, callback: Callable[[ConfigChangeEvent], object], *, key: str | None = None
    ) -> Registration:
        """Call a function with the event of every later change.

        Args:
            callback: Called with the event, after the event was recorded.
            key: A pattern as in `get_affected_modules`; None matches every key.

        Returns:
            A handle; its ``unregister()``, or the end of a ``with`` on it, ends the
            registration.
        """
        return self._itf_config.observers.register(callback, key)

    def get_change_log(self, key: str | None = None) -> list[ConfigChangeEvent]:
        """Return copies of the changes in order; with ``key``, those that the pattern matches."""
        return [
            cast(ConfigChangeEvent, copy_containers(event))
            for event in self._itf_config.log.entries()
            if key is None or key_matches(key, event["config_path"])
        ]

    def watch_config(self, mapping: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return a mapping that writes to yours and records each change as an event.

        Nested mappings and lists are watched too: ``config["a"]["b"] = 1`` is a change of
        ``a.b``; an item added to the list under ``a`` is a change of ``a``.  Setting an
        equal value of the same type is no change.

        Args:
            mapping: The configuration; changes that bypass the returned mapping
                are not recorded.
        """
        if isinstance(mapping, WatchedMapping) and mapping.reports_to(self.on_config_change):
            return mapping
        if not isinstance(mapping, MutableMapping):
            raise TypeError(f"expected a mapping that can be changed, got {safe_repr(mapping)}")
        return WatchedMapping(mapping, "", self.on_config_change)

    @contextmanager
    def override_config(
        self, mapping: MutableMapping[str, Any], /, **changes: Any
    ) -> Generator[MutableMapping[str, Any]]:
        """Change configuration for the duration of a ``with``, then restore it.

        The change and the restoration are events, also when the body raises.

        Args:
            mapping: The configuration, watched or not.
            changes: Keys and their values.  A dotted key, given as
                ``**{"parser.timeout": 5}``, addresses nested mappings, unless the
                mapping itself contains that exact key.

        Yields:
            The mapping, watched.
        """
        watched = self.watch_config(mapping)
        with ExitStack() as restore:
            for key, value in changes.items():
                container, name = _resolve_key(watched, key)
                if name in container:
                    restore.callback(container.__setitem__, name, _raw(container)[name])
                else:
                    restore.callback(container.pop, name, None)
                container[name] = value
            yield watched

    @property
    def _itf_config(self) -> _ConfigState:
        state = self.__dict__.get("_itf_config_state")
        if state is None:
            state = self.__dict__.setdefault("_itf_config_state", _ConfigState())
        return cast(_ConfigState, state)


class _ConfigState:
    """The log, observers and patterns of one object; only appended to, so no lock is needed."""

    def __init__(self) -> None:
        self.log: BoundedLog[ConfigChangeEvent] = BoundedLog()
        self.observers: CallbackRegistry[ConfigChangeEvent] = CallbackRegistry()
        self.mapping: list[tuple[str, tuple[str, ...]]] = []


def key_matches(pattern: str, key: str) -> bool:
    """Return whether a pattern matches a dotted key.

    Example:
        >>> key_matches("chunk_types", "languages.python.chunk_types")
        True
        >>> key_matches("chunk_types", "my_chunk_types")
        False
        >>> key_matches("languages.*", "languages.python")
        True
    """
    # With a dot at both ends, consecutive segments are a substring.
    return f".{pattern}." in f".{key}." or fnmatch.fnmatchcase(key, pattern)


def _names(modules: Iterable[str]) -> Iterable[str]:
    if isinstance(modules, str):
        raise TypeError(
            f"expected a list of modules, got the str {modules!r}; did you mean [{modules!r}]?"
        )
    return modules


class _Change:
    """A change that observers are being notified of.

    Attributes:
        state: The object whose configuration changed.
        in_progress: False once all observers were notified.  A task that an observer
            started still inherits the change, but the change no longer causes anything.
        cycle_keys: The keys of the cycles found so far, with the id of their state; one
            set for the first change and all changes that follow from it.
        endless: Whether these changes exceeded the limit of a chain.
    """

    def __init__(self, state: _ConfigState, key: str, value: Any, origin: _Change | None) -> None:
        self.state = state
        self.key = key
        self.value = copy_containers(value)
        self.in_progress = True
        self.origin = origin or self
        self.cycle_keys: set[tuple[int, str]] = set()
        self.endless = False

    def same_resolve_key(self, state: _ConfigState, key: str) -> bool:
        return self.state is state and self.key == key


# The changes that observers are notified of in this thread or task, outermost first.
_chain: contextvars.ContextVar[tuple[_Change, ...]] = contextvars.ContextVar(
    "itf_config_chain", default=()
)


@contextmanager
def _notifying(state: _ConfigState, key: str, value: Any) -> Generator[None]:
    """Keep a change in the chain of changes in progress; raise if it closes a cycle."""
    chain = tuple(change for change in _chain.get() if change.in_progress)
    _check_cycle(chain, state, key, value)
    change = _Change(state, key, value, chain[0] if chain else None)
    token = _chain.set((*chain, change))
    try:
        yield
    finally:
        change.in_progress = False
        _chain.reset(token)


def _check_cycle(chain: tuple[_Change, ...], state: _ConfigState, key: str, value: Any) -> None:
    """Raise if notifying the observers of these changes would never end.

    That is the case if a key changes to the same value again, if a key changes too
    often, or if the chain is too long.
    """
    if not chain:
        return
    origin = chain[0]
    same_key = [place for place, change in enumerate(chain) if change.same_resolve_key(state, key)]
    repeats = len(same_key) >= _MAX_REENTRIES or any(
        same_value(chain[place].value, value) for place in same_key
    )
    # A known cycle is not walked again by its other observers: four observers that change
    # their own key would make 4 ** 8 changes.
    known = bool(same_key) and (id(state), key) in origin.cycle_keys
    endless = origin.endless or len(chain) >= _MAX_CHAIN
    if not (repeats or known or endless):
        return
    origin.endless = endless
    cycle = chain[same_key[-1] :] if same_key else chain
    origin.cycle_keys.update((id(change.state), change.key) for change in cycle)
    keys = [*(change.key for change in cycle), key]
    raise ConfigCycleError(
        f"configuration changes in a cycle: {' -> '.join(keys)}; "
        "an observer of each of these keys changes the next: break the cycle, or change "
        "a key only if its value differs",
        keys,
    )


def _raise_failures(key: str, failures: list[Exception]) -> None:
    if not failures:
        return
    cycle = next((error for error in failures if isinstance(error, ConfigCycleError)), None)
    others: list[BaseException] = []
    for error in failures:
        if cycle is None or not isinstance(error, ConfigCycleError):
            others.append(error)
            continue
        # Every observer in a cycle raises the same cycle error; other failures are its cause.
        if error.__cause__ is not None:
            others.append(error.__cause__)
        if set(error.keys) != set(cycle.keys):
            error.__cause__ = None
            others.append(error)
    group = None
    if others:
        count = "1 observer" if len(others) == 1 else f"{len(others)} observers"
        group = BaseExceptionGroup(f"{count} failed on the change of {key!r}", others)
    if cycle is not None:
        # Raised alone, not in a nested group for each round of the cycle.
        raise cycle from group
    if group is not None:
        raise group


def _resolve_key(
    mapping: MutableMapping[str, Any], key: str
) -> tuple[MutableMapping[str, Any], str]:
    """Return the innermost mapping that a dotted key leads to, and the key in that mapping."""
    *parents, name = key.split(".")
    if key in mapping or not parents:
        return mapping, key
    found: Any = mapping
    for parent in parents:
        if not isinstance(found, MutableMapping) or parent not in found:
            return mapping, key
        found = found[parent]
    return (found, name) if isinstance(found, MutableMapping) else (mapping, key)


def _raw(mapping: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the mapping behind a watched one; the very same object must be restored."""
    return mapping.raw if isinstance(mapping, WatchedMapping) else mapping
