from __future__ import annotations

import json
import sys
import types
import unittest
from typing import Any

from itf import interleave
from itf.interleaving.arguments import codes_of
from itf.interleaving.opcodes import switch_points_of
from itf.interleaving.tracing import Scope
from tests.interleaving import programs
from tests.interleaving.programs import Account, failing_run


class ScopeTest(unittest.TestCase):
    def lost(self, **options: Any) -> bool:
        """Say whether a lost update in another module is found through a function in this one."""
        account = Account()

        def deposit() -> None:
            account.deposit()

        try:
            interleave(
                deposit,
                deposit,
                setup=lambda: vars(account).update(balance=0),
                check=lambda: account.balance == 2,
                seed=1,
                **options,
            )
        except AssertionError:
            return True
        return False

    def test_by_default_all_code_of_the_user(self) -> None:
        """Also that of modules that the functions only call."""
        self.assertTrue(self.lost())

    def test_trace_names_modules_and_packages(self) -> None:
        """As modules or as names; others run through."""
        self.assertTrue(self.lost(trace=[programs]))
        self.assertTrue(self.lost(trace=["tests.interleaving"]))
        self.assertTrue(self.lost(trace="tests"))
        self.assertFalse(self.lost(trace=["tests.interfaces"]))
        self.assertFalse(self.lost(trace=[json]))

    def test_not_the_standard_library_nor_itf(self) -> None:
        """Nor what is installed, unless it is the functions' own."""
        scope = Scope(())
        self.assertTrue(scope.has_module(programs))
        for module in (
            json,
            sys.modules["itf.timeline"],
            sys.modules["itf.interleaving.scheduler"],
        ):
            self.assertFalse(scope.has_module(module))
        installed = types.ModuleType("package")
        installed.__file__ = "/usr/lib/python3/dist-packages/package/__init__.py"
        self.assertFalse(scope.has_module(installed))
        code = compile("def f(): ...", installed.__file__, "exec")
        self.assertTrue(Scope([code]).has_module(installed))
        self.assertFalse(Scope(codes_of([json.dumps])).has_module(json))


class PointsTest(unittest.TestCase):
    def test_only_what_others_can_notice(self) -> None:
        """Arithmetic on locals has no point; an attribute has one to read and one to write."""

        def local(a: int) -> int:
            b = a
            if b is None:
                b = a
            return b

        def shared(a: Any) -> None:
            a.v = a.w

        self.assertEqual(0, len(switch_points_of(local.__code__)))
        self.assertEqual(2, len(switch_points_of(shared.__code__)))

    def test_coverage_and_debuggers_go_on(self) -> None:
        """A tool of sys.monitoring sees the functions' lines; ours is given back."""
        if sys.version_info < (3, 12):
            self.skipTest("Python 3.11 has one trace function a thread")
        monitoring = sys.monitoring
        lines: set[int] = set()
        tool = monitoring.COVERAGE_ID
        if monitoring.get_tool(tool) is not None:
            self.skipTest("coverage is measured")
        account = Account()
        code = Account.deposit.__code__
        monitoring.use_tool_id(tool, "test")
        try:
            monitoring.register_callback(
                tool, monitoring.events.LINE, lambda code, line: lines.add(line)
            )
            monitoring.set_local_events(tool, code, monitoring.events.LINE)
            interleave(account.deposit, runs=1)
        finally:
            monitoring.set_local_events(tool, code, 0)
            monitoring.register_callback(tool, monitoring.events.LINE, None)
            monitoring.free_tool_id(tool)
        self.assertIn(code.co_firstlineno + 1, lines)
        self.assertEqual([None, None], [monitoring.get_tool(number) for number in (3, 4)])

    def test_a_foreign_tool_in_our_place_is_worked_around(self) -> None:
        """Of two ids that nobody else is meant to take; if both are taken it is said."""
        if sys.version_info < (3, 12):
            self.skipTest("Python 3.11 has no tools")
        monitoring = sys.monitoring
        account = Account()
        monitoring.use_tool_id(4, "other")
        try:
            error = failing_run(
                interleave, account.deposit, account.deposit, check=lambda: False, runs=1
            )
            self.assertIn("returned False", str(error))
            monitoring.use_tool_id(3, "another")
            try:
                with self.assertRaisesRegex(RuntimeError, "'another' and 'other' have both"):
                    interleave(account.deposit)
            finally:
                monitoring.free_tool_id(3)
        finally:
            monitoring.free_tool_id(4)


if __name__ == "__main__":
    unittest.main()
