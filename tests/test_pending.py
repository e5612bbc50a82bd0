"""Tests of pending_tasks: the result agrees with asyncio.all_tasks."""

from __future__ import annotations

import asyncio
import sys
import unittest
from unittest import mock

from itf import pending
from itf.pending import pending_tasks


class PendingTasksTest(unittest.TestCase):
    """Comparison with `asyncio.all_tasks`."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)

    def check(self) -> set[asyncio.Task[object]]:
        """Check that the result agrees with asyncio, and return it."""
        found = pending_tasks(self.loop)
        self.assertEqual(asyncio.all_tasks(self.loop), found)
        return found

    def test_a_task_is_pending_until_it_is_done(self) -> None:
        """A task that is not done is pending, before and after its first step."""
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
        """A task of another loop is not returned."""
        other = asyncio.new_event_loop()
        self.addCleanup(other.close)
        task = other.create_task(asyncio.sleep(0))
        self.assertEqual(set(), self.check())
        self.assertEqual({task}, pending_tasks(other))
        other.run_until_complete(task)

    @unittest.skipIf(sys.version_info < (3, 12), "eager tasks are new in 3.12")
    def test_an_eager_task(self) -> None:
        """A task of the eager factory is pending during its first step, before scheduling."""
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

    def test_private_sets_of_asyncio(self) -> None:
        """The names exist on this Python; without names, asyncio.all_tasks is called."""
        self.assertTrue(pending._PRIVATE_TASK_SETS or sys.version_info >= (3, 14))
        for name in pending._PRIVATE_TASK_SETS:
            self.assertTrue(hasattr(asyncio.tasks, name), name)
        task = self.loop.create_task(asyncio.sleep(0))
        for names in ((), ("_gone",)):
            with mock.patch.object(pending, "_PRIVATE_TASK_SETS", names):
                self.assertEqual({task}, self.check())
        self.loop.run_until_complete(task)

    def test_asyncio_tasks_not_imported(self) -> None:
        """If asyncio.tasks is not imported (lazy imports), no task is pending."""
        with mock.patch.dict(sys.modules):
            del sys.modules["asyncio.tasks"]
            self.assertEqual(set(), pending_tasks(self.loop))


if __name__ == "__main__":
    unittest.main()
