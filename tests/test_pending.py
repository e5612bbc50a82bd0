"""The tasks of a loop are those that asyncio finds, also where the answer is quick."""

from __future__ import annotations

import asyncio
import sys
import unittest
from unittest import mock

from itf import pending
from itf.pending import pending_tasks


class PendingTasksTest(unittest.TestCase):
    """What `asyncio.all_tasks` says."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)

    def check(self) -> set[asyncio.Task[object]]:
        """Compare with asyncio, and return what there is."""
        found = pending_tasks(self.loop)
        self.assertEqual(asyncio.all_tasks(self.loop), found)
        return found

    def test_a_task_is_pending_until_it_is_done(self) -> None:
        """Whether it has begun or not."""
        self.assertEqual(set(), self.check())
        task = self.loop.create_task(asyncio.sleep(0))
        self.assertEqual({task}, self.check())
        gate = self.loop.create_task(asyncio.Event().wait())
        self.loop.run_until_complete(task)
        self.assertEqual({gate}, self.check())
        gate.cancel()
        self.loop.run_until_complete(asyncio.wait([gate]))
        self.assertEqual(set(), self.check())

    def test_a_task_of_another_loop(self) -> None:
        """Is not this one's."""
        other = asyncio.new_event_loop()
        self.addCleanup(other.close)
        task = other.create_task(asyncio.sleep(0))
        self.assertEqual(set(), self.check())
        self.assertEqual({task}, pending_tasks(other))
        other.run_until_complete(task)

    @unittest.skipIf(sys.version_info < (3, 12), "eager tasks are new in 3.12")
    def test_an_eager_task(self) -> None:
        """Has begun before its loop knows of it."""
        self.loop.set_task_factory(asyncio.eager_task_factory)
        seen: list[set[asyncio.Task[object]]] = []

        async def look() -> None:
            seen.append(self.check())
            await asyncio.sleep(0)

        async def main() -> None:
            await asyncio.create_task(look())

        self.loop.run_until_complete(main())
        self.assertEqual(2, len(seen[0]))
        self.assertEqual(set(), self.check())

    def test_where_python_keeps_them(self) -> None:
        """Is known for this Python, or nobody knows: then asyncio is asked."""
        self.assertTrue(pending._KEPT_IN or sys.version_info >= (3, 14))
        for name in pending._KEPT_IN:
            self.assertTrue(hasattr(asyncio.tasks, name), name)
        task = self.loop.create_task(asyncio.sleep(0))
        for names in ((), ("_gone",)):
            with mock.patch.object(pending, "_KEPT_IN", names):
                self.assertEqual({task}, self.check())
        self.loop.run_until_complete(task)

    def test_where_nobody_has_made_a_task(self) -> None:
        """There is none, though there is a loop: with lazy imports, asyncio is there in part."""
        with mock.patch.dict(sys.modules):
            del sys.modules["asyncio.tasks"]
            self.assertEqual(set(), pending_tasks(self.loop))


if __name__ == "__main__":
    unittest.main()
