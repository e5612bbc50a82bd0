"""Tests of the timeline and of its bounded log."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
import unittest
from typing import Any

from itf.formats import event_from_json, event_to_json
from itf.timeline import BoundedLog, Timeline, TimelineOwner, current_owner, current_task_name
from tests.support import in_threads


class BoundedLogTest(unittest.TestCase):
    def test_the_newest_are_kept_and_the_rest_counted(self) -> None:
        """The oldest entries are dropped, and `dropped` counts them."""
        log: BoundedLog[int] = BoundedLog(3)
        for value in range(10):
            log.append(log.next_number(), value)
        self.assertEqual(([7, 8, 9], 7), (log.entries(), log.dropped))

    def test_entries_are_in_the_order_of_their_numbers(self) -> None:
        """Entries are sorted by number, also if two threads append in another order."""
        log: BoundedLog[str] = BoundedLog()
        first, second = log.next_number(), log.next_number()
        log.append(second, "second")
        log.append(first, "first")
        self.assertEqual((["first", "second"], 0), (log.entries(), log.dropped))

    def test_a_capacity_of_zero_is_refused(self) -> None:
        """A log without entries could not compute `dropped`."""
        for capacity in (0, -1):
            with self.assertRaisesRegex(
                ValueError, f"^capacity must be at least 1, got {capacity}$"
            ):
                Timeline(capacity=capacity)

    def test_nothing_is_lost_by_eight_threads(self) -> None:
        """Every entry is kept, with a unique number."""
        log: BoundedLog[tuple[int, int]] = BoundedLog(100_000)

        def work(number: int) -> None:
            for index in range(1000):
                log.append(log.next_number(), (number, index))
                if index % 100 == 0:
                    log.entries()

        in_threads(8, work)
        self.assertEqual([(n, i) for n in range(8) for i in range(1000)], sorted(log.entries()))
        self.assertEqual(0, log.dropped)


class TimelineTest(unittest.TestCase):
    def test_keys_of_an_event(self) -> None:
        """An event has exactly the keys of TimelineEvent, with the correct values."""
        timeline = Timeline("a.test")
        event = timeline.record("note", {"text": "half way"})
        self.assertEqual(
            {
                "schema": 1,
                "sequence": 1,
                "kind": "note",
                "test": "a.test",
                "timestamp": event["timestamp"],
                "monotonic_ns": event["monotonic_ns"],
                "process": os.getpid(),
                "thread": threading.current_thread().name,
                "task": None,
                "data": {"text": "half way"},
            },
            event,
        )
        self.assertIsInstance(event["timestamp"], float)
        self.assertGreaterEqual(event["monotonic_ns"], timeline.started_ns)

    def test_events_are_read_back_in_order_or_by_kind(self) -> None:
        """`events`, iteration and `len` give the same events."""
        timeline = Timeline()
        for kind in ("a", "b", "a"):
            timeline.record(kind)
        self.assertEqual(["a", "b", "a"], [event["kind"] for event in timeline])
        self.assertEqual([1, 3], [event["sequence"] for event in timeline.events("a")])
        self.assertEqual(3, len(timeline))

    def test_an_empty_timeline_is_true(self) -> None:
        """``timeline or Timeline()`` keeps an empty timeline."""
        self.assertTrue(Timeline())

    def test_events_are_copies(self) -> None:
        """Changing recorded data or returned events does not change the log."""
        timeline = Timeline()
        data = {"items": [1]}
        event: Any = timeline.record("note", data)
        data["items"].append(2)
        event["data"]["items"].append(3)
        event["kind"] = "other"
        read: Any = timeline.events()[0]
        read["data"]["items"].append(4)
        self.assertEqual([("note", {"items": [1]})], [(e["kind"], e["data"]) for e in timeline])

    def test_the_task_is_named_within_asyncio(self) -> None:
        """An event has the name of the asyncio task that recorded it."""
        timeline = Timeline()

        async def work() -> None:
            timeline.record("note")

        async def main() -> None:
            await asyncio.create_task(work(), name="worker")

        asyncio.run(main())
        self.assertEqual("worker", timeline.events()[0]["task"])
        self.assertIsNone(current_task_name())

    def test_importing_itf_imports_no_heavy_modules(self) -> None:
        """multiprocessing, asyncio, json and unittest are imported at first use only."""
        code = (
            "import sys, itf; itf.Timeline().record('note', {'a': 1}); "
            "print(sorted({'multiprocessing', 'asyncio', 'json', 'unittest'} & sys.modules.keys()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual("[]\n", done.stdout)


class DescribeTest(unittest.TestCase):
    def line(self, kind: str, data: dict[str, Any]) -> str:
        timeline = Timeline()
        timeline.record(kind, data)
        return timeline.describe().splitlines()[1].partition("]  ")[2]

    def test_the_first_line_has_the_counts(self) -> None:
        """The first line shows the number of shown events and of all, with dropped ones."""
        timeline = Timeline("a.test", capacity=3)
        for _ in range(5):
            timeline.record("note")
        self.assertEqual(
            "timeline of a.test (last 2 of 5 events):", timeline.describe(2).splitlines()[0]
        )
        self.assertEqual(3, len(timeline.describe(2).splitlines()))
        self.assertEqual("timeline of a.test (last 0 of 5 events):", timeline.describe(0))

    def test_parts_of_a_line(self) -> None:
        """A line shows the time since the start, the thread, the kind and the data."""
        timeline = Timeline()
        timeline.record("note", {"text": "a\nb", "n": 1})
        self.assertRegex(
            timeline.describe().splitlines()[1],
            r"^  \+\d+\.\d{6} s  \[[^\]]+\]  note: text='a\\nb', n=1$",
        )

    def test_another_process_and_a_task_are_named(self) -> None:
        """A line shows the process id if it is another process, and the name of a task."""
        timeline = Timeline()
        event = timeline._log.entries  # the stored events, to be changed below
        timeline.record("note")
        event()[0]["process"] = 1
        event()[0]["task"] = "pump"
        self.assertIn("[process 1, MainThread, task pump]", timeline.describe())

    def test_lines_of_the_standard_kinds(self) -> None:
        """Errors, configuration changes, resources and fixtures have a readable format."""
        self.assertEqual(
            "error: ValueError: bad (a -> b, in f)",
            self.line(
                "error",
                {
                    "source_module": "a",
                    "target_module": "b",
                    "operation": "f",
                    "original_error": ValueError("bad"),
                    "error_type": "ValueError",
                    "error_message": "bad",
                    "timestamp": 1.0,
                    "context_data": {},
                },
            ),
        )
        change = {
            "config_path": "x.y",
            "old_value": 1,
            "new_value": "2",
            "affected_modules": ["a", "b"],
            "timestamp": 1.0,
        }
        self.assertEqual("config: x.y: 1 -> '2' (affects a, b)", self.line("config", change))
        self.assertEqual(
            "config: x.y: 1 -> '2' (affects no module)",
            self.line("config", {**change, "affected_modules": []}),
        )
        self.assertEqual(
            "config: x.token: <redacted> -> <redacted> (affects a, b)",
            self.line("config", {**change, "config_path": "x.token"}),
        )
        self.assertEqual(
            "resource: 'r' (lock, owned by a) is active",
            self.line(
                "resource",
                {
                    "resource_id": "r",
                    "resource_type": "lock",
                    "owner_module": "a",
                    "state": "active",
                },
            ),
        )

    def test_other_data_in_a_standard_kind(self) -> None:
        """A user's event of a standard kind with any data is described without an error."""
        change = dict.fromkeys(("old_value", "new_value", "affected_modules", "timestamp"))
        self.assertIn("config_path", self.line("config", {**change, "config_path": "x"}))
        self.assertEqual("error: text='x'", self.line("error", {"text": "x"}))
        self.assertEqual("resource: ", self.line("resource", {}))

    def test_a_line_is_bounded(self) -> None:
        """A huge value is shortened to about two lines of a terminal."""
        self.assertLessEqual(len(self.line("note", {str(n): "x" * 999 for n in range(99)})), 260)


