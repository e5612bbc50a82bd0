"""Text of a failed run: the last turns, the deadlock, and threads that did not end."""

from __future__ import annotations

import dis
import linecache
import sys
import threading
from collections.abc import Sequence
from typing import Final

from itf.interleaving.managed_thread import Location, ManagedThread, Turn, wait_cycle
from itf.interleaving.scheduler import Scheduler
from itf.tracebacks import thread_location

__all__ = [
    "describe_deadlock",
    "describe_stuck",
    "describe_turns",
    "replay_advice",
    "shown_turns",
]

__unittest = True

# Number of turns in the message.  The error's `schedule` has more.
_TURNS_SHOWN: Final = 20

# Description of a thread that stalls in a call that is not patched.
_OUTSIDE: Final = "blocked in a call that interleave does not control"


def replay_advice(seed: int) -> str:
    """Return the call that repeats the run."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"replay: interleave(..., seed={seed}, runs=1), the same under Python {version}"


def describe_turns(scheduler: Scheduler) -> list[str]:
    """Return one line for each recorded turn, oldest first."""
    width = max((len(managed.name) for managed in scheduler.threads), default=0)
    return [f"{turn.managed.name:{width}}  {_turn(turn)}" for turn in scheduler.turns]


def shown_turns(lines: Sequence[str]) -> str:
    """Return the last turns as text, with a heading."""
    shown = lines[-_TURNS_SHOWN:]
    heading = f"the turns that led to it (last {len(shown)} of {len(lines)}):"
    return "\n".join([heading, *(f"  {line}" for line in shown)])


def _turn(turn: Turn) -> str:
    match turn.reason:
        case "done":
            return "ran to its end"
        case "failed":
            return "ran until it failed"
        case "outside":
            return f"{_OUTSIDE}; other threads continued"
        case "running":
            return "still ran when the time was up"
        case "interrupted":
            return f"ran to {_at(turn.location)}"
        case waits_for:
            return f"ran to {_at(turn.location)}; waits for {waits_for}"


def _at(location: Location | None) -> str:
    if location is None:
        return "a place outside of your code"
    where = _site(location)
    if location.offset is not None:
        where += f", before {_instruction(location)}"
    source = linecache.getline(location.code.co_filename, location.line).strip()
    return f"{where}:  {source}" if source else where


def _site(location: Location) -> str:
    return f"{location.code.co_filename}:{location.line} in {location.code.co_qualname}"


def _instruction(location: Location) -> str:
    offset = location.offset or 0
    for instruction in dis.get_instructions(location.code):
        # The offset may be that of an EXTENDED_ARG prefix of the instruction.
        if instruction.offset >= offset and instruction.opname != "EXTENDED_ARG":
            return f"{instruction.opname} {instruction.argrepr}".strip()
    return f"instruction {location.offset}"


def describe_deadlock(threads: Sequence[ManagedThread]) -> str:
    """Return what each deadlocked thread waits for and holds; only the cycle, if there is one."""
    cycle = wait_cycle(threads)
    shown = cycle[:-1] or list(threads)
    if cycle:
        heading = f"deadlock: {' -> '.join(managed.name for managed in cycle)}"
    else:
        heading = "deadlock: no thread can continue"
    return "\n".join([heading, *(line for managed in shown for line in _waits(managed))])


def _waits(managed: ManagedThread) -> list[str]:
    resource = managed.resource
    if resource is None:
        return []
    holder = resource.holder()
    text = f"  {managed.name} waits for {resource.describe()}"
    if holder is managed:
        text += ", which it holds itself"
    elif isinstance(holder, ManagedThread) and holder is not resource:
        text += f", held by {holder.name}"
        if holder.is_free():
            text += ", which has ended"
    elif isinstance(holder, int):
        text += f", held by {_name_of(holder)}"
    lines = [f"{text},", f"    at {_at(managed.location)}"]
    lines += [
        f"    holding {lock.describe()}, acquired at {_at(location)}"
        for lock, location in managed.holds.items()
    ]
    return lines


def _name_of(ident: int) -> str:
    names = [repr(thread.name) for thread in threading.enumerate() if thread.ident == ident]
    return (
        f"thread {names[0]}"
        if names
        else "no thread of the run: it was locked before the run, or by unpatched code"
    )


def describe_stuck(scheduler: Scheduler, allowed: float) -> str:
    """Return where each thread is, at the expiry of the timeout."""
    lines = [f"the run did not end within {allowed:g} s:"]
    for managed in scheduler.threads:
        if managed.is_free() or managed.thread is None:
            continue
        if not managed.has_begun:
            lines.append(f"  {managed.name} has not begun")
            continue
        lines.append(f"  {managed.name} ({_state(managed)}) is {thread_location(managed.thread)}")
    return "\n".join(lines)


def _state(managed: ManagedThread) -> str:
    if managed.resource is not None and managed.state == "blocked":
        return f"waits for {managed.resource.describe()}"
    return {
        "outside": _OUTSIDE,
        "ready": "waits for its turn",
        "running": "has the turn",
    }.get(managed.state, managed.state)
