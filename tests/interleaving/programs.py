"""Small programs with and without concurrency faults, for the tests of interleave."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = [
    "Account",
    "AccountWithLock",
    "Pipeline",
    "Slotted",
    "crossing",
    "failing_run",
    "global_lock",
    "lost_update",
]

global_lock = threading.Lock()


class Account:
    """An account that loses an update if a thread is preempted between read and write."""

    def __init__(self) -> None:
        self.balance = 0

    def deposit(self) -> None:
        self.balance += 1


@dataclasses.dataclass
class AccountWithLock:
    """An account that loses no update; a dataclass factory creates its lock."""

    lock: Any = dataclasses.field(default_factory=threading.Lock)
    queue: Any = dataclasses.field(default_factory=queue.SimpleQueue)
    balance: int = 0

    def deposit(self) -> None:
        with self.lock:
            self.balance += 1


class Slotted:
    """An object whose lock is in a slot."""

    __slots__ = ("lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        with self.lock:
            self.value += 1


class Pipeline:
    """Threads that wait for queues, conditions, semaphores, events, sleeps and each other."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.queue: queue.Queue[int] = queue.Queue(2)
        self.condition = threading.Condition()
        self.semaphore = threading.Semaphore(1)
        self.event = threading.Event()
        self.log: list[int] = []

    def produce(self) -> None:
        for number in range(4):
            self.queue.put(number)
            self.note(number)
        self.event.set()
        with self.condition:
            self.condition.notify_all()

    def consume(self) -> None:
        for _ in range(4):
            number = self.queue.get(timeout=3)
            time.sleep(0.01)
            self.note(-number)
        self.event.wait(1)
        with self.condition:
            self.condition.wait(2)

    def start_others(self) -> None:
        threads = [threading.Thread(target=self.note, args=(9,), name=f"t{n}") for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)

    def note(self, number: int) -> None:
        with self.semaphore:
            self.log.append(number)


def crossing(first: Any, second: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return two functions that acquire two locks in opposite orders."""

    def forwards() -> None:
        with first, second:
            return

    def backwards() -> None:
        with second, first:
            return

    return forwards, backwards


def failing_run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the error of a call of interleave that must fail."""
    from itf import InterleavingError

    try:
        function(*args, **kwargs)
    except InterleavingError as error:
        return error
    raise AssertionError("no interleaving failed")


def lost_update(**options: Any) -> Any:
    """Interleave two deposits without a lock, and return the error."""
    from itf import interleave

    account = Account()

    def setup() -> None:
        account.balance = 0

    def check() -> None:
        if account.balance != 2:
            raise AssertionError(f"balance is {account.balance}")

    return failing_run(
        interleave, account.deposit, account.deposit, setup=setup, check=check, **options
    )
