"""The configuration: a nested mapping, its defaults, and whom each key concerns.

Every function takes any ``Mapping`` of mappings and reads it when called, never earlier: a value
changed at run time counts from the next operation on.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from .errors import ConfigError

__all__ = [
    "CHUNK_TYPES",
    "CONFIG_MODULES",
    "Config",
    "get",
    "load_config",
    "make_config",
    "snapshot",
    "validate",
]

Config: TypeAlias = Mapping[str, Any]

CHUNK_TYPES: Final = ("function", "class", "method", "module")
_MODES: Final = ("serial", "threads", "processes")
_MOST_WORKERS: Final = 64  # a typing error must not start ten thousand processes

_PACKAGE: Final = __name__.rpartition(".")[0]

# A key, or the section it is in -> the modules that read it.
CONFIG_MODULES: Final[Mapping[str, list[str]]] = {
    "parser.timeout": [f"{_PACKAGE}.parallel"],
    # What changes the chunks of a file also changes the key under which they are cached.
    "parser.encoding": [f"{_PACKAGE}.parser", f"{_PACKAGE}.cache"],
    "chunker": [f"{_PACKAGE}.chunker", f"{_PACKAGE}.cache"],
    "cache": [f"{_PACKAGE}.cache"],
    "parallel": [f"{_PACKAGE}.parallel"],
}


@dataclass(frozen=True, slots=True)
class _Rule:
    """A key's default, what is allowed, and the same in words."""

    default: object
    accepts: Callable[[Any], bool]
    allowed: str


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_codec(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        "".encode(value)
    except (LookupError, ValueError):  # unknown or not for text; a null character in the name
        return False
    return True


def _is_chunk_types(value: object) -> bool:
    # Any sequence: a list that tells of its changes need not be a list.
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(name in CHUNK_TYPES for name in value)
    )


def _is_timeout(value: object) -> bool:
    return isinstance(value, int | float) and value is not True and 0 < value < math.inf


_RULES: Final[Mapping[str, _Rule]] = {
    "parser.timeout": _Rule(30.0, _is_timeout, "a number of seconds above 0"),
    "parser.encoding": _Rule(
        "auto",
        lambda value: value == "auto" or _is_codec(value),
        "'auto' (what the file declares) or the name of a text codec",
    ),
    "chunker.min_lines": _Rule(1, _is_count, "a whole number from 1"),
    "chunker.max_lines": _Rule(400, _is_count, "a whole number from 1, not below min_lines"),
    "chunker.chunk_types": _Rule(
        CHUNK_TYPES, _is_chunk_types, f"a list of one or more of {', '.join(CHUNK_TYPES)}"
    ),
    "cache.enabled": _Rule(False, lambda value: isinstance(value, bool), "true or false"),
    "cache.directory": _Rule(
        ".chunker-cache",
        lambda value: isinstance(value, str | os.PathLike) and bool(os.fspath(value)),
        "the path of a directory",
    ),
    "parallel.workers": _Rule(
        2,
        lambda value: _is_count(value) and value <= _MOST_WORKERS,
        f"a whole number from 1 to {_MOST_WORKERS}",
    ),
    "parallel.mode": _Rule("serial", lambda value: value in _MODES, ", ".join(_MODES)),
}


def get(config: Config, key: str) -> Any:
    """Return the value of a dotted key, or its default.

    Example:
        >>> get({"parallel": {"workers": 4}}, "parallel.workers")
        4

    Raises:
        ConfigError: The value is not allowed.
    """
    rule = _RULES[key]
    section, _, name = key.partition(".")
    values = config.get(section, {})
    if not isinstance(values, Mapping):
        raise ConfigError(section, values, "a table of keys")
    value = values.get(name, rule.default)
    if not rule.accepts(value):
        raise ConfigError(key, value, rule.allowed)
    return value


def validate(config: Config) -> None:
    """Check every key and value.

    Raises:
        ConfigError: A key is unknown, or a value is not allowed.
    """
    sections = sorted({key.partition(".")[0] for key in _RULES})
    for section, values in config.items():
        if section not in sections:
            raise ConfigError(str(section), values, f"one of the sections {', '.join(sections)}")
        for name in values if isinstance(values, Mapping) else ():
            if f"{section}.{name}" not in _RULES:
                known = ", ".join(key for key in _RULES if key.startswith(f"{section}."))
                raise ConfigError(f"{section}.{name}", values[name], f"one of the keys {known}")
    for key in _RULES:
        get(config, key)
    least = get(config, "chunker.min_lines")
    if get(config, "chunker.max_lines") < least:
        most = get(config, "chunker.max_lines")
        raise ConfigError("chunker.max_lines", most, f"not below chunker.min_lines ({least})")


def snapshot(config: Config) -> dict[str, dict[str, Any]]:
    """Return every key with its present value, in plain dicts that can be pickled."""
    plain: dict[str, dict[str, Any]] = {}
    for key in _RULES:
        section, _, name = key.partition(".")
        value = get(config, key)
        plain.setdefault(section, {})[name] = list(value) if key == "chunker.chunk_types" else value
    return plain


def make_config(overrides: Config | None = None) -> dict[str, dict[str, Any]]:
    """Return the defaults with the overrides in place.

    Raises:
        ConfigError: An override is not allowed.
    """
    validate(overrides or {})
    return snapshot(overrides or {})


def load_config(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return the defaults with what a TOML file says in place.

    Raises:
        ConfigError: The file cannot be read, is no TOML, or says something not allowed.
    """
    try:
        with open(path, "rb") as file:
            overrides = tomllib.load(file)
    except (OSError, ValueError) as error:  # ValueError: no TOML, or no UTF-8
        raise ConfigError(os.fspath(path), str(error), "a TOML file that can be read") from error
    return make_config(overrides)
