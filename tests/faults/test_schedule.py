from __future__ import annotations

import pickle
import threading
import unittest
from typing import Any

from itf.faults.call_counter import EXHAUSTED, TicketIterator
from itf.faults.schedule import ENDLESS, Every, Random, Runs, Schedule
from tests.support import in_threads

SCHEDULES: dict[str, tuple[Schedule, list[int]]] = {
    # Schedules, each with the calls it hits among its first twelve.
    "always": (Runs([(True, ENDLESS)]), list(range(1, 13))),
    "the third": (Runs.of_calls([3]), [3]),
    "the first four": (Runs([(True, 4), (False, ENDLESS)]), [1, 2, 3, 4]),
    "some": (Runs.of_calls([1, 4, 5, 12]), [1, 4, 5, 12]),
    "after ten": (Runs([(False, 10), (True, ENDLESS)]), [11, 12]),
    "after none": (Runs([(False, 0), (True, ENDLESS)]), list(range(1, 13))),
    "none": (Runs.of_calls([]), []),
    "every fifth": (Every(5), [5, 10]),
    "each": (Every(1), list(range(1, 13))),
    "by chance": (Random(0.3, 5), [3, 7, 12]),
    "by no chance": (Random(0.0, 1), []),
    "by hardly any": (Random(5e-324, 1), []),
    "surely": (Random(1.0, 1), list(range(1, 13))),
}


def take(tickets: TicketIterator) -> object:
    """Take a ticket, extending exhausted tickets, as a plan in one thread does."""
    ticket = tickets.take()
    if ticket is EXHAUSTED:
        tickets.extend()
        ticket = tickets.take()
    return ticket


class ScheduleTest(unittest.TestCase):
    def test_tickets_and_numbers_say_the_same(self) -> None:
        """Tickets and numbers hit the same calls."""
        for name, (schedule, expected) in SCHEDULES.items():
            with self.subTest(name):
                tickets = TicketIterator(schedule)
                hits = []
                for call in range(1, 13):
                    if not take(tickets):
                        hits.append(call)
                    self.assertEqual(call, tickets.taken)
                self.assertEqual(expected, hits)
                self.assertEqual(expected, [n for n in range(1, 13) if schedule.is_hit(n)])

    def test_hits_are_counted_from_calls(self) -> None:
        """`hits` and `call_of` follow from the number of calls alone."""
        for name, (schedule, expected) in SCHEDULES.items():
            with self.subTest(name):
                for calls in range(13):
                    self.assertEqual(sum(hit <= calls for hit in expected), schedule.hits(calls))
                self.assertEqual(
                    expected, [schedule.call_of(n) for n in range(1, len(expected) + 1)]
                )
                self.assertEqual(expected[0] if expected else None, schedule.first)

    def test_what_never_ends(self) -> None:
        """`is_endless` is true if no call passes after the first hit."""
        endless = {name for name, (schedule, _) in SCHEDULES.items() if schedule.is_endless}
        self.assertEqual({"always", "after ten", "after none", "each", "surely"}, endless)

    def test_eight_threads_take_each_ticket_once(self) -> None:
        """Eight threads that take and extend tickets lose none and take none twice."""
        for name, (schedule, _) in SCHEDULES.items():
            with self.subTest(name):
                tickets = TicketIterator(schedule)
                lock = threading.Lock()

                def taken(_: int, tickets: TicketIterator = tickets, lock: Any = lock) -> int:
                    hits = 0
                    for _ in range(2000):
                        while (ticket := tickets.take()) is EXHAUSTED:
                            with lock:
                                tickets.extend()
                        hits += not ticket
                    return hits

                self.assertEqual(schedule.hits(16_000), sum(in_threads(8, taken)))
                self.assertEqual(16_000, tickets.taken)

    def test_hits_that_are_far_apart(self) -> None:
        """Widely spaced hits are exact over many pieces of tickets."""
        for n in (7, 1000, 1001, 1500):
            tickets = TicketIterator(Every(n))
            hits = [call for call in range(1, 100_001) if not take(tickets)]
            self.assertEqual(list(range(n, 100_001, n)), hits)
            self.assertEqual(100_000, tickets.taken)

    def test_a_signal_handler_that_extends_during_extend(self) -> None:
        """Tickets that a signal handler builds and takes during `extend` count."""
        schedule = Every(1)
        tickets = TicketIterator(schedule)
        while tickets.take() is not EXHAUSTED:
            pass
        before = tickets.taken
        parts = schedule.parts

        def interrupted(calls: int) -> Any:
            schedule.parts = parts  # type: ignore[method-assign]
            take(tickets)
            return parts(calls)

        schedule.parts = interrupted  # type: ignore[method-assign]
        tickets.extend()
        self.assertEqual(before + 1, tickets.taken)

    def test_a_seed_draws_the_same_calls_again(self) -> None:
        """A seed selects the same calls after pickling, and in any order of queries."""
        one, other = Random(0.5, "seed"), pickle.loads(pickle.dumps(Random(0.5, "seed")))
        self.assertEqual(
            [one.is_hit(n) for n in range(1, 500)],
            [other.is_hit(n) for n in reversed(range(1, 500))][::-1],
        )
        self.assertNotEqual(one.hits(1000), Random(0.5, "other").hits(1000))
        self.assertEqual(one.hits(100_000), other.hits(100_000))
        self.assertAlmostEqual(0.5, one.hits(100_000) / 100_000, delta=0.01)

    def test_half_a_schedule_of_many_runs(self) -> None:
        """A schedule of a thousand single calls is exact."""
        calls = list(range(1, 3000, 3))
        schedule = Runs.of_calls(calls)
        tickets = TicketIterator(schedule)
        self.assertEqual(calls, [n for n in range(1, 3001) if not tickets.take()])
        self.assertEqual((1000, 3000), (schedule.hits(3000), tickets.taken))


if __name__ == "__main__":
    unittest.main()
