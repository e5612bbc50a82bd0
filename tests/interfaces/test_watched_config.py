"""Views of configuration that report changes."""

from __future__ import annotations

import collections
import unittest
from typing import Any

from itf.interfaces.config_change import ConfigChangeObserver
from itf.interfaces.watched_config import WatchedList, WatchedMapping, same_value


class WatchedTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.events: list[tuple[str, Any, Any]] = []
        self.raw: dict[str, Any] = {"a": 1, "n": {"b": {"c": 2}}, "l": [1, {"x": 1}]}
        self.config: Any = WatchedMapping(self.raw, "", self.note)

    def note(self, path: str, old: Any, new: Any) -> None:
        self.events.append((path, old, new))

    def assert_events(self, *events: tuple[str, Any, Any]) -> None:
        self.assertEqual(list(events), self.events)
        self.events.clear()


class WatchedMappingTest(WatchedTestCase):
    def test_setting_an_item(self) -> None:
        """A new item or another value is a change; an equal value is not."""
        self.config["a"] = 2
        self.config["new"] = 3
        self.config["none"] = None
        self.assert_events(("a", 1, 2), ("new", None, 3), ("none", None, None))
        self.config["a"] = 2
        self.config["none"] = None
        self.assert_events()
        self.assertEqual((2, 3), (self.raw["a"], self.raw["new"]))

    def test_a_value_of_a_class_that_cannot_be_compared(self) -> None:
        """The ``==`` of the value's metaclass is not called."""

        class Meta(type):
            def __eq__(cls, other: object) -> bool:
                raise RuntimeError("== was called")

            __hash__ = type.__hash__

        class Uncomparable(metaclass=Meta): ...

        value = Uncomparable()
        self.config["new"] = value
        self.assert_events(("new", None, value))

    def test_deleting_an_item(self) -> None:
        """Deleting a missing key is a KeyError without an event."""
        del self.config["a"]
        self.assert_events(("a", 1, None))
        with self.assertRaises(KeyError):
            del self.config["a"]
        self.assert_events()

    def test_update_and_ior(self) -> None:
        """Each changed item is one event."""
        self.config.update({"a": 2, "x": 1}, y=2)
        self.config |= {"a": 2, "z": 3}
        self.assertIsInstance(self.config, WatchedMapping)
        self.assert_events(("a", 1, 2), ("x", None, 1), ("y", None, 2), ("z", None, 3))

    def test_pop(self) -> None:
        """The value is returned unwatched; returning the default is no change."""
        self.assertEqual(1, self.config.pop("a"))
        self.assertIs(self.raw["n"], self.config["n"].raw)
        inner = self.raw["n"]
        self.assertIs(inner, self.config.pop("n"))
        self.assertEqual(7, self.config.pop("a", 7))
        with self.assertRaises(KeyError):
            self.config.pop("a")
        self.assert_events(("a", 1, None), ("n", inner, None))

    def test_popitem_and_clear(self) -> None:
        """popitem removes the last item, as in a dict; clear is an event for each item."""
        self.assertEqual(("l", [1, {"x": 1}]), self.config.popitem())
        self.assert_events(("l", [1, {"x": 1}], None))
        self.config.clear()
        self.assert_events(("n", {"b": {"c": 2}}, None), ("a", 1, None))
        with self.assertRaises(KeyError):
            self.config.popitem()
        self.assertEqual({}, self.raw)

    def test_setdefault(self) -> None:
        """Only a missing key is a change; the returned value is watched."""
        self.assertEqual(1, self.config.setdefault("a", 2))
        self.config.setdefault("m", {})["k"] = 1
        self.assert_events(("m", None, {"k": 1}), ("m.k", None, 1))

    def test_nested_changes_have_a_dotted_path(self) -> None:
        """Nested values are watched whether read by item, get, values or items."""
        self.config["n"]["b"]["c"] = 3
        self.config.get("n")["b"]["c"] = 4
        for key, value in self.config.items():
            if key == "n":
                value["b"]["c"] = 5
        next(value for value in self.config.values() if value == {"b": {"c": 5}})["b"]["c"] = 6
        self.assert_events(*(("n.b.c", value - 1, value) for value in (3, 4, 5, 6)))

    def test_reading_changes_nothing(self) -> None:
        """Reading a defaultdict creates no items."""
        raw: Any = collections.defaultdict(dict, a=1)
        config = WatchedMapping(raw, "", self.note)
        self.assertNotIn("x", config)
        self.assertIn("a", config)
        self.assertIsNone(config.get("x"))
        self.assertEqual(7, config.get("x", 7))
        self.assertEqual((1, ["a"]), (len(config), list(config)))
        self.assert_events()
        self.assertEqual({"a": 1}, raw)

    def test_it_is_equal_to_what_is_behind_it(self) -> None:
        """A view equals its mapping and views of equal mappings; its repr shows the mapping."""
        self.assertEqual(self.raw, self.config)
        self.assertEqual(WatchedMapping(dict(self.raw), "", self.note), self.config)
        self.assertNotEqual({}, self.config)
        self.assertEqual("WatchedMapping({'b': {'c': 2}})", repr(self.config["n"]))
        with self.assertRaises(TypeError):
            hash(self.config)

    def test_a_copy_is_a_plain_dict(self) -> None:
        """A copy contains the user's own values, unwatched."""
        copied = self.config.copy()
        self.assertIs(dict, type(copied))
        self.assertIs(self.raw["n"], copied["n"])
        copied["a"] = 2
        self.assert_events()

    def test_the_users_mapping_never_holds_a_view(self) -> None:
        """Setting a value that was read from a view stores the original value."""
        self.config["again"] = self.config["n"]
        self.config["dict"] = dict(self.config["n"])
        self.config["list"] = [self.config["n"]]
        self.config["l"] += [self.config["n"]]
        self.config["l"][0] = self.config["n"]
        inner = self.raw["n"]
        self.assertIs(inner, self.raw["again"])
        self.assertIs(inner["b"], self.raw["dict"]["b"])
        self.assertIs(inner, self.raw["list"][0])
        self.assertIs(inner, self.raw["l"][-1])
        self.assertIs(inner, self.raw["l"][0])

    def test_keys_that_are_no_text(self) -> None:
        """The path contains the str of such a key."""
        config: Any = WatchedMapping({}, "root", self.note)
        config[7] = 1
        self.assert_events(("root.7", None, 1))

    def test_a_mapping_that_refuses_changes_nothing(self) -> None:
        """A failed change is no event."""

        class Refusing(dict[str, Any]):
            def __setitem__(self, key: str, value: Any) -> None:
                raise PermissionError

        config = WatchedMapping(Refusing(a=1), "", self.note)
        with self.assertRaises(PermissionError):
            config["a"] = 2
        self.assert_events()


