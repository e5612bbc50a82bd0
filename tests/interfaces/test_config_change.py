"""Configuration changes at run time."""

from __future__ import annotations

import asyncio
import collections
import unittest
from collections.abc import Callable
from typing import Any, ClassVar

from itf.exceptions import ConfigCycleError
from itf.formats import event_to_json
from itf.interfaces.config_change import ConfigChangeObserver, key_matches
from tests.support import in_threads, mixed_in


class ConfigTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.config = ConfigChangeObserver()

    def changes(self) -> list[tuple[str, Any, Any]]:
        return [
            (event["config_path"], event["old_value"], event["new_value"])
            for event in self.config.get_change_log()
        ]


class MixinTest(unittest.TestCase):
    def test_it_works_in_every_class_without_an_init(self) -> None:
        """It needs no __init__ call: on a plain class, and with TestCase in either base order."""
        for cls in mixed_in(ConfigChangeObserver):
            with self.subTest(cls=cls.__name__):
                first, second = cls(), cls()
                first.map_config("a", "m")
                first.register_observer(seen := [].append)
                self.assertEqual(["m"], first.on_config_change("a", 1, 2)["affected_modules"])
                self.assertEqual(1, len(seen.__self__))
                self.assertEqual([], second.on_config_change("a", 1, 2)["affected_modules"])
                self.assertEqual((1, 1), (len(first.get_change_log()), len(second.timeline)))
                self.assertEqual(1, len(seen.__self__))

    def test_eight_threads_change_at_once(self) -> None:
        """Every change is recorded and observed; changes of other threads are no cycle."""
        config = ConfigChangeObserver()
        seen: list[Any] = []
        config.register_observer(lambda event: seen.append(event["new_value"]))

        def work(number: int) -> None:
            for index in range(100):
                config.on_config_change("shared", None, (number, index))
                config.map_config(f"p{number}.{index}", "m")

        in_threads(8, work)
        expected = [(n, i) for n in range(8) for i in range(100)]
        self.assertEqual(expected, sorted(seen))
        self.assertEqual(expected, sorted(event["new_value"] for event in config.get_change_log()))
        self.assertEqual(["m"], config.get_affected_modules("p7.99"))


class ChangeTest(ConfigTestCase):
    def test_a_change_is_recorded_and_returned(self) -> None:
        """A change is an event in the standard format, in the log and on the timeline."""
        self.config.map_config("parser_timeout", "chunker.parser")
        event = self.config.on_config_change("parser_timeout", 30, 60)
        self.assertEqual(
            {
                "config_path": "parser_timeout",
                "old_value": 30,
                "new_value": 60,
                "affected_modules": ["chunker.parser"],
                "timestamp": event["timestamp"],
            },
            event,
        )
        self.assertIsInstance(event["timestamp"], float)
        self.assertEqual([event], self.config.get_change_log())
        (told,) = self.config.timeline.events("config")
        self.assertEqual(event, told["data"])

    def test_events_handed_out_are_copies(self) -> None:
        """Callers, observers and readers cannot modify the log."""
        self.config.register_observer(lambda event: event["new_value"].append("observer"))
        heard: list[Any] = []
        self.config.register_observer(lambda event: heard.append(event["new_value"]))
        value = collections.OrderedDict(a=[1])
        self.config.on_config_change("ordered", None, value["a"])
        event = self.config.on_config_change("k", None, value["a"])
        value["a"].append("owner")
        event["new_value"].append("caller")
        self.config.get_change_log()[0]["new_value"].append("reader")
        self.assertEqual([("ordered", None, [1]), ("k", None, [1])], self.changes())
        self.assertEqual([[1], [1]], heard)

    def test_a_key_that_is_no_text_is_refused(self) -> None:
        """A key that is no str raises a TypeError, and nothing is recorded."""
        with self.assertRaisesRegex(TypeError, "^config_key must be a str, got 7$"):
            self.config.on_config_change(7, 1, 2)  # type: ignore[arg-type]
        self.assertEqual([], self.changes())

    def test_the_log_can_be_asked_for_a_key(self) -> None:
        """`get_change_log` filters by the usual patterns."""
        for key in ("a.b", "a.c", "b"):
            self.config.on_config_change(key, 0, 1)
        for pattern, keys in (("b", ["a.b", "b"]), ("a.*", ["a.b", "a.c"]), ("x", [])):
            log = self.config.get_change_log(pattern)
            self.assertEqual(keys, [event["config_path"] for event in log])

    def test_secrets_are_neither_in_json_nor_in_a_description(self) -> None:
        """Secrets are redacted, also inside a changed container."""
        self.config.on_config_change("db.password", "hunter2", "hunter2")
        self.config.on_config_change("db", {"Api-Key": "hunter2"}, None)
        text = self.config.timeline.describe()
        text += "".join(map(event_to_json, self.config.timeline))
        self.assertNotIn("hunter2", text)
        self.assertIn("config: db.password: <redacted> -> <redacted>", text)


