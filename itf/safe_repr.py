"""Text for any object in a message or report: of limited length, never raising, without secrets."""

from __future__ import annotations

import itertools
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from sys import UnraisableHookArgs  # known to type checkers alone

__all__ = [
    "REDACTED",
    "is_secret_key",
    "items_with_secrecy",
    "safe_repr",
    "safe_str",
    "unraisable_text",
]

__unittest = True

REDACTED: Final = "<redacted>"
"""Text shown instead of a value whose key looks like that of a secret."""

# A key is secret if one of these is a substring of it, after everything except
# letters and digits was removed and the rest converted to lower case.  So
# "X-Api-Key" and "apiKey" match "apikey", and "PGPASSWORD" matches "password".
# A harmless key such as "tokenizer" is redacted too; that is better than to show
# a password.
_SECRET_WORDS: Final = (
    "password",
    "passwd",
    "token",
    "secret",
    "credential",
    "apikey",
    "privatekey",
    "authorization",
)

# A secret inside the repr of an object: Settings(db_password='hunter2').  Group 1
# is the key and "=" or ":", group 2 the value: a str, bytes, or an unquoted word.
# Repetitions are limited, so that matching takes linear time for any text.
_SECRET_FIELD: Final = re.compile(
    rf"""((?:{"|".join("[-_]?".join(word) for word in _SECRET_WORDS)})"""
    r"""[\w-]{0,40}['"]?\s{0,4}[=:]\s{0,4})"""
    r"""(b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|[^\s,()\[\]{}<>]+)""",
    re.IGNORECASE,
)

# Longest text for one value, in characters.
_MAX_REPR: Final = 1000

# Longest text for one string inside a value, in characters.
_MAX_STRING: Final = 200


class _BoundedRepr(reprlib.Repr):
    """`reprlib.Repr` that hides secrets and never raises."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = _MAX_STRING
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 10
        self.maxlevel = 4

    def repr1(self, x: Any, level: int) -> str:
        try:
            # Not isinstance: it is true for Mock(spec=dict), which has no items.
            if issubclass(type(x), Mapping):
                return self._repr_mapping(x, level)
            return super().repr1(x, level)
        except Exception as error:  # noqa: BLE001 - a user's __repr__ may raise anything
            return f"<unrepresentable {type(x).__qualname__}: {type(error).__qualname__}>"

    def _repr_mapping(self, mapping: Mapping[Any, Any], level: int) -> str:
        if level <= 0:
            return "{...}"
        parts = [
            f"{self.repr1(key, level - 1)}: {REDACTED if hidden else self.repr1(value, level - 1)}"
            for key, value, hidden in itertools.islice(items_with_secrecy(mapping), self.maxdict)
        ]
        if len(mapping) > self.maxdict:
            parts.append("...")
        inner = f"{{{', '.join(parts)}}}"
        return inner if type(mapping) is dict else f"{type(mapping).__qualname__}({inner})"

    def repr_instance(self, x: Any, level: int) -> str:
        # Redact before the text is shortened: half a key would not be recognized.
        text = _SECRET_FIELD.sub(rf"\1{REDACTED}", repr(x))
        if len(text) <= self.maxother:
            return text
        head = (self.maxother - 3) // 2
        return f"{text[:head]}...{text[head + 3 - self.maxother :]}"


_repr = _BoundedRepr()


def safe_repr(value: object) -> str:
    """Return the ``repr`` of any value, of limited length and with secrets redacted.

    If ``__repr__`` raises an exception, the text contains the names of the
    object's class and of the exception's class.
    """
    kind = type(value)
    # By identity: `in` would call the == of the class's metaclass.
    if (kind is bytes or kind is bytearray) and len(cast(bytes, value)) > _MAX_STRING:
        # The repr of all bytes would need up to four times their memory.
        content = cast(bytes, value)
        return f"{bytes(content[: _MAX_STRING // 4])!r}... ({len(content)} bytes)"
    text = _repr.repr(value)
    return text if len(text) <= _MAX_REPR else f"{text[: _MAX_REPR - 3]}..."


def safe_str(error: BaseException) -> str:
    """Return ``str(error)``; if that raises, return a text that says so."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<exception str() failed: {type(failure).__qualname__}>"


def unraisable_text(args: UnraisableHookArgs) -> str:
    """Return text for the origin of an error that Python could not raise.

    Up to Python 3.13 the arguments contain the object whose finalizer raised the error.
    Since then the message names the object in most cases, and the arguments do not
    contain it.
    """
    if args.object is not None:
        return f"{args.err_msg or 'Exception ignored in'}: {safe_repr(args.object)}"
    if args.err_msg:
        # The message contains the repr of an object.
        text = _SECRET_FIELD.sub(rf"\1{REDACTED}", args.err_msg)
        return text if len(text) <= _MAX_REPR else f"{text[: _MAX_REPR - 3]}..."
    if args.exc_traceback is not None:
        return f"Exception ignored in: {args.exc_traceback.tb_frame.f_code.co_qualname}"
    return "Exception ignored"


def is_secret_key(key: object) -> bool:
    """Return whether the value of this key must be hidden."""
    text = key if isinstance(key, str) else safe_repr(key)
    plain = "".join(filter(str.isalnum, text)).lower()
    return any(word in plain for word in _SECRET_WORDS)


def items_with_secrecy(mapping: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, bool]]:
    """Yield each key of a mapping, its value, and whether the value must be hidden."""
    # A ConfigChangeEvent has its values under "old_value" and "new_value".  They
    # are secret if the event's path is.
    secret_path = "config_path" in mapping and is_secret_key(mapping["config_path"])
    hidden = ("old_value", "new_value") if secret_path else ()
    # list(), because another thread may add an item during the iteration.
    for key, value in list(mapping.items()):
        yield key, value, key in hidden or is_secret_key(key)