class ShorthandTest(unittest.TestCase):
    def test_a_note_becomes_an_event_when_read(self) -> None:
        """The event has all keys, the time of the note, and the position of the note."""
        timeline = Timeline("the test")
        described: list[int] = []

        def describe(what: int) -> dict[str, Any]:
            described.append(what)
            return {"what": what}

        note = timeline.shorthand("fault", describe)
        timeline.record("note", {"place": 1})
        before = time.time(), time.monotonic_ns()
        note(2)
        after = time.time(), time.monotonic_ns()
        timeline.record("note", {"place": 3})
        self.assertEqual(([], 3), (described, len(timeline)))
        (event,) = timeline.events("fault")
        self.assertEqual(timeline.events("note")[0].keys(), event.keys())
        self.assertEqual([1, 2, 3], [each["sequence"] for each in timeline])
        self.assertTrue(before[1] <= event["monotonic_ns"] <= after[1])
        self.assertTrue(before[0] - 0.1 <= event["timestamp"] <= after[0] + 0.1)
        self.assertEqual(
            ("the test", os.getpid(), "MainThread", None, {"what": 2}),
            (event["test"], event["process"], event["thread"], event["task"], event["data"]),
        )
        self.assertIn("[MainThread]  fault: what=2", timeline.describe())
        self.assertEqual(event, event_from_json(event_to_json(event)))

    def test_a_note_has_thread_and_task(self) -> None:
        """The event names the thread and the task of the note, also after they ended."""
        timeline = Timeline()
        note = timeline.shorthand("fault", lambda what: {})
        thread = threading.Thread(target=note, args=(1,), name="the thread")
        thread.start()
        thread.join()

        async def task() -> None:
            note(2)

        async def run() -> None:
            await asyncio.create_task(task(), name="the task")

        asyncio.run(run())
        first, second = timeline
        self.assertEqual(("the thread", None), (first["thread"], first["task"]))
        self.assertEqual(("MainThread", "the task"), (second["thread"], second["task"]))

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork here")
    def test_a_note_has_the_process(self) -> None:
        """Notes and events of a forked child have the process id of the child."""
        timeline = Timeline()
        note = timeline.shorthand("fault", lambda what: {})
        pid = os.fork()
        if not pid:
            note(1)
            timeline.record("note")
            own = all(event["process"] == os.getpid() for event in timeline)
            os._exit(0 if own and len(timeline) == 2 else 1)
        _, status = os.waitpid(pid, 0)
        self.assertEqual(0, os.waitstatus_to_exitcode(status))

    def test_nothing_is_lost_by_eight_threads(self) -> None:
        """Every note is kept, with a unique number."""
        timeline = Timeline(capacity=100_000)
        note = timeline.shorthand("fault", lambda what: {"what": what})
        in_threads(8, lambda n: [note((n, i)) for i in range(1000)])
        events = timeline.events()
        self.assertEqual(list(range(1, 8001)), [event["sequence"] for event in events])
        self.assertEqual(
            [(n, i) for n in range(8) for i in range(1000)],
            sorted(event["data"]["what"] for event in events),
        )


