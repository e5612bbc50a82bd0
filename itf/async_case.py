"""AsyncIntegrationTestCase: the TestCase for tests that are coroutines."""

# Not in case.py, because this module imports asyncio, which plain tests do not need.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

from itf.async_test_run import AsyncTestRun
from itf.case import IntegrationTestCase

__all__ = ["AsyncIntegrationTestCase"]

__unittest = True

_P = ParamSpec("_P")
_T = TypeVar("_T")


class AsyncIntegrationTestCase(IntegrationTestCase):
    """`IntegrationTestCase` for coroutines, used like `unittest.IsolatedAsyncioTestCase`.

    The test method, ``asyncSetUp``, ``asyncTearDown`` and cleanups may be coroutine
    functions.  All code of one test, including ``setUp`` and ``tearDown``, shares the
    context variables and the event loop.  Each test has a new loop, which is closed
    after the test.

    A task that is pending when the test ends is cancelled and awaited, and fails the
    test.  So do an async generator that was not closed, a coroutine that was not
    awaited, and an error in a task that was not awaited.

    Attributes:
        async_debug: Whether loops run in asyncio's debug mode, which is slow, and
            logs which callback blocked the loop.  Without it, only the duration of
            the block is logged.  PYTHONASYNCIODEBUG and ``-X dev`` enable the debug
            mode too.
        loop_factory: Called without arguments to create the loop of a test; None
            creates it as `asyncio.run` does.

    Example:
        >>> class SleepTest(AsyncIntegrationTestCase):
        ...     async def test_sleep(self, performance_monitor):
        ...         with performance_monitor.measure("nap"):
        ...             await asyncio.sleep(0)
        >>> import asyncio
        >>> SleepTest("test_sleep").debug()
    """

    async_debug: ClassVar[bool] = False
    loop_factory: ClassVar[Callable[[], asyncio.AbstractEventLoop] | None] = None

    _itf_run_type = AsyncTestRun

    async def asyncSetUp(self) -> None:
        """Prepare the test, after ``setUp``; subclasses may override this."""

    async def asyncTearDown(self) -> None:
        """Clean up after the test, before ``tearDown``; subclasses may override this."""

    def addCleanup(
        self, function: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Call a function after the test, as `unittest.TestCase.addCleanup` does.

        An awaitable result is awaited.
        """
        super().addCleanup(self._itf_call, function, *args, **kwargs)

    def addAsyncCleanup(
        self, function: Callable[_P, Awaitable[object]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Call a coroutine function after the test, and await it."""
        self.addCleanup(function, *args, **kwargs)

    async def enterAsyncContext(self, manager: AbstractAsyncContextManager[_T]) -> _T:
        """Enter an asynchronous context manager now, and exit it after the test.

        Raises:
            TypeError: ``manager`` is not an asynchronous context manager.
        """
        # Looked up on the class, as `async with` does.
        cls = type(manager)
        try:
            enter, leave = cls.__aenter__, cls.__aexit__
        except AttributeError:
            raise TypeError(
                f"'{cls.__module__}.{cls.__qualname__}' object does not support "
                "the asynchronous context manager protocol"
            ) from None
        value = await enter(manager)
        self.addAsyncCleanup(leave, manager, None, None, None)
        return value

    def _itf_call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return cast(AsyncTestRun, self._itf_run).call(function, *args, **kwargs)
