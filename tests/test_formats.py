"""Tests of the standard formats, and of their conversion to and from JSON."""

from __future__ import annotations

import collections
import dataclasses
import json
import threading
import types
import unittest
from typing import Any, NamedTuple, NotRequired, get_origin, get_type_hints
from unittest import mock

from itf.exceptions import FormatError
from itf.formats import (
    SCHEMA_VERSION,
    ConfigChangeEvent,
    ErrorContext,
    ResourceRecord,
    TimelineEvent,
    copy_containers,
    event_from_json,
    event_to_json,
    to_jsonable,
)
from itf.safe_repr import REDACTED, is_secret_key, safe_repr, safe_str
from itf.timeline import Timeline


class Login(NamedTuple):
    user: str
    password: str


@dataclasses.dataclass
class Settings:
    user: str
    db_password: str


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no repr")


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = {"inner": value}
    return value


def roundtrip(data: dict[str, Any]) -> Any:
    return event_from_json(event_to_json(Timeline("t").record("note", data)))["data"]


class FormatsTest(unittest.TestCase):
    def test_the_formats_have_exactly_the_keys_of_the_standard(self) -> None:
        """Each format has exactly the keys of the specification."""
        self.assertEqual(
            [
                "source_module",
                "target_module",
                "operation",
                "original_error",
                "error_type",
                "error_message",
                "timestamp",
                "context_data",
            ],
            list(get_type_hints(ErrorContext)),
        )
        self.assertEqual(
            ["config_path", "old_value", "new_value", "affected_modules", "timestamp"],
            list(get_type_hints(ConfigChangeEvent)),
        )
        self.assertEqual(
            [
                "resource_id",
                "resource_type",
                "owner_module",
                "created_at",
                "state",
                "metadata",
                "released_at",
            ],
            list(get_type_hints(ResourceRecord)),
        )
        hints = get_type_hints(ResourceRecord, include_extras=True)
        self.assertEqual(
            ["released_at"], [key for key in hints if get_origin(hints[key]) is NotRequired]
        )
        self.assertEqual(
            [
                "schema",
                "sequence",
                "kind",
                "test",
                "timestamp",
                "monotonic_ns",
                "process",
                "thread",
                "task",
                "data",
            ],
            list(get_type_hints(TimelineEvent)),
        )


