from __future__ import annotations

import functools
import os
import types
import unittest
from typing import Any
from unittest import mock

from itf import FaultPlan, inject_faults


class WrapperTest(unittest.TestCase):
    def setUp(self) -> None:
        self.module = types.SimpleNamespace()

    def inject(self, function: Any, plan: FaultPlan) -> Any:
        """Return the wrapper of a function that has a plan until the test ends."""
        self.module.function = function
        injection = inject_faults(self.module, "function", plan)
        injection.start()
        self.addCleanup(injection.undo)
        return self.module.function

    def test_methods_of_what_is_no_function(self) -> None:
        """Methods of a wrapped cache or mock stay available."""
        cache = functools.lru_cache(lambda: 1)
        cached = self.inject(cache, FaultPlan.nth_call(2, returns="fault"))
        self.assertEqual([1, "fault", 1], [cached() for _ in range(3)])
        self.assertEqual((1, 1), cached.cache_info()[:2])
        cached.cache_clear()
        self.assertEqual((0, 0), cache.cache_info()[:2])
        mocked = self.inject(mock.Mock(return_value=1), FaultPlan.nth_call(2, returns="fault"))
        self.assertEqual([1, "fault"], [mocked("first"), mocked("second")])
        mocked.assert_called_once_with("first")

    def test_parameters_with_reserved_names(self) -> None:
        """Parameters with the names of the wrapper's variables are passed on."""

        def function(
            CALL_ORIGINAL: int, _itf_function: int = 2, *, _itf_ticket: int = 3, self: int = 4
        ) -> list[int]:
            return [CALL_ORIGINAL, _itf_function, _itf_ticket, self]

        call = self.inject(function, FaultPlan.nth_call(2, delay=0))
        self.assertEqual([[1, 2, 3, 4]] * 3, [call(1) for _ in range(3)])

    def test_a_self_that_has_a_default(self) -> None:
        """A bound method whose ``self`` has a default is called as usual."""

        class Odd:
            def read(self=None, more=0) -> int:  # type: ignore[no-untyped-def,misc]
                return 1 + more

            def all(*args: int) -> int:
                return len(args)

        odd = Odd()
        for name in ("read", "all"):
            with inject_faults(odd, name, FaultPlan.nth_call(2, returns="fault")):
                self.assertEqual([1, "fault", 1], [getattr(odd, name)() for _ in range(3)])

    def test_functions_in_c(self) -> None:
        """C functions with required, optional and unknown parameters are called as usual."""
        for function, arguments, named in (
            (len, ([1],), {}),
            (divmod, (7, 2), {}),
            (sorted, ([2, 1],), {"reverse": True}),
            (sorted, ([2, 1],), {}),
            (max, (1, 2), {"key": int}),
            (os.stat, (os.curdir,), {}),
            (str.join, (",", ["a"]), {}),
        ):
            with self.subTest(str(function)):
                call = self.inject(function, FaultPlan.nth_call(2, returns="fault"))
                expected = function(*arguments, **named)  # type: ignore[operator]
                self.assertEqual(
                    [expected, "fault", expected], [call(*arguments, **named) for _ in range(3)]
                )


if __name__ == "__main__":
    unittest.main()
