"""Configuration that changes at run time: what changed, whom it affects, who is told."""

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

# How often one key may change again while observers are still being told of
# its first change.  An observer that corrects a value (clamps it, say) needs
# one; eight leaves room for several of them.
_MAX_REENTRIES: Final = 8

# How many changes may lead one to the next.  Each takes five frames or more of
# the thousand that Python has; no program in its senses needs ten changes.
_MAX_CHAIN: Final = 50


class ConfigChangeObserver(TimelineOwner):
    """Record changes of configuration, tell observers, and say which modules are affected.

    A mixin for any class; it needs no ``__init__``.

    Attributes:
        config_modules: Patterns of keys, each with the modules it affects.  For a
            subclass to set; `map_config` adds to it on one object.
        default_affected_modules: The modules that an unknown key affects.

    Example:
        >>> config = ConfigChangeObserver()
        >>> config.map_config("parser_timeout", "chunker.parser", "chunker.parallel")
        >>> config.on_config_change("parser_timeout", 30, 60)["affected_modules"]
        ['chunker.parser', 'chunker.parallel']

    Thread safety: every method, from any thread.  Observers are called in the
    thread that made the change, and no lock is held while they run.
    """

    config_modules: ClassVar[Mapping[str, Iterable[str]]] = {}
    default_affected_modules: ClassVar[Iterable[str]] = ()

    def on_config_change(
        self, config_key: str, old_value: Any, new_value: Any
    ) -> ConfigChangeEvent:
        """Record a change and tell the observers.

        Args:
            config_key: The dotted key that changed.
            old_value: What it was; None where it was not there.
            new_value: What it is now; None where it is gone.

        Returns:
            The event; a copy, changing it changes nothing here.

        Raises:
            TypeError: ``config_key`` is not a str.
            ConfigCycleError: Observers change configuration in a circle.
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

        A pattern counts if it is the whole key, a run of its dotted segments
        (``chunk_types`` is one of ``languages.python.chunk_types``), or a glob
        that matches the whole key.
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
        """Say which modules a pattern of keys affects; a second call adds to the first.

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
        """Call a function with the event of every change to come.

        Args:
            callback: Called with the event, after it was recorded.
            key: A pattern as in `get_affected_modules`; None is every key.

        Returns:
            A handle whose ``unregister()``, or the end of a ``with`` on it, ends this.
        """
        return self._itf_config.observers.register(callback, key)

    def get_change_log(self, key: str | None = None) -> list[ConfigChangeEvent]:
        """Return the changes in order, as copies; with ``key``, those whose key it matches."""
        return [
            cast(ConfigChangeEvent, copy_containers(event))
            for event in self._itf_config.log.entries()
            if key is None or key_matches(key, event["config_path"])
        ]

    def watch_config(self, mapping: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return a mapping that writes to yours, and whose every change is an event.

        Mappings and lists inside are watched too: ``config["a"]["b"] = 1`` is a
        change of ``a.b``, an item added to the list under ``a`` one of ``a``.
        Setting what is already there is no change.

        Args:
            mapping: The configuration; changes made past the returned mapping
                are not seen.
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
        """Change configuration for the length of a ``with``, and put it back.

        Both ways are events, also when the body raises.

        Args:
            mapping: The configuration, watched or not.
            changes: Keys and their values.  A dotted key, given as
                ``**{"parser.timeout": 5}``, reaches into nested mappings unless
                the mapping itself has that very key.

        Yields:
            The mapping, watched.
        """
        watched = self.watch_config(mapping)
        with ExitStack() as restore:
            for key, value in changes.items():
                where, name = _place(watched, key)
                if name in where:
                    restore.callback(where.__setitem__, name, _raw(where)[name])
                else:
                    restore.callback(where.pop, name, None)
                where[name] = value
            yield watched

    @property
    def _itf_config(self) -> _ConfigState:
        state = self.__dict__.get("_itf_config_state")
        if state is None:
            state = self.__dict__.setdefault("_itf_config_state", _ConfigState())
        return cast(_ConfigState, state)


class _ConfigState:
    """What one object knows of its configuration; only ever appended to, so no lock is needed."""

    def __init__(self) -> None:
        self.log: BoundedLog[ConfigChangeEvent] = BoundedLog()
        self.observers: CallbackRegistry[ConfigChangeEvent] = CallbackRegistry()
        self.mapping: list[tuple[str, tuple[str, ...]]] = []


def key_matches(pattern: str, key: str) -> bool:
    """Say whether a pattern matches a dotted key.

    Example:
        >>> key_matches("chunk_types", "languages.python.chunk_types")
        True
        >>> key_matches("chunk_types", "my_chunk_types")
        False
        >>> key_matches("languages.*", "languages.python")
        True
    """
    # With a dot at either end, a run of segments is a substring.
    return f".{pattern}." in f".{key}." or fnmatch.fnmatchcase(key, pattern)


def _names(modules: Iterable[str]) -> Iterable[str]:
    if isinstance(modules, str):
        raise TypeError(
            f"expected a list of modules, got the str {modules!r}; did you mean [{modules!r}]?"
        )
    return modules


class _Change:
    """A change that observers are being told of.

    Attributes:
        state: Whose configuration.
        under_way: False once all observers were told: a task that an observer
            started still sees the change, and is no longer caused by it.
        circles: The keys of the circles found so far, each with its state's id;
            one set for all changes that one change led to.
        endless: Whether one of these changes led on without end.
    """

    def __init__(self, state: _ConfigState, key: str, value: Any, origin: _Change | None) -> None:
        self.state = state
        self.key = key
        self.value = copy_containers(value)
        self.under_way = True
        self.origin = origin or self
        self.circles: set[tuple[int, str]] = set()
        self.endless = False

    def same_place(self, state: _ConfigState, key: str) -> bool:
        return self.state is state and self.key == key


# The changes that observers are being told of in this thread or task, outermost first.
_chain: contextvars.ContextVar[tuple[_Change, ...]] = contextvars.ContextVar(
    "itf_config_chain", default=()
)


@contextmanager
def _notifying(state: _ConfigState, key: str, value: Any) -> Generator[None]:
    """Hold a change in the chain of those under way, unless it closes a circle."""
    chain = tuple(change for change in _chain.get() if change.under_way)
    _refuse_circle(chain, state, key, value)
    change = _Change(state, key, value, chain[0] if chain else None)
    token = _chain.set((*chain, change))
    try:
        yield
    finally:
        change.under_way = False
        _chain.reset(token)


def _refuse_circle(chain: tuple[_Change, ...], state: _ConfigState, key: str, value: Any) -> None:
    """Raise if the observers told of these changes go on for ever.

    The same key coming back with the same value does; so does one that comes
    back again and again with another, and a chain that does not end.
    """
    if not chain:
        return
    origin = chain[0]
    same_key = [place for place, change in enumerate(chain) if change.same_place(state, key)]
    again = len(same_key) >= _MAX_REENTRIES or any(
        same_value(chain[place].value, value) for place in same_key
    )
    # Found once, a circle is not walked again by every other observer on it:
    # four observers of a key that change it would do so 4 ** 8 times.
    known = bool(same_key) and (id(state), key) in origin.circles
    endless = origin.endless or len(chain) >= _MAX_CHAIN
    if not (again or known or endless):
        return
    origin.endless = endless
    turn = chain[same_key[-1] :] if same_key else chain
    origin.circles.update((id(change.state), change.key) for change in turn)
    keys = [*(change.key for change in turn), key]
    raise ConfigCycleError(
        f"configuration changes in a circle: {' -> '.join(keys)}; "
        "an observer of each of these keys changes the next: break the circle, or change "
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
        # One circle comes back from every observer that it runs through; what
        # else failed on its way is its cause.
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
        # By itself, not in a group within a group for every turn of the circle.
        raise cycle from group
    if group is not None:
        raise group


def _place(mapping: MutableMapping[str, Any], key: str) -> tuple[MutableMapping[str, Any], str]:
    """Find the innermost mapping that a dotted key leads to, and the key in it."""
    *parents, name = key.split(".")
    if key in mapping or not parents:
        return mapping, key
    place: Any = mapping
    for parent in parents:
        if not isinstance(place, MutableMapping) or parent not in place:
            return mapping, key
        place = place[parent]
    return (place, name) if isinstance(place, MutableMapping) else (mapping, key)


def _raw(mapping: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the mapping behind a watched one: what is put back must be the very same object."""
    return mapping.raw if isinstance(mapping, WatchedMapping) else mapping