class EventJsonTest(unittest.TestCase):
    def test_an_event_survives_a_round_trip(self) -> None:
        """Values with a JSON type are the same after conversion to JSON and back."""
        event = Timeline("a.test").record(
            "note", {"text": "ä\n\u2028", "n": [1, 2.5, None, True], "d": {"k": "v"}}
        )
        self.assertEqual(event, event_from_json(event_to_json(event)))

    def test_an_event_is_one_line_of_ascii(self) -> None:
        """All kinds of line ends inside an event, also non-ASCII ones, are escaped."""
        line = event_to_json(Timeline().record("note", {"text": "a\r\nb\u2028c\x85d\udc80"}))
        self.assertEqual(1, len(line.splitlines()))
        self.assertTrue(line.isascii())

    def test_an_exception_becomes_its_description(self) -> None:
        """In JSON, ``original_error`` is a dict of type, module, message and notes."""
        error = ValueError("bad")
        error.add_note("look here")
        self.assertEqual(
            {
                "original_error": {
                    "type": "ValueError",
                    "module": "builtins",
                    "message": "bad",
                    "notes": ["look here"],
                }
            },
            roundtrip({"original_error": error}),
        )

    def test_other_values_become_their_bounded_repr(self) -> None:
        """Locks, sets, bytes, NaN, huge ints and keys that are no str are written as text."""
        data = roundtrip(
            {
                "lock": threading.Lock(),
                "bytes": b"x" * 10_000_000,
                "nan": float("nan"),
                "infinity": float("inf"),
                "huge": 1 << 1_000_000,
                "broken": Unprintable(),
                "set": {1},
                (1, 2): "tuple key",
            }
        )
        self.assertIn("lock object", data["lock"])
        self.assertTrue(data["bytes"].endswith("... (10000000 bytes)"))
        self.assertLess(len(data["bytes"]), 200)
        self.assertEqual(("nan", "inf"), (data["nan"], data["infinity"]))
        self.assertLess(len(data["huge"]), 200)
        self.assertEqual("<unrepresentable Unprintable: ValueError>", data["broken"])
        self.assertEqual("{1}", data["set"])
        self.assertEqual("tuple key", data["(1, 2)"])

    def test_mocks_that_claim_another_class_are_written_as_mocks(self) -> None:
        """A Mock(spec=dict) is written as a Mock, although isinstance says that it is a dict."""
        for spec in (dict, list, str, int, float, bool, ValueError):
            with self.subTest(spec=spec):
                self.assertIn("Mock", roundtrip({"mock": mock.Mock(spec=spec)})["mock"])

    def test_any_mapping_is_written_as_an_object(self) -> None:
        """Mappings other than dict become JSON objects, too."""
        for mapping in (
            types.MappingProxyType({"a": 1}),
            collections.ChainMap({"a": 1}),
            collections.UserDict({"a": 1}),
            collections.OrderedDict(a=1),
        ):
            with self.subTest(type=type(mapping)):
                self.assertEqual({"m": {"a": 1}}, roundtrip({"m": mapping}))

    def test_a_failing_mapping_becomes_text(self) -> None:
        """If a mapping raises when it is read, the rest of the event is still written."""

        class Broken(dict[str, Any]):
            def items(self) -> Any:
                raise OSError("gone")

        self.assertEqual(
            {
                "m": "<unrepresentable EventJsonTest."
                "test_a_failing_mapping_becomes_text.<locals>.Broken: OSError>",
                "n": 1,
            },
            json.loads(json.dumps(to_jsonable({"m": Broken(a=1), "n": 1}))),
        )

    def test_cyclic_values_are_written_once(self) -> None:
        """A tree whose nodes refer to their parents is written once, with text for each cycle."""
        root: dict[str, Any] = {"name": "root"}
        root["children"] = [{"parent": root, "name": str(n)} for n in range(100)]
        data = roundtrip({"root": root})
        self.assertEqual(100, len(data["root"]["children"]))
        self.assertIsInstance(data["root"]["children"][0]["parent"], str)
        self.assertLess(len(json.dumps(data)), 200_000)

    def test_shared_values_are_limited(self) -> None:
        """Nested references to one list, 10 ** 30 items when written out, are cut off."""
        value: list[Any] = []
        for _ in range(30):
            value = [value] * 10
        line = event_to_json(Timeline().record("note", {"value": value}))
        self.assertLess(len(line), 10_000_000)

    def test_deep_values_end_in_a_repr(self) -> None:
        """A value with thousands of levels raises no RecursionError."""
        text = event_to_json(Timeline().record("note", {"deep": nested("x", 5000)}))
        self.assertIn("...", text)

    def test_enumerable_subclasses_keep_their_value(self) -> None:
        """Subclasses of str and int are written as str and int."""

        class Name(str):
            __slots__ = ()

        self.assertEqual(
            {"name": "n", "yes": True}, roundtrip({Name("name"): Name("n"), "yes": True})
        )


class EventFromJsonTest(unittest.TestCase):
    def assert_refused(self, line: str, message: str) -> None:
        with self.assertRaises(FormatError) as caught:
            event_from_json(line)
        self.assertEqual(message, str(caught.exception))
        self.assertIsInstance(caught.exception, ValueError)

    def test_invalid_json_is_refused(self) -> None:
        """The message shows the line and the syntax error."""
        self.assert_refused(
            "{oops",
            "not a timeline event: '{oops' is no JSON (Expecting property name enclosed "
            "in double quotes: line 1 column 2 (char 1))",
        )

    def test_another_value_is_refused(self) -> None:
        """JSON that is not an object raises FormatError."""
        self.assert_refused("[1]", "not a timeline event: got [1], not an object")

    def test_another_schema_is_refused(self) -> None:
        """The message names the version in the line and the supported version."""
        self.assert_refused(
            '{"schema": 99}',
            f"cannot read a timeline event of schema 99; this itf reads schema {SCHEMA_VERSION}",
        )

    def test_other_keys_are_refused(self) -> None:
        """The message names the missing and the unknown keys."""
        event: dict[str, Any] = json.loads(event_to_json(Timeline().record("note")))
        del event["task"]
        event["extra"] = 1
        self.assert_refused(
            json.dumps(event), "not a timeline event: missing ['task'], unknown ['extra']"
        )

    def test_deep_nesting_is_refused(self) -> None:
        """Extremely nested JSON raises FormatError, not RecursionError."""
        with self.assertRaises(FormatError):
            event_from_json("[" * 200_000)


