"""Tasks are told from one another for as long as anybody speaks of them."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Hashable

from itf.leaks.probes.tasks import look_at_tasks, new_tasks

ENOUGH = 10_000


class IdentityTest(unittest.TestCase):
    """What a guard knows of a task is not taken for news of the next one."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.before = look_at_tasks()

    def keys(self) -> list[Hashable]:
        """Return under which keys the tasks of this test are told."""
        return [leak.key for leak in new_tasks(self.before, look_at_tasks())]

    def test_a_task_that_lies_where_another_one_lay(self) -> None:
        """Has a key of its own: else one test would be blamed for what runs in another one."""
        first = self.loop.create_task(asyncio.sleep(0))
        place, known = id(first), self.keys()
        self.assertEqual(1, len(known))
        self.loop.run_until_complete(first)
        del first
        kept: list[asyncio.Task[None]] = []
        while not kept or (id(kept[-1]) != place and len(kept) < ENOUGH):
            kept.append(self.loop.create_task(asyncio.sleep(0)))
        told = self.keys()
        self.loop.run_until_complete(asyncio.wait(kept))
        self.assertEqual(len(kept), len(told))
        self.assertFalse({*known} & {*told})