class PinTest(unittest.TestCase):
    def test_pinned_lines_are_always_shown(self) -> None:
        """Pinned lines appear once each, in order, above the events, and are never dropped."""
        timeline = Timeline("the test")
        timeline.pin("seed 1")
        timeline.pin("seed\n2")
        timeline.pin("seed 1")
        for number in range(100):
            timeline.record("note", {"number": number})
        lines = timeline.describe(2).splitlines()
        self.assertEqual(
            ["timeline of the test (last 2 of 100 events):", "  seed 1", "  seed 2"], lines[:3]
        )
        self.assertEqual(5, len(lines))
        self.assertEqual(["seed 1", "seed 2"], timeline.pinned)

    def test_pinned_lines_are_limited(self) -> None:
        """Only the first twenty pinned lines are kept."""
        timeline = Timeline()
        for number in range(1000):
            timeline.pin(str(number))
        self.assertEqual([str(number) for number in range(20)], timeline.pinned)


class TimelineOwnerTest(unittest.TestCase):
    def test_every_object_has_its_own_timeline(self) -> None:
        """Objects do not share a timeline, and need not call ``super().__init__()``."""

        class Plain(TimelineOwner):
            def __init__(self) -> None:
                pass  # and no super().__init__()

        first, second = Plain(), Plain()
        self.assertIs(first.timeline, first.timeline)
        self.assertIsNot(first.timeline, second.timeline)

    def test_objects_in_a_test_share_its_timeline(self) -> None:
        """A new object uses the timeline of the current TestCase."""
        owner = TimelineOwner()
        token = current_owner.set(owner)
        try:
            self.assertIs(owner.timeline, TimelineOwner().timeline)
        finally:
            current_owner.reset(token)
        self.assertIsNot(owner.timeline, TimelineOwner().timeline)

    def test_eight_threads_get_the_same_timeline(self) -> None:
        """Eight threads that use an object's timeline first, at the same time, get one timeline."""
        for _ in range(50):
            owner = TimelineOwner()
            got: list[Timeline] = []
            in_threads(8, lambda _, owner=owner, got=got: got.append(owner.timeline))
            self.assertEqual(1, len(set(map(id, got))))
