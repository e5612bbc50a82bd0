"""What is shown of an object that may be anything: bounded, never raising, without secrets."""

from __future__ import annotations

import itertools
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from sys import UnraisableHookArgs  # known to type checkers alone

__all__ = ["REDACTED", "is_secret_key", "safe_repr", "safe_str", "told_items", "unraisable_text"]

__unittest = True

REDACTED: Final = "<redacted>"
"""What stands in place of a value whose key looks like a secret."""

# Compared with the key in lower case and without anything but letters and
# digits, so that "api_key", "X-Api-Key" and "apiKey" are one; as a substring,
# so that "PGPASSWORD" and "dbpassword" are found.  Redacting a harmless
# "tokenizer" costs a line of a report, showing one password costs more.
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

# The same words inside the repr of an object: Settings(db_password='hunter2').
# The value may be quoted, be bytes, and hold the other quote.  The bounds keep
# the time linear in a text of nothing but such words.
_SECRET_FIELD: Final = re.compile(
    rf"""((?:{"|".join("[-_]?".join(word) for word in _SECRET_WORDS)})"""
    r"""[\w-]{0,40}['"]?\s{0,4}[=:]\s{0,4})"""
    r"""(b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|[^\s,()\[\]{}<>]+)""",
    re.IGNORECASE,
)

# What a person reads of one value, at most; and of one string in it.
_MAX_REPR: Final = 1000
_MAX_STRING: Final = 200


class _BoundedRepr(reprlib.Repr):
    """A short ``repr`` without secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = _MAX_STRING
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 10
        self.maxlevel = 4

    def repr1(self, x: Any, level: int) -> str:
        try:
            # The type, not isinstance: a Mock(spec=dict) says that it is a dict.
            if issubclass(type(x), Mapping):
                return self._repr_mapping(x, level)
            return super().repr1(x, level)
        except Exception as error:  # noqa: BLE001 - whatever a user's __repr__ raises, the report goes on
            return f"<unrepresentable {type(x).__qualname__}: {type(error).__qualname__}>"

    def _repr_mapping(self, mapping: Mapping[Any, Any], level: int) -> str:
        if level <= 0:
            return "{...}"
        parts = [
            f"{self.repr1(key, level - 1)}: {REDACTED if hidden else self.repr1(value, level - 1)}"
            for key, value, hidden in itertools.islice(told_items(mapping), self.maxdict)
        ]
        if len(mapping) > self.maxdict:
            parts.append("...")
        inner = f"{{{', '.join(parts)}}}"
        return inner if type(mapping) is dict else f"{type(mapping).__qualname__}({inner})"

    def repr_instance(self, x: Any, level: int) -> str:
        # Before it is cut: half a name would no longer look like a secret's.
        text = _SECRET_FIELD.sub(rf"\1{REDACTED}", repr(x))
        if len(text) <= self.maxother:
            return text
        head = (self.maxother - 3) // 2
        return f"{text[:head]}...{text[head + 3 - self.maxother :]}"


_repr = _BoundedRepr()


def safe_repr(value: object) -> str:
    """Return a bounded ``repr`` of any value, without what stands under a secret's key.

    A broken ``__repr__`` is told, not raised.
    """
    kind = type(value)
    # By identity: `in` would call the == of the class's metaclass.
    if (kind is bytes or kind is bytearray) and len(cast(bytes, value)) > _MAX_STRING:
        # repr() of the whole would take four times its size before it is cut.
        content = cast(bytes, value)
        return f"{bytes(content[: _MAX_STRING // 4])!r}... ({len(content)} bytes)"
    text = _repr.repr(value)
    return text if len(text) <= _MAX_REPR else f"{text[: _MAX_REPR - 3]}..."


def safe_str(error: BaseException) -> str:
    """Return ``str(error)``; a broken ``__str__`` is told, not raised."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - whatever a user's __str__ raises, the error is kept
        return f"<exception str() failed: {type(failure).__qualname__}>"


def unraisable_text(args: UnraisableHookArgs) -> str:
    """Say where an error comes from that Python could not raise: what it did, and with what.

    Up to 3.13 the object is in the arguments.  Since then the message mostly names
    it, and there is no object.
    """
    if args.object is not None:
        return f"{args.err_msg or 'Exception ignored in'}: {safe_repr(args.object)}"
    if args.err_msg:
        # Python has put the repr of an object into it.
        text = _SECRET_FIELD.sub(rf"\1{REDACTED}", args.err_msg)
        return text if len(text) <= _MAX_REPR else f"{text[: _MAX_REPR - 3]}..."
    if args.exc_traceback is not None:
        return f"Exception ignored in: {args.exc_traceback.tb_frame.f_code.co_qualname}"
    return "Exception ignored"


def is_secret_key(key: object) -> bool:
    """Say whether the value under this key is to be hidden."""
    text = key if isinstance(key, str) else safe_repr(key)
    plain = "".join(filter(str.isalnum, text)).lower()
    return any(word in plain for word in _SECRET_WORDS)


def told_items(mapping: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, bool]]:
    """Walk a mapping: each key, its value, and whether the value is to be hidden."""
    # The values of a configuration change stand under keys that do not tell
    # what they are; its path does.
    secret_path = "config_path" in mapping and is_secret_key(mapping["config_path"])
    hidden = ("old_value", "new_value") if secret_path else ()
    # list(): another thread may be adding an item while we walk.
    for key, value in list(mapping.items()):
        yield key, value, key in hidden or is_secret_key(key)
