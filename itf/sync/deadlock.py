"""Which threads hold which locks, which threads wait for what, and deadlocks among them."""

from __future__ import annotations

import time
from typing import NamedTuple

from itf.sync.lock_entries import LOCK, slots_holding
from itf.sync.members import MemberTable

__all__ = ["Holder", "Wait", "describe", "find_deadlock", "holders", "report", "waits"]

__unittest = True


class Holder(NamedTuple):
    """A thread that holds a lock."""

    lock: str
    worker: str
    pid: int
    thread: str


class Wait(NamedTuple):
    """A thread that waits for a shared object.

    Attributes:
        worker: Name of the thread's process.
        pid: Process id.
        thread: Name of the thread.
        waits_for: What it waits for, in words.
        site: Line of the user's code that waits.
        seconds: How long it has been waiting.
        holders: Who holds what it waits for; empty if that is not a lock.
        number: Number in the directory of what it waits for.
    """

    worker: str
    pid: int
    thread: str
    waits_for: str
    site: str
    seconds: float
    holders: tuple[Holder, ...]
    number: int


def holders(table: MemberTable) -> list[Holder]:
    """Return the holders of all locks.

    A thread that is about to acquire a lock without a wait, or has just released
    it, counts as a holder.  Where a lock was acquired is not recorded, because
    this would cost more time than the lock.
    """
    return [holder for found in _holders(table).values() for _, holder in found]


def waits(table: MemberTable) -> list[Wait]:
    """Return the threads that wait; one that has begun to wait just now may be missing."""
    return list(_waits(table).values())


def find_deadlock(table: MemberTable) -> list[Wait] | None:
    """Return the threads of a circle, in which each waits for a lock of the next; None if none."""
    held, waiting = _holders(table), _waits(table)
    for start in waiting:
        circle = [start]
        # Follow the only way there is: a thread waits for one lock, and a lock has
        # one holder.
        while len(circle) <= len(waiting):
            by = held.get(waiting[circle[-1]].number, [])
            if len(by) != 1 or by[0][0] not in waiting:
                break
            if by[0][0] == start:
                return [waiting[slot] for slot in circle]
            circle.append(by[0][0])
    return None


def describe(table: MemberTable, problem: str) -> str:
    """Return the message of a timeout: the problem, then the report of the environment."""
    if table.describe is not None:
        return table.describe(problem)
    return "\n".join([problem, *report(table)])


def report(table: MemberTable) -> list[str]:
    """Return lines about the living processes, their waits, deadlocks, and dead holders."""
    lines = []
    found = waits(table)
    for member in table.members():
        lines.append(f"  {member.name!r} (pid {member.pid})")
        lines += [f"    {_describe_wait(wait)}" for wait in found if wait.pid == member.pid]
    deadlock = find_deadlock(table)
    if deadlock is not None:
        circle = [
            f"thread {wait.thread!r} of {wait.worker!r} (pid {wait.pid}) waits for {wait.waits_for}"
            for wait in deadlock
        ]
        lines.append(f"  a deadlock: {', whose holder '.join(circle)}, which the first one holds")
    lines += [
        f"  {lost.worker!r} (pid {lost.pid}) died holding {lost.held}, which was recovered"
        for lost in table.dead_holders()
    ]
    return lines


def _describe_wait(wait: Wait) -> str:
    by = " and ".join(
        f"{who.worker!r} (pid {who.pid}, thread {who.thread!r})" for who in wait.holders
    )
    held = f"; held by {by}" if by else ""
    return (
        f"thread {wait.thread!r} has been waiting for {wait.waits_for} for {wait.seconds:.1f} s "
        f"at {wait.site}{held}"
    )


def _holders(table: MemberTable) -> dict[int, list[tuple[int, Holder]]]:
    """Return the thread slots that hold a lock and their holders, by the lock's number."""
    slots = {slot.slot: slot for slot in table.thread_slots()}
    found: dict[int, list[tuple[int, Holder]]] = {}
    for entry in table.entries(LOCK):
        for number in slots_holding(table, entry.offset):
            slot = slots.get(number)
            if slot is not None:
                who = table.member(slot.process)
                holder = Holder(entry.label, who.name, who.pid, slot.name)
                found.setdefault(entry.number, []).append((number, holder))
    return found


def _waits(table: MemberTable) -> dict[int, Wait]:
    """Return the waits by thread slot."""
    held = _holders(table)
    found = {}
    for slot in table.thread_slots():
        if slot.waits_for is not None:
            who = table.member(slot.process)
            by = tuple(holder for _, holder in held.get(slot.waits_for, []))
            label = table.entry(slot.waits_for).label
            seconds = max(0.0, time.time() - slot.since)
            found[slot.slot] = Wait(
                who.name, who.pid, slot.name, label, slot.site, seconds, by, slot.waits_for
            )
    return found
