"""Resources: ownership and leaks."""

from __future__ import annotations

import gc
import sys
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

from itf.exceptions import ResourceError
from itf.fork_safety import fork_safe_lock
from itf.interfaces.resource_tracking import ResourceTracker
from tests.support import in_threads, mixed_in


class TrackerTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.tracker = ResourceTracker()

    def ids(self, **only: Any) -> list[str]:
        return [record["resource_id"] for record in self.tracker.get_all_resources(**only)]

    def states(self) -> list[str]:
        return [event["data"]["state"] for event in self.tracker.timeline.events("resource")]

    def assert_refused(
        self, message: str, owner: str | None, function: Callable[..., object], *args: Any
    ) -> None:
        with self.assertRaises(ResourceError) as caught:
            function(*args)
        self.assertRegex(str(caught.exception), f"^{message}$")
        self.assertEqual(owner, caught.exception.owner_module)


class MixinTest(unittest.TestCase):
    def test_it_works_in_every_class_without_an_init(self) -> None:
        """It needs no __init__ call: on a plain class, and with TestCase in either base order."""
        for cls in mixed_in(ResourceTracker):
            with self.subTest(cls=cls.__name__):
                first, second = cls(), cls()
                first.track_resource("m", "lock", "r")
                self.assertIsNone(second.get_resource_state("r"))
                second.track_resource("m", "lock", "r")
                second.release_resource("r")
                self.assertEqual("active", first.get_resource_state("r"))
                self.assertEqual(1, len(first.timeline))

    def test_a_subclass_may_use_short_private_names(self) -> None:
        """All attributes of itf on the object begin with ``_itf_``."""
        names = [
            name
            for cls in ResourceTracker.__mro__[:-1]
            for name in vars(cls)
            if name.startswith("_") and not name.startswith("__")
        ]
        self.assertEqual([], [name for name in names if not name.startswith("_itf_")])
        tracker = ResourceTracker()
        tracker.track_resource("m", "lock", "r")
        self.assertEqual([], [name for name in vars(tracker) if not name.startswith("_itf_")])

    def test_eight_threads_at_once(self) -> None:
        """No resource is lost; of eight threads that track one id, one succeeds."""
        tracker = ResourceTracker()
        refused: list[int] = []

        def work(number: int) -> None:
            for index in range(100):
                tracker.track_resource(f"m{number}", "lock", f"{number}.{index}")
                try:
                    tracker.track_resource("shared", "lock", f"shared.{index}")
                except ResourceError:
                    refused.append(index)
                if index % 2:
                    tracker.release_resource(f"{number}.{index}")
                tracker.verify_cleanup(f"m{number}")

        in_threads(8, work)
        self.assertEqual(sorted(list(range(100)) * 7), sorted(refused))
        for number in range(8):
            self.assertEqual(
                [f"{number}.{index}" for index in range(0, 100, 2)],
                [record["resource_id"] for record in tracker.verify_cleanup(f"m{number}")],
            )
        self.assertEqual(900, len(tracker.get_all_resources()))