class AffectedModulesTest(ConfigTestCase):
    def test_a_pattern_matches_a_key_a_run_of_segments_or_a_glob(self) -> None:
        """A pattern does not match a mere substring of a key."""
        for pattern, key, matches in (
            ("chunk_types", "chunk_types", True),
            ("chunk_types", "languages.python.chunk_types", True),
            ("python.chunk_types", "languages.python.chunk_types", True),
            ("languages.python", "languages.python.chunk_types", True),
            ("python", "languages.python.chunk_types", True),
            ("chunk_types", "my_chunk_types", False),
            ("chunk_types", "chunk_types_2", False),
            ("languages.chunk_types", "languages.python.chunk_types", False),
            ("languages.*", "languages.python.chunk_types", True),
            ("*_timeout", "parser_timeout", True),
            ("*_timeout", "parser_timeouts", False),
            ("p?rser.[st]*", "parser.timeout", True),
            ("Parser", "parser", False),
            ("", "parser", False),
            ("item[0]", "list.item[0]", True),
        ):
            with self.subTest(pattern=pattern, key=key):
                self.assertIs(matches, key_matches(pattern, key))

    def test_all_matching_patterns_count_each_module_once_in_mapping_order(self) -> None:
        """Patterns of the class precede those of the object; each module appears once."""

        class Mapped(ConfigChangeObserver):
            config_modules: ClassVar[Any] = {"timeout": ["c", "a"], "other": ["x"]}

        config = Mapped()
        config.map_config("parser.*", "b", "a")
        config.map_config("parser.*", "d")
        self.assertEqual(["c", "a", "b", "d"], config.get_affected_modules("parser.timeout"))
        self.assertEqual(["c", "a"], Mapped().get_affected_modules("parser.timeout"))

    def test_an_unknown_key_affects_the_default(self) -> None:
        """An unknown key affects the default modules; by default none."""

        class Defaulted(ConfigChangeObserver):
            default_affected_modules: ClassVar[Any] = ("core",)

        config = Defaulted()
        config.map_config("known", "m")
        self.assertEqual(["core"], config.get_affected_modules("unknown"))
        self.assertEqual(["m"], config.get_affected_modules("known"))
        self.assertEqual([], self.config.get_affected_modules("unknown"))

    def test_a_lone_str_of_modules_is_refused(self) -> None:
        """A str instead of a list of modules raises an error with a suggestion."""

        class Slip(ConfigChangeObserver):
            config_modules: ClassVar[Any] = {"a": "core"}
            default_affected_modules: ClassVar[Any] = "core"

        for key in ("a", "b"):
            with self.assertRaises(TypeError) as caught:
                Slip().get_affected_modules(key)
            self.assertEqual(
                "expected a list of modules, got the str 'core'; did you mean ['core']?",
                str(caught.exception),
            )

    def test_map_config_takes_names(self) -> None:
        """A list instead of separate arguments raises an error with a suggestion."""
        with self.assertRaises(TypeError) as caught:
            self.config.map_config("a", ["m"])  # type: ignore[arg-type]
        self.assertEqual(
            "map_config takes a pattern and names of modules, got ['m']; "
            "pass a list as map_config(pattern, *modules)",
            str(caught.exception),
        )


