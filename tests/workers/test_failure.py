from __future__ import annotations

import dataclasses
import pickle
import unittest

from itf.exceptions import WorkerError
from itf.workers.failure import Failure, RemoteWorkerError


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    pass


class FailureTest(unittest.TestCase):
    def test_every_failure_fits_into_a_pipe(self):
        """However long its message, in whatever alphabet: 64 KiB wait for nobody."""
        for letter in ("x", "\N{GRINNING FACE}", "\udc80"):
            for length in (7_000, 24_000, 1_000_000):
                failure = Failure.of(ValueError(letter * length), "m" * 100_000)
                self.assertLess(len(pickle.dumps(tuple(failure))), 65_536)

    def test_an_error_comes_back_with_the_text_as_its_cause(self):
        """Type, arguments, and the remote traceback."""
        error = Failure.of(KeyError("k"), "m").exception("w")
        self.assertEqual((KeyError, ("k",)), (type(error), error.args))
        self.assertIsInstance(error.__cause__, RemoteWorkerError)

    def test_what_cannot_be_unpickled_here_is_described(self):
        """A class that only the worker knows does not lose the error."""
        failure = Failure("m", "text", "OddError: no", b"garbage")
        error = failure.exception("w")
        self.assertEqual("worker 'w' raised OddError: no", str(error))
        self.assertIs(WorkerError, type(error))
        self.assertEqual("\ntext", str(error.__cause__))

    def test_an_address_in_a_message_is_no_difference(self):
        """An error that names an object by its address still comes back as itself."""
        error = Failure.of(ValueError(FrozenError.__init__, Plain()), "m").exception("w")
        self.assertIs(ValueError, type(error))


class Plain:
    pass