class WatchedListTest(WatchedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.raw["l"] = [3, 1, 2]
        self.list: Any = self.config["l"]

    def test_every_change_is_one_event_of_the_whole_list(self) -> None:
        """Every mutating method of a list is one event."""

        def set_item(items: Any) -> None:
            items[0] = 9

        def set_slice(items: Any) -> None:
            items[1:] = iter([8, 7, 6])

        def del_item(items: Any) -> None:
            del items[-1]

        def del_slice(items: Any) -> None:
            del items[::2]

        def iadd(items: Any) -> None:
            items += (4, 5)

        def imul(items: Any) -> None:
            items *= 2

        for change in (
            set_item,
            set_slice,
            del_item,
            del_slice,
            iadd,
            imul,
            lambda items: items.append(4),
            lambda items: items.extend(iter((4, 5))),
            lambda items: items.insert(1, 4),
            lambda items: items.pop(),
            lambda items: items.pop(0),
            lambda items: items.remove(1),
            lambda items: items.reverse(),
            lambda items: items.sort(),
            lambda items: items.sort(key=lambda n: -n, reverse=True),
            lambda items: items.clear(),
        ):
            expected = [3, 1, 2]
            change(expected)
            self.raw["l"][:] = [3, 1, 2]
            change(self.list)
            self.assertEqual(expected, self.raw["l"])
            self.assert_events(("l", [3, 1, 2], expected))

    def test_what_changes_nothing_is_no_event(self) -> None:
        """A call without effect, or that fails, is no event."""
        self.list.extend([])
        self.list[0] = 3
        self.list.sort(key=lambda n: 0)
        for fail in (
            lambda: self.list.remove(99),
            lambda: self.list.pop(99),
            lambda: self.list.__setitem__(99, 1),
            lambda: self.list.__getitem__(99),
        ):
            self.assertRaises((ValueError, IndexError), fail)
        self.assert_events()

    def test_reading(self) -> None:
        """Reading works as from a list."""
        self.assertEqual([3, 1, 2], self.list)
        self.assertEqual([3, 1, 2], list(self.list))
        self.assertEqual([2, 1, 3], list(reversed(self.list)))
        self.assertEqual((3, 1, 1), (len(self.list), self.list.index(1), self.list.count(1)))
        self.assertIn(1, self.list)
        self.assertEqual([1, 2], self.list[1:])
        four = [4]
        self.assertEqual([3, 1, 2, 4], self.list + four)
        self.assertEqual([4, 3, 1, 2], four + self.list)
        self.assertIs(list, type(self.list.copy()))
        self.assertEqual("WatchedList([3, 1, 2])", repr(self.list))
        self.assert_events()

    def test_changes_inside_are_seen_under_their_place(self) -> None:
        """Items read by index, negative index, slice or loop report under their index."""
        self.raw["l"] = [0, {"x": 1}, [{"y": 1}]]
        items = self.config["l"]
        items[1]["x"] = 2
        items[-2]["x"] = 3
        items[1:2][0]["x"] = 4
        for item in items:
            if item == {"x": 4}:
                item["x"] = 5
        items[2][0]["y"] = 2
        self.assert_events(
            ("l.1.x", 1, 2), ("l.1.x", 2, 3), ("l.1.x", 3, 4), ("l.1.x", 4, 5), ("l.2.0.y", 1, 2)
        )

    def test_what_was_popped_is_no_longer_watched(self) -> None:
        """A popped value is no longer part of the configuration."""
        self.raw["l"] = [{"x": 1}]
        self.config["l"].pop()["x"] = 2
        self.assert_events(("l", [{"x": 2}], []))


class SameValueTest(unittest.TestCase):
    def test_equal_values_of_one_type_are_the_same(self) -> None:
        """1, True and 1.0 are equal, but different settings."""
        self.assertTrue(same_value([1], [1]))
        for old, new in ((1, True), (1, 1.0), ((1,), [1]), (None, 0)):
            self.assertFalse(same_value(old, new))

    def test_what_cannot_be_compared_has_changed(self) -> None:
        """A failing or non-boolean ``==`` counts as a change."""

        class Array:
            def __eq__(self, other: object) -> Any:
                raise ValueError("ambiguous")

            __hash__ = None  # type: ignore[assignment]

        array = Array()
        self.assertTrue(same_value(array, array))
        self.assertFalse(same_value(array, Array()))
        first: list[Any] = []
        first.append(first)
        second: list[Any] = []
        second.append(second)
        self.assertFalse(same_value(first, second))


class WatchConfigTest(unittest.TestCase):
    def test_watching_twice_by_the_same_is_the_same(self) -> None:
        """Watching a view again does not report changes twice."""
        config = ConfigChangeObserver()
        watched = config.watch_config({"a": {"b": 1}})
        self.assertIs(watched, config.watch_config(watched))
        config.watch_config(watched["a"])["b"] = 2
        self.assertEqual(["a.b"], [event["config_path"] for event in config.get_change_log()])

    def test_two_can_watch_one_mapping(self) -> None:
        """A view of another object's view reports to both, also for nested values."""
        first, second = ConfigChangeObserver(), ConfigChangeObserver()
        raw: dict[str, Any] = {"a": {"b": 1}, "l": [{"c": 1}]}
        watched: Any = second.watch_config(first.watch_config(raw))
        watched["a"]["b"] = 2
        watched["l"][0]["c"] = 2
        watched["l"].append(watched["a"])
        inner = watched.pop("a")
        for config in (first, second):
            self.assertEqual(
                ["a.b", "l.0.c", "l", "a"],
                [event["config_path"] for event in config.get_change_log()],
            )
            self.assertIs(dict, type(config.get_change_log()[-1]["old_value"]))
        self.assertIs(dict, type(inner))
        self.assertIs(inner, raw["l"][1])

    def test_views_of_lists_are_of_their_class(self) -> None:
        """Nested lists are watched lists."""
        self.assertIsInstance(ConfigChangeObserver().watch_config({"l": []})["l"], WatchedList)