class SecretsTest(unittest.TestCase):
    SPELLINGS = (
        "password",
        "PGPASSWORD",
        "db_passwd",
        "Pass-Word",
        "auth_token",
        "accessToken",
        "client secret",
        "credentials",
        "api_key",
        "X-Api-Key",
        "apiKey",
        "API.KEY",
        "privateKey",
        "private-key",
        "Proxy-Authorization",
    )

    def test_secret_keys_in_any_spelling(self) -> None:
        """A key with a secret word is recognized, regardless of case, punctuation and context."""
        for key in self.SPELLINGS:
            with self.subTest(key=key):
                self.assertTrue(is_secret_key(key))

    def test_harmless_keys_are_not_hidden(self) -> None:
        """Values of keys without a secret word are shown."""
        for key in ("user", "passed", "key", "author", "public_key", 7, None, ("a", "b")):
            with self.subTest(key=key):
                self.assertFalse(is_secret_key(key))

    def test_secret_keys_of_other_types(self) -> None:
        """A key that is bytes or a tuple is recognized, too."""
        self.assertTrue(is_secret_key(b"password"))
        self.assertTrue(is_secret_key(("db", "password")))

    def nested_secrets(self) -> dict[str, Any]:
        secret = {"password": "hunter2"}
        return {
            "plain": secret,
            "deep": nested(secret, 5),
            "deeper than copies": nested(secret, 60),
            "deeper than JSON": nested(secret, 500),
            "in a list": [[secret]],
            "in a tuple": (secret,),
            "a mapping": types.MappingProxyType(secret),
            "an OrderedDict": collections.OrderedDict(secret),
            "a defaultdict": collections.defaultdict(str, secret),
            "a UserDict": collections.UserDict(secret),
            "in a deque": collections.deque([secret]),
            "a namedtuple": Login("me", "hunter2"),
            "a dataclass": Settings("me", "hunter2"),
            "a namespace": types.SimpleNamespace(api_key="hunter2"),
            "a quoted namespace": types.SimpleNamespace(api_key="hunter2'\""),
            "bytes in a namespace": types.SimpleNamespace(api_key=b"hunter2"),
            "a bytes key": {b"token": "hunter2"},
            "a change": {"config_path": "db.password", "old_value": "hunter2", "new_value": 1},
            "a long object": types.SimpleNamespace(a="x" * 88, password="hunter2", b="y" * 500),
        }

    def test_secrets_are_never_in_json(self) -> None:
        """The value of a secret key is hidden at any level of nesting."""
        for place, value in self.nested_secrets().items():
            with self.subTest(place=place):
                line = event_to_json(Timeline().record("note", {"value": value}))
                self.assertNotIn("hunter2", line)

    def test_secrets_are_never_in_a_description(self) -> None:
        """`Timeline.describe` hides the same values as JSON."""
        for place, value in self.nested_secrets().items():
            with self.subTest(place=place):
                timeline = Timeline()
                timeline.record("note", {"value": value})
                if isinstance(value, dict):
                    timeline.record("note", value)
                self.assertNotIn("hunter2", timeline.describe())

    def test_a_change_of_a_secret_is_hidden_by_its_path(self) -> None:
        """Old and new value of a secret path are hidden; the path is shown."""
        data = roundtrip({"config_path": "db.password", "old_value": "a", "new_value": "b"})
        self.assertEqual(
            {"config_path": "db.password", "old_value": REDACTED, "new_value": REDACTED}, data
        )


