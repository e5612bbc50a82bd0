"""Where the user's code may be interrupted, and who is called there."""

from __future__ import annotations

import pathlib
import sys
import sysconfig
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, Final

from itf.schedules.active import current_task
from itf.schedules.opcodes import points_of
from itf.schedules.tasks import Place
from itf.tracebacks import module_of

__all__ = ["Scope", "Watch", "watch"]

__unittest = True

_ITF: Final = str(pathlib.Path(__file__).parents[1])
_STANDARD: Final = tuple({str(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})
_INSTALLED: Final = {"site-packages", "dist-packages"}


class Scope:
    """Whose code is interrupted: the user's, that is neither Python's nor installed nor itf's.

    Args:
        codes: The code of the functions, which is the user's wherever it stands,
            and so is all of its files.
        modules: If not None, the code of these modules and packages alone,
            beside that of the functions.
    """

    def __init__(self, codes: Iterable[CodeType], modules: Iterable[str] | None = None) -> None:
        self._files = {code.co_filename for code in codes}
        self._modules = None if modules is None else tuple(modules)
        self._known: dict[int, bool] = {}
        # Their ids stay theirs as long as they live.
        self._codes: list[CodeType] = []

    def has_frame(self, frame: FrameType) -> bool:
        """Say whether a frame's code is the user's."""
        code = frame.f_code
        known = self._known.get(id(code))
        if known is None:
            self._codes.append(code)
            known = self._has(code.co_filename, module_of(frame))
            self._known[id(code)] = known
        return known

    def has_module(self, module: Any) -> bool:
        """Say whether a module is the user's."""
        file, name = getattr(module, "__file__", None), getattr(module, "__name__", "")
        if name == "__main__" and self._modules is None:
            return True
        return isinstance(file, str) and isinstance(name, str) and self._has(file, name)

    def _has(self, file: str, name: str) -> bool:
        is_installed = bool(_INSTALLED & {*pathlib.PurePath(file).parts})
        if file.startswith(_ITF) or (file.startswith(_STANDARD) and not is_installed):
            return False
        if file in self._files:
            return True
        if file.startswith("<"):
            # Code that was generated, of a dataclass for one, belongs to whoever has it made.
            top = name.partition(".")[0]
            if top == "itf" or top in sys.stdlib_module_names or file.startswith("<frozen "):
                return False
        if self._modules is not None:
            return any(name == module or name.startswith(f"{module}.") for module in self._modules)
        return not is_installed

    def place_of(self, frame: FrameType) -> Place | None:
        """Return where the user's innermost frame is, counted from a frame outwards, if any."""
        found: FrameType | None = frame
        while found is not None and not self.has_frame(found):
            found = found.f_back
        return None if found is None else Place.of(found)


class Watch:
    """Calls the scheduler at each point of the user's code that a thread of the run comes to.

    Here by ``sys.settrace``, which Python has one of for each thread.

    Args:
        scope: Whose code it is.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._points: dict[int, frozenset[int]] = {}
        self._codes: list[CodeType] = []

    def start(self) -> None:
        """Begin; called once for all runs."""

    def stop(self) -> None:
        """End; called once after all runs."""

    def during(self, function: Callable[[], object]) -> None:
        """Call a function in a thread of a run; what traced the thread is put back after it."""
        now = current_task()
        if now is None:
            function()
            return
        scheduler, task = now

        def enter(frame: FrameType, event: str, argument: object) -> Any:
            if not self._scope.has_frame(frame):
                return None
            points = self.points(frame.f_code)
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False

            def within(frame: FrameType, event: str, argument: object) -> Any:
                if event == "opcode" and frame.f_lasti in points:
                    scheduler.step(task, frame, frame.f_lasti)
                return within

            return within

        before = sys.gettrace()
        sys.settrace(enter)
        try:
            function()
        finally:
            sys.settrace(before)

    def points(self, code: CodeType) -> frozenset[int]:
        """Return the points of a code, worked out once."""
        points = self._points.get(id(code))
        if points is None:
            self._codes.append(code)
            points = self._points[id(code)] = points_of(code)
        return points


if sys.version_info >= (3, 12):
    # 0, 1, 2 and 5 are for debuggers, coverage, profilers and optimizers.
    _OUR_TOOLS: Final = (4, 3)

    class _Monitor(Watch):
        """The same by ``sys.monitoring``, beside whatever else traces, and measures coverage."""

        _tool: int

        def start(self) -> None:
            monitoring = sys.monitoring
            free = [tool for tool in _OUR_TOOLS if monitoring.get_tool(tool) is None]
            if not free:
                raise RuntimeError(
                    "interleave needs a free tool id of sys.monitoring; "
                    f"{monitoring.get_tool(3)!r} and {monitoring.get_tool(4)!r} have both"
                )
            self._tool = free[0]
            monitoring.use_tool_id(self._tool, "itf.interleave")
            monitoring.register_callback(self._tool, monitoring.events.PY_START, self._enter)
            monitoring.register_callback(self._tool, monitoring.events.INSTRUCTION, self._step)
            monitoring.set_events(self._tool, monitoring.events.PY_START)

        def stop(self) -> None:
            monitoring = sys.monitoring
            monitoring.set_events(self._tool, 0)
            for code in self._codes:
                monitoring.set_local_events(self._tool, code, 0)
            for event in (monitoring.events.PY_START, monitoring.events.INSTRUCTION):
                monitoring.register_callback(self._tool, event, None)
            monitoring.free_tool_id(self._tool)

        def during(self, function: Callable[[], object]) -> None:
            function()

        def _enter(self, code: CodeType, offset: int) -> None:
            if id(code) not in self._points and self._scope.has_frame(sys._getframe(1)):
                self.points(code)
                events = sys.monitoring.events
                sys.monitoring.set_local_events(self._tool, code, events.INSTRUCTION)

        def _step(self, code: CodeType, offset: int) -> Any:
            if offset not in self._points.get(id(code), ()):
                return sys.monitoring.DISABLE
            now = current_task()
            if now is not None:
                now[0].step(now[1], sys._getframe(1), offset)
            return None

    watch: Callable[[Scope], Watch] = _Monitor
else:
    watch = Watch
