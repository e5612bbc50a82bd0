"""What a guard has to say, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from itf.leaks.leak import Leak

__all__ = ["LeakReport"]

__unittest = True

_ADVICE: Final = {
    "threads": "join threads",
    "processes": "wait for processes",
    "interpreters": "close interpreters",
    "descriptors": "close descriptors",
    "files": "remove files",
    "shared": "unlink shared memory",
    "tasks": "await or cancel tasks",
    "environment": "restore what is changed (unittest.mock.patch)",
    "settings": "restore what is changed (unittest.mock.patch)",
    "errors": "catch errors where they are raised",
    "garbage": "close what has a close()",
}

_PLURALS: Final = {"process": "processes", "memfd": "memfds", "epoll": "epolls"}


class LeakReport:
    """What was left behind, and by whom.

    Attributes:
        name: The test, or whatever was guarded.
        leaks: What was left behind; direct ones in order, each with what it
            keeps alive behind it.
    """

    def __init__(self, name: str, leaks: Sequence[Leak] = (), *, traced: bool = False) -> None:
        self.name = name
        self.leaks: list[Leak] = []
        self._traced = traced
        self.fill(leaks)

    def fill(self, leaks: Sequence[Leak]) -> None:
        """Add leaks; those that a process keeps alive behind it."""
        keys = {leak.key for leak in leaks}
        for leak in leaks:
            if leak.under is None or leak.under not in keys:
                leak.under = None
                self.leaks.append(leak)
                self.leaks += [other for other in leaks if other.under == leak.key]
        # Now, as long as there is something to be said of them.
        for leak in self.leaks:
            leak.text = leak.text or leak.tell()

    @property
    def text(self) -> str:
        """All of it: a line for each, what to do, and a summary as the last line."""
        lines = [f"{self.name} left behind:"]
        for leak in self.leaks:
            indent = "  " if leak.under is None else "    because of it: "
            lines.append(f"{indent}{leak.text}")
        advice = dict.fromkeys(_ADVICE[leak.dimension] for leak in self.leaks)
        lines.append(
            f"{'; '.join(advice)}; what may stay: name it in leak_ignore, or make it "
            'inside `with itf.outlives_test("why")`'
        )
        if not self._traced:
            lines.append("ITF_TRACE=1, or leak_trace = True, tells where each was made")
        lines.append(self.summary)
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """One line: how many of what, by whom."""
        counts = Counter(leak.noun for leak in self.leaks)
        parts = [f"{count} {_counted(noun, count)}" for noun, count in counts.items()]
        return f"SUMMARY: {', '.join(parts)} leaked by {self.name}"

    def __bool__(self) -> bool:
        return bool(self.leaks)

    def __str__(self) -> str:
        return self.text


def _counted(noun: str, count: int) -> str:
    if count == 1:
        return noun
    if noun.endswith("y") and noun != "shared memory":
        return f"{noun[:-1]}ies"
    return _PLURALS.get(noun, f"{noun}s" if noun != "shared memory" else noun)