class SafeTextTest(unittest.TestCase):
    def test_a_failing_repr(self) -> None:
        """A value whose repr raises gets a substitute text; other values stay."""
        self.assertEqual("<unrepresentable Unprintable: ValueError>", safe_repr(Unprintable()))
        self.assertEqual(
            "[1, <unrepresentable Unprintable: ValueError>]", safe_repr([1, Unprintable()])
        )

    def test_a_repr_is_bounded(self) -> None:
        """Long strings, large containers and deep nesting give a short text."""
        wide: list[Any] = ["x" * 1000]
        for _ in range(6):
            wide = [wide] * 50
        cyclic: list[Any] = []
        cyclic.extend([cyclic] * 50)
        for value in ("x" * 1_000_000, wide, cyclic, nested(1, 5000), dict.fromkeys(range(10**5))):
            self.assertLessEqual(len(safe_repr(value)), 1000)

    def test_a_long_repr_takes_linear_time(self) -> None:
        """The search for secrets is linear; a quadratic one would take minutes here."""

        class Long:
            def __init__(self, text: str) -> None:
                self.text = text

            def __repr__(self) -> str:
                return self.text

        for text in ("a" * 200_000, "password" * 30_000, "api_key=" * 30_000):
            self.assertLessEqual(len(safe_repr(Long(text))), 200)

    def test_a_repr_keeps_the_order_of_a_dict(self) -> None:
        """The text of a short dict is its own repr."""
        value = {"b": 1, "a": [1, (2,)]}
        self.assertEqual(repr(value), safe_repr(value))

    def test_a_failing_str(self) -> None:
        """An exception whose ``__str__`` raises or returns no str gets a substitute text."""

        class BrokenError(Exception):
            def __str__(self) -> str:
                raise ValueError("no str")

        class OddError(Exception):
            def __str__(self) -> Any:
                return 7  # noqa: PLE0307 - on purpose

        self.assertEqual("<exception str() failed: ValueError>", safe_str(BrokenError()))
        self.assertEqual("<exception str() failed: TypeError>", safe_str(OddError()))


class CopyContainersTest(unittest.TestCase):
    def test_a_copy_does_not_change_with_its_original(self) -> None:
        """Containers at all levels are copied."""
        value: dict[str, Any] = {"a": [{"b": {1}}], "t": ([1],)}
        copied = copy_containers(value)
        value["a"][0]["b"].add(2)
        value["t"][0].append(2)
        self.assertEqual({"a": [{"b": {1}}], "t": ([1],)}, copied)

    def test_ordered_and_default_dicts_keep_their_type(self) -> None:
        """Copies of OrderedDict and defaultdict have the same type and the same order."""
        ordered = collections.OrderedDict(a=[1])
        default: Any = collections.defaultdict(list, a=[1])
        copies = copy_containers([ordered, default])
        ordered["a"].append(2)
        default["a"].append(2)
        self.assertEqual([{"a": [1]}, {"a": [1]}], copies)
        self.assertIs(collections.OrderedDict, type(copies[0]))
        self.assertEqual([], copies[1]["new"])

    def test_everything_else_is_shared(self) -> None:
        """Objects that are no containers, such as locks and exceptions, are not copied."""
        lock, error = threading.Lock(), ValueError()
        self.assertIs(lock, copy_containers({"x": [lock]})["x"][0])
        self.assertIs(error, copy_containers({"x": (error,)})["x"][0])

    def test_a_cyclic_value_is_copied_with_its_cycles(self) -> None:
        """A tree whose nodes refer to their parents is copied once."""
        root: dict[str, Any] = {}
        root["children"] = [{"parent": root} for _ in range(1000)]
        copied = copy_containers(root)
        self.assertIs(copied, copied["children"][999]["parent"])
        self.assertIsNot(root, copied)

    def test_a_deep_value_is_shared_below_the_limit(self) -> None:
        """Containers below the depth limit are shared; no depth raises RecursionError."""
        self.assertIn("inner", copy_containers(nested(1, 5000)))