class TrackTest(TrackerTestCase):
    def test_a_record_has_the_standard_keys(self) -> None:
        """A record has ``released_at`` once it is released."""
        record = self.tracker.track_resource("m", "process", "r", metadata={"pid": 1})
        self.assertEqual(
            {
                "resource_id": "r",
                "resource_type": "process",
                "owner_module": "m",
                "created_at": record["created_at"],
                "state": "active",
                "metadata": {"pid": 1},
            },
            record,
        )
        released = self.tracker.release_resource("r")
        self.assertEqual(
            {**record, "state": "released", "released_at": released["released_at"]}, released
        )
        self.assertIsInstance(record["created_at"], float)
        self.assertGreaterEqual(released["released_at"], record["created_at"])

    def test_it_is_on_the_timeline(self) -> None:
        """Tracking, leak and release are events."""
        self.tracker.track_resource("m", "lock", "r")
        self.tracker.verify_cleanup()
        self.tracker.verify_cleanup()  # already leaked: no second event
        self.tracker.release_resource("r")
        self.assertEqual(["active", "leaked", "released"], self.states())

    def test_the_timeline_has_the_tracking_though_it_is_released_at_once(self) -> None:
        """The event of tracking has state ``active``, even if another thread releases at once."""
        open_life = self.tracker._itf_ledger.open

        def open_and_release(life: Any) -> None:
            open_life(life)
            self.tracker._itf_ledger.close(life)

        with mock.patch.object(self.tracker._itf_ledger, "open", open_and_release):
            record = self.tracker.track_resource("m", "lock", "r")
        self.assertEqual(("active", ["active"]), (record["state"], self.states()))

    def test_records_handed_out_are_copies(self) -> None:
        """Changing a record or the caller's metadata changes nothing in the tracker."""
        metadata = {"items": [1]}
        records: list[Any] = [self.tracker.track_resource("m", "lock", "r", metadata=metadata)]
        metadata["items"].append(2)
        records += self.tracker.get_all_resources()
        records += self.tracker.verify_cleanup()
        for record in records:
            record["metadata"]["items"].append(3)
            record["state"] = "broken"
        (kept,) = self.tracker.get_all_resources()
        self.assertEqual(("leaked", {"items": [1]}), (kept["state"], kept["metadata"]))

    def test_tracking_an_id_that_is_active_is_refused(self) -> None:
        """The error contains the id, its owner and where it was tracked; also for a leaked id."""
        self.tracker.track_resource("m", "lock", "r")
        message = (
            r"resource 'r' is tracked already: a lock owned by m, tracked at "
            r".*test_resource_tracking\.py:\d+ in TrackTest\.test_tracking_an_id_that_is_active"
            r"_is_refused; release it first"
        )
        self.assert_refused(message, "m", self.tracker.track_resource, "other", "x", "r")
        self.tracker.verify_cleanup()
        self.assert_refused(message, "m", self.tracker.track_resource, "other", "x", "r")
        self.assertEqual(["r"], self.ids())

    def test_releasing_twice_is_refused(self) -> None:
        """The error contains the id, its owner and where it was tracked."""
        self.tracker.track_resource("m", "lock", "r")
        self.tracker.release_resource("r")
        self.assert_refused(
            r"resource 'r' was released before: a lock owned by m, tracked at "
            r".*test_resource_tracking\.py:\d+ in .*twice_is_refused; release it once",
            "m",
            self.tracker.release_resource,
            "r",
        )

    def test_releasing_an_unknown_id_is_refused(self) -> None:
        """The error lists at most five tracked ids, in case of a typo."""
        message = (
            r"cannot release 'x': no resource of this id was tracked "
            r"\(not released so far: {}\); track it when it is allocated"
        )
        self.assert_refused(message.format("none"), None, self.tracker.release_resource, "x")
        for number in range(9):
            self.tracker.track_resource("m", "lock", f"r{number}")
        self.assert_refused(
            message.format("'r0', 'r1', 'r2', 'r3', 'r4'"), None, self.tracker.release_resource, "x"
        )

    def test_a_released_id_may_be_tracked_again(self) -> None:
        """The earlier resource stays in the history."""
        self.tracker.track_resource("m", "lock", "r")
        self.tracker.release_resource("r")
        self.tracker.track_resource("n", "file", "r")
        self.assertEqual("active", self.tracker.get_resource_state("r"))
        self.assertEqual(
            [("m", "released"), ("n", "active")],
            [(r["owner_module"], r["state"]) for r in self.tracker.get_all_resources()],
        )

    def test_names_that_are_no_text_are_refused(self) -> None:
        """The message contains the argument and its value."""
        for args, message in (
            ((1, "t", "i"), r"^module must be a str, got 1 \(int\)$"),
            (("m", None, "i"), r"^resource_type must be a str, got None \(NoneType\)$"),
            (("m", "t", b"i"), r"^resource_id must be a str, got b'i' \(bytes\)$"),
        ):
            with self.assertRaisesRegex(TypeError, message):
                self.tracker.track_resource(*args)  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "^resource_id must be a str"):
            self.tracker.release_resource(7)  # type: ignore[arg-type]


