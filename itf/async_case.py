"""The TestCase for tests that are coroutines."""

# Apart from case.py because IsolatedAsyncioTestCase brings in asyncio, which a
# test without coroutines need not wait for.

from __future__ import annotations

import contextvars
import unittest

from itf.case import IntegrationTestCase
from itf.timeline import current_owner

__all__ = ["AsyncIntegrationTestCase"]

__unittest = True


class AsyncIntegrationTestCase(IntegrationTestCase, unittest.IsolatedAsyncioTestCase):
    """`IntegrationTestCase` for coroutines, on `unittest.IsolatedAsyncioTestCase`.

    Example:
        >>> class SleepTest(AsyncIntegrationTestCase):
        ...     async def test_sleep(self, performance_monitor):
        ...         with performance_monitor.measure("nap"):
        ...             await asyncio.sleep(0)
        >>> import asyncio
        >>> SleepTest("test_sleep").debug()
    """

    def __init__(self, methodName: str = "runTest") -> None:
        # unittest copies the context that a test is made in, and runs setUp, the
        # test and tearDown in the copy.
        context = contextvars.copy_context()
        context.run(current_owner.set, self)
        context.run(super().__init__, methodName)