class ObserverTest(ConfigTestCase):
    def test_observers_are_called_in_order_after_the_recording(self) -> None:
        """Observers receive recorded events; an observer with a key only the matching ones."""
        calls: list[Any] = []
        self.config.register_observer(lambda event: calls.append(("all", len(self.changes()))))
        self.config.register_observer(lambda event: calls.append("timeout"), key="timeout")
        self.config.register_observer(lambda event: calls.append("glob"), key="par*")
        self.config.on_config_change("parser.timeout", 1, 2)
        self.config.on_config_change("cache.size", 1, 2)
        self.assertEqual([("all", 1), "timeout", "glob", ("all", 2)], calls)

    def test_a_handle_ends_it(self) -> None:
        """`unregister` or the end of the ``with`` ends a registration."""
        calls: list[str] = []
        with self.config.register_observer(lambda event: calls.append("with")):
            self.config.on_config_change("a", 1, 2)
        handle = self.config.register_observer(lambda event: calls.append("handle"))
        self.config.on_config_change("a", 1, 2)
        handle.unregister()
        self.config.on_config_change("a", 1, 2)
        self.assertEqual(["with", "handle"], calls)

    def test_a_failing_observer_stops_neither_the_others_nor_the_event(self) -> None:
        """All observers run; then an ExceptionGroup contains their errors."""
        calls: list[str] = []
        errors = [ValueError("1"), KeyError("2")]

        def fail(error: Exception) -> Callable[[Any], None]:
            def observer(event: Any) -> None:
                raise error

            return observer

        for observer in (
            fail(errors[0]),
            lambda event: calls.append("a"),
            fail(errors[1]),
            lambda event: calls.append("b"),
        ):
            self.config.register_observer(observer)
        with self.assertRaises(ExceptionGroup) as caught:
            self.config.on_config_change("k", 1, 2)
        self.assertEqual("2 observers failed on the change of 'k'", caught.exception.message)
        self.assertEqual(tuple(errors), caught.exception.exceptions)
        self.assertEqual(["a", "b"], calls)
        self.assertEqual([("k", 1, 2)], self.changes())

    def test_a_base_exception_of_an_observer_goes_through(self) -> None:
        """A KeyboardInterrupt propagates, and the change is no longer in progress."""

        def interrupt(event: Any) -> None:
            raise KeyboardInterrupt

        handle = self.config.register_observer(interrupt)
        with self.assertRaises(KeyboardInterrupt):
            self.config.on_config_change("k", 1, 2)
        handle.unregister()
        self.config.on_config_change("k", 1, 2)  # is no cycle

    def test_no_lock_is_held_while_observers_run(self) -> None:
        """While an observer waits, another thread can change configuration."""
        self.config.register_observer(
            lambda event: in_threads(1, lambda _: self.config.on_config_change("inner", 1, 2)),
            key="outer",
        )
        self.config.on_config_change("outer", 1, 2)
        self.assertEqual(["outer", "inner"], [key for key, _, _ in self.changes()])

    def test_an_observer_may_change_configuration(self) -> None:
        """An observer may change other keys, and correct its own key."""
        settings: dict[str, Any] = {"size": 1, "derived": 1}
        watched = self.config.watch_config(settings)

        def clamp(event: Any) -> None:
            watched["size"] = min(watched["size"], 100)

        def derive(event: Any) -> None:
            watched["derived"] = event["new_value"] * 2

        self.config.register_observer(clamp, key="size")
        self.config.register_observer(derive, key="size")
        watched["size"] = 500
        self.assertEqual({"size": 100, "derived": 1000}, settings)
        self.assertEqual(
            [
                ("size", 1, 500),
                ("size", 500, 100),
                ("derived", 1, 200),
                ("derived", 200, 1000),
            ],
            self.changes(),
        )

    def test_a_task_that_an_observer_started_is_on_its_own(self) -> None:
        """A later change of the same key, by a task that an observer started, is no cycle."""

        async def main() -> None:
            tasks: list[asyncio.Task[None]] = []

            async def later() -> None:
                handle.unregister()
                self.config.on_config_change("k", 1, 2)

            handle = self.config.register_observer(
                lambda event: tasks.append(asyncio.get_running_loop().create_task(later()))
            )
            self.config.on_config_change("k", 1, 2)
            await tasks[0]

        asyncio.run(main())
        self.assertEqual(2, len(self.changes()))