class QueryTest(TrackerTestCase):
    def setUp(self) -> None:
        super().setUp()
        for module, name in (("m", "1"), ("n", "2"), ("m", "3"), ("n", "4")):
            self.tracker.track_resource(module, "lock", name)
        self.tracker.release_resource("3")
        self.tracker.verify_cleanup("n")

    def test_the_state_of_one(self) -> None:
        """The state of an unknown id is None."""
        states = [self.tracker.get_resource_state(name) for name in ("1", "2", "3", "4", "5")]
        self.assertEqual(["active", "leaked", "released", "leaked", None], states)

    def test_all_in_allocation_order(self) -> None:
        """Records can be filtered by module, state, or both."""
        for only, expected in (
            ({}, ["1", "2", "3", "4"]),
            ({"module": "m"}, ["1", "3"]),
            ({"state": "active"}, ["1"]),
            ({"state": "leaked"}, ["2", "4"]),
            ({"state": "released"}, ["3"]),
            ({"module": "m", "state": "active"}, ["1"]),
            ({"module": "m", "state": "released"}, ["3"]),
            ({"module": "m", "state": "leaked"}, []),
            ({"module": "unknown"}, []),
        ):
            with self.subTest(only=only):
                self.assertEqual(expected, self.ids(**only))
        self.assertEqual(
            ["2", "4"], [r["resource_id"] for r in self.tracker.get_all_resources("n", "leaked")]
        )

    def test_an_unknown_state_is_refused(self) -> None:
        """The message lists the states."""
        with self.assertRaisesRegex(
            ValueError, "^unknown state 'open'; the states are active, released, leaked$"
        ):
            self.ids(state="open")


class CleanupTest(TrackerTestCase):
    def test_what_is_active_is_returned_and_marked_as_leaked(self) -> None:
        """Leaks of one module or all, in allocation order; a later release makes them released."""
        self.assertEqual([], self.tracker.verify_cleanup())
        for module, name in (("m", "1"), ("n", "2"), ("m", "3")):
            self.tracker.track_resource(module, "lock", name)
        leaks = self.tracker.verify_cleanup("m")
        self.assertEqual(
            [("1", "leaked"), ("3", "leaked")], [(r["resource_id"], r["state"]) for r in leaks]
        )
        self.assertEqual("active", self.tracker.get_resource_state("2"))
        self.tracker.release_resource("1")
        self.assertEqual(
            ["2", "3"], [record["resource_id"] for record in self.tracker.verify_cleanup()]
        )
        self.assertEqual("released", self.tracker.get_resource_state("1"))
        self.assertEqual([], self.tracker.verify_cleanup("unknown"))

    def test_no_leaks_pass(self) -> None:
        """The assertion passes if all resources, or those of the module, are released."""
        self.tracker.track_resource("m", "lock", "r")
        self.tracker.assert_no_leaks("other")
        self.tracker.release_resource("r")
        self.tracker.assert_no_leaks()

    def test_each_leak_is_named(self) -> None:
        """The message has id, type, owner, age and where it was tracked."""
        with mock.patch("time.monotonic_ns", side_effect=iter(range(10**18))):
            self.tracker.track_resource("m", "lock", "r1")
            self.tracker.track_resource("n", "file", "r2")
        with (
            mock.patch("time.monotonic_ns", return_value=2_500_000_000),
            self.assertRaises(AssertionError) as caught,
        ):
            self.tracker.assert_no_leaks()
        place = (
            r"tracked at .*test_resource_tracking\.py:\d+ in CleanupTest\.test_each_leak_is_named"
        )
        self.assertRegex(
            str(caught.exception),
            r"^leaked resources \(2\), release each when it is done:\n"
            rf"  'r1' \(lock\) owned by m, 2\.500 s old, {place}\n"
            rf"  'r2' \(file\) owned by n, 2\.500 s old, {place}$",
        )
        self.assertEqual("leaked", self.tracker.get_resource_state("r1"))