class CycleTest(ConfigTestCase):
    def circle(self, *keys: str, value: Callable[[], Any]) -> None:
        """Register an observer for each key that changes the next key."""
        for key, following in zip(keys, [*keys[1:], keys[0]], strict=True):
            self.config.register_observer(
                lambda event, following=following: self.config.on_config_change(
                    following, None, value()
                ),
                key=key,
            )

    def cycle_of(self, key: str) -> ConfigCycleError:
        with self.assertRaises(ConfigCycleError) as caught:
            self.config.on_config_change(key, None, "first")
        return caught.exception

    def counter(self) -> Callable[[], int]:
        numbers = iter(range(10**9))
        return lambda: next(numbers)

    def test_cycles_of_one_two_and_three_keys(self) -> None:
        """The ConfigCycleError lists the keys, the first one again at the end."""
        for keys in (("a",), ("a", "b"), ("a", "b", "c")):
            with self.subTest(keys=keys):
                self.config = ConfigChangeObserver()
                self.circle(*keys, value=lambda: "same")
                error = self.cycle_of("a")
                turned = error.keys[:-1]
                start = turned.index("a")
                self.assertEqual(keys, turned[start:] + turned[:start])
                self.assertEqual(error.keys[0], error.keys[-1])
                self.assertEqual(
                    f"configuration changes in a cycle: {' -> '.join(error.keys)}; "
                    "an observer of each of these keys changes the next: break the cycle, "
                    "or change a key only if its value differs",
                    str(error),
                )

    def test_cycles_whose_values_never_repeat(self) -> None:
        """A cycle that increments a value is detected too; one round is listed."""
        for keys in (("a",), ("a", "b"), ("a", "b", "c")):
            with self.subTest(keys=keys):
                self.config = ConfigChangeObserver()
                self.circle(*keys, value=self.counter())
                self.assertEqual((*keys, "a"), self.cycle_of("a").keys)
                self.assertLess(len(self.changes()), 50)

    def test_a_large_cycle_is_no_recursion_error(self) -> None:
        """Sixty keys, and an endless chain of new keys, raise a ConfigCycleError."""
        self.circle(*(f"k{n}" for n in range(60)), value=self.counter())
        error = self.cycle_of("k0")
        self.assertEqual("k0", error.keys[0])
        self.assertIsNone(error.__cause__)

        self.config = ConfigChangeObserver()
        numbers = self.counter()
        self.config.register_observer(
            lambda event: self.config.on_config_change(f"n{numbers()}", None, 1)
        )
        self.assertEqual(("start", "n0", "n1"), self.cycle_of("start").keys[:3])

    def test_a_cycle_with_many_observers_ends_soon(self) -> None:
        """Four observers that each change the key do not make 4 ** 8 changes."""
        numbers = self.counter()
        for _ in range(4):
            self.circle("a", value=numbers)
        self.assertEqual(("a", "a"), self.cycle_of("a").keys)
        self.assertLess(len(self.changes()), 50)
        self.config = ConfigChangeObserver()
        for _ in range(4):
            self.config.register_observer(
                lambda event: self.config.on_config_change(f"n{numbers()}", None, 1)
            )
        self.cycle_of("start")
        self.assertLess(len(self.changes()), 300)

    def test_a_cycle_through_a_watched_mapping(self) -> None:
        """Two settings that change each other raise a ConfigCycleError, no RecursionError."""
        watched = self.config.watch_config({"a": 0, "b": 0})

        def bump(key: str) -> Callable[[Any], None]:
            return lambda event: watched.update({key: event["new_value"] + 1})

        self.config.register_observer(bump("b"), key="a")
        self.config.register_observer(bump("a"), key="b")
        with self.assertRaises(ConfigCycleError) as caught:
            watched["a"] = 1
        self.assertEqual(("a", "b", "a"), caught.exception.keys)

    def test_what_else_failed_on_the_way_is_the_cause(self) -> None:
        """Other failures in every round of the cycle are its cause."""
        self.circle("a", "b", value=lambda: "same")
        for key in ("a", "b"):

            def fail(event: Any, key: str = key) -> None:
                raise ValueError(key)

            self.config.register_observer(fail, key=key)
        cause = self.cycle_of("a").__cause__
        assert isinstance(cause, ExceptionGroup)
        found: list[str] = []

        def leaves(error: BaseException) -> None:
            if isinstance(error, BaseExceptionGroup):
                for member in error.exceptions:
                    leaves(member)
            else:
                found.append(str(error))

        leaves(cause)
        self.assertEqual({"a", "b"}, set(found))

    def test_two_objects_in_one_cycle(self) -> None:
        """A cycle over two objects lists the keys of both."""
        other = ConfigChangeObserver()
        self.config.register_observer(lambda event: other.on_config_change("theirs", None, 1))
        other.register_observer(lambda event: self.config.on_config_change("ours", None, 1))
        with self.assertRaises(ConfigCycleError) as caught:
            self.config.on_config_change("ours", None, 1)
        self.assertEqual(("ours", "theirs", "ours"), caught.exception.keys)

    def test_after_a_cycle_changes_are_possible(self) -> None:
        """After a cycle, the same key can change again."""
        handle = self.config.register_observer(
            lambda event: self.config.on_config_change("a", None, "first")
        )
        self.cycle_of("a")
        handle.unregister()
        event = self.config.on_config_change("a", None, "first")
        self.assertEqual(event, self.config.get_change_log()[-1])


class OverrideTest(ConfigTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.inner = {"timeout": 30}
        self.settings: dict[str, Any] = {"size": 1, "parser": self.inner, "dotted.key": 1}
        self.before = {"size": 1, "parser": {"timeout": 30}, "dotted.key": 1}

    def test_it_sets_and_restores_both_as_events(self) -> None:
        """The change and the restoration are events; the mapping is returned watched."""
        with self.config.override_config(self.settings, size=2) as watched:
            self.assertEqual(2, self.settings["size"])
            watched["size"] = 3
        self.assertEqual(self.before, self.settings)
        self.assertEqual([("size", 1, 2), ("size", 2, 3), ("size", 3, 1)], self.changes())

    def test_it_restores_when_the_body_raises(self) -> None:
        """An error of the body restores the configuration and propagates."""
        with self.assertRaises(KeyError), self.config.override_config(self.settings, size=2):
            raise KeyError
        self.assertEqual(self.before, self.settings)
        self.assertEqual([("size", 1, 2), ("size", 2, 1)], self.changes())

    def test_new_keys_are_removed(self) -> None:
        """New keys are removed, unless the body has removed them."""
        with self.config.override_config(self.settings, new=1, other=2):
            del self.settings["other"]
        self.assertEqual(self.before, self.settings)
        self.assertEqual([("new", None, 1), ("other", None, 2), ("new", 1, None)], self.changes())

    def test_a_key_that_the_body_removed_comes_back(self) -> None:
        """A key that the body removed is restored."""
        with self.config.override_config(self.settings, size=2) as watched:
            del watched["size"]
        self.assertEqual(self.before, self.settings)

    def test_dotted_keys_reach_inside_unless_they_are_keys(self) -> None:
        """A dotted key addresses nested mappings, unless that exact key exists."""
        with self.config.override_config(
            self.settings,
            **{"parser.timeout": 5, "parser.new": 1, "dotted.key": 2, "no.where": 3},
        ):
            self.assertEqual(
                {
                    "size": 1,
                    "parser": {"timeout": 5, "new": 1},
                    "dotted.key": 2,
                    "no.where": 3,
                },
                self.settings,
            )
        self.assertEqual(self.before, self.settings)
        self.assertEqual(("parser.timeout", 30, 5), self.changes()[0])
        self.assertEqual(("parser.timeout", 5, 30), self.changes()[-1])

    def test_the_very_same_object_is_restored(self) -> None:
        """The original object is restored, no copy and no view."""
        with self.config.override_config(self.settings, parser={"timeout": 1}):
            self.assertIsNot(self.inner, self.settings["parser"])
        self.assertIs(self.inner, self.settings["parser"])

    def test_overrides_nest(self) -> None:
        """Each override restores what was there before it."""
        with self.config.override_config(self.settings, size=2):
            with self.config.override_config(self.settings, size=3, **{"parser.timeout": 4}):
                self.assertEqual((3, 4), (self.settings["size"], self.inner["timeout"]))
            self.assertEqual((2, 30), (self.settings["size"], self.inner["timeout"]))
        self.assertEqual(self.before, self.settings)

    def test_it_restores_though_observers_fail(self) -> None:
        """If an observer fails on the first change, all keys are restored."""

        def fail(event: Any) -> None:
            raise ValueError(event["new_value"])

        self.config.register_observer(fail)
        with (
            self.assertRaises(ExceptionGroup),
            self.config.override_config(self.settings, size=2, **{"parser.timeout": 3}),
        ):
            self.fail("the body must not run")  # pragma: no cover
        self.assertEqual(self.before, self.settings)

    def test_it_restores_all_though_observers_fail_then(self) -> None:
        """If an observer fails on a restoration, the other keys are still restored."""

        def fail(event: Any) -> None:
            raise ValueError

        with (
            self.assertRaises(ExceptionGroup),
            self.config.override_config(self.settings, size=2, **{"parser.timeout": 3}),
        ):
            handle = self.config.register_observer(fail)
        handle.unregister()
        self.assertEqual(self.before, self.settings)

    def test_keys_may_have_the_names_of_parameters(self) -> None:
        """``self`` and ``mapping`` can be keys."""
        with self.config.override_config(self.settings, self=1, mapping=2):
            self.assertEqual((1, 2), (self.settings["self"], self.settings["mapping"]))
        self.assertEqual(self.before, self.settings)

    def test_what_cannot_be_changed_is_refused(self) -> None:
        """An immutable mapping raises a TypeError."""
        with self.assertRaisesRegex(
            TypeError, "^expected a mapping that can be changed, got 'settings'$"
        ):
            self.config.watch_config("settings")  # type: ignore[arg-type]