class TrackingTest(TrackerTestCase):
    def test_it_tracks_for_the_length_of_a_with(self) -> None:
        """The recorded line is that of the ``with``, not of contextlib."""
        with self.tracker.tracking("m", "lock", "r", metadata={"a": 1}) as record:
            self.assertEqual(("active", {"a": 1}), (record["state"], record["metadata"]))
            with self.assertRaisesRegex(AssertionError, r"test_resource_tracking\.py:\d+ in Tr"):
                self.tracker.assert_no_leaks()
        self.assertEqual("released", self.tracker.get_resource_state("r"))
        self.assertEqual(["active", "leaked", "released"], self.states())

    def test_it_releases_when_the_body_raises(self) -> None:
        """An error of the body releases the resource and propagates."""
        with self.assertRaises(KeyError), self.tracker.tracking("m", "lock", "r"):
            raise KeyError
        self.assertEqual("released", self.tracker.get_resource_state("r"))

    def test_what_the_body_released_is_released_once(self) -> None:
        """If the body released and re-tracked the id, the new resource stays active."""
        with self.tracker.tracking("m", "lock", "r"):
            self.tracker.release_resource("r")
            self.tracker.track_resource("n", "lock", "r")
        self.assertEqual("active", self.tracker.get_resource_state("r"))
        self.assertEqual(["active", "released", "active"], self.states())

    def test_what_is_tracked_already_is_refused(self) -> None:
        """The body does not run, and the first resource stays active."""
        with self.tracker.tracking("m", "lock", "r"):
            with self.assertRaises(ResourceError), self.tracker.tracking("m", "lock", "r"):
                self.fail("the body must not run")  # pragma: no cover
            self.assertEqual("active", self.tracker.get_resource_state("r"))


class ReentryTest(TrackerTestCase):
    def test_a_del_may_come_back_while_the_lock_is_held(self) -> None:
        """A ``__del__`` that runs in the thread with the lock may use the tracker."""
        tracker = self.tracker
        for name in ("1", "2"):
            tracker.track_resource("m", "lock", name)

        class Holder:
            def __init__(self) -> None:
                self.circle = self

            def __del__(self) -> None:
                tracker.release_resource("1")
                tracker.track_resource("m", "lock", "from __del__")
                tracker.verify_cleanup("m")
                tracker.timeline.describe()

        with (
            mock.patch.object(sys, "unraisablehook") as unraisable,
            fork_safe_lock(tracker._itf_ledger),
        ):
            Holder()
            gc.collect()
        unraisable.assert_not_called()
        self.assertEqual(["1", "2", "from __del__"], self.ids())
        self.assertEqual(
            ["released", "leaked", "leaked"],
            [record["state"] for record in tracker.get_all_resources()],
        )

    def test_a_del_may_come_back_at_any_allocation(self) -> None:
        """With frequent garbage collections, no call fails and no resource is lost."""
        tracker, wanted = self.tracker, 300
        numbers = iter(range(10**9))

        class Holder:
            def __init__(self) -> None:
                self.circle = self

            def __del__(self) -> None:
                with tracker.tracking("del", "lock", f"del.{next(numbers)}"):
                    tracker.verify_cleanup("m")
                    tracker.get_all_resources("m")

        threshold = gc.get_threshold()
        with mock.patch.object(sys, "unraisablehook") as unraisable:
            gc.set_threshold(5, 2, 2)
            try:
                for number in range(wanted):
                    Holder()
                    tracker.track_resource("m", "lock", str(number))
                    tracker.verify_cleanup("m")
                    tracker.release_resource(str(number))
            finally:
                gc.set_threshold(*threshold)
            gc.collect()
        unraisable.assert_not_called()
        tracker.assert_no_leaks()
        self.assertEqual([str(number) for number in range(wanted)], self.ids(module="m"))
        self.assertEqual(wanted, len(self.ids(module="del")))
