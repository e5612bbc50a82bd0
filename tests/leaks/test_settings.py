from __future__ import annotations

import signal
import tempfile
import unittest

from itf import leak_guard
from tests.support import run_script

# Long enough that it does not fire in a test.
LONG = 3600.0


@unittest.skipUnless(hasattr(signal, "setitimer"), "there are no timers")
class TimersTest(unittest.TestCase):
    """Timers that run before what is guarded."""

    def setUp(self) -> None:
        # Waited for where it is wanted, and else not to end the tests.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)

    def leaks_of(self, *timer: float) -> str:
        """Return what is said of a block that sets the timer."""
        with self.assertRaises(AssertionError) as caught, leak_guard("it"):
            signal.setitimer(signal.ITIMER_REAL, *timer)
        return str(caught.exception)

    def test_one_that_fires_meanwhile_is_no_leak(self) -> None:
        """It is not set anew, to fire a second time."""
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with leak_guard():
            signal.sigwait([signal.SIGALRM])
        self.assertEqual((0.0, 0.0), signal.getitimer(signal.ITIMER_REAL))

    def test_one_that_goes_on_is_no_leak(self) -> None:
        """Though what is left of it is less."""
        for timer in ((LONG,), (LONG, 7.0)):
            signal.setitimer(signal.ITIMER_REAL, *timer)
            with self.subTest(timer), leak_guard():
                """Nothing."""

    def test_another_one_in_its_place_is_told(self) -> None:
        """And the first one goes on as if nothing had been."""
        for timer in ((LONG,), (LONG, 7.0)):
            for other in ((60.0,), (LONG, 8.0), (2 * LONG,)):
                signal.setitimer(signal.ITIMER_REAL, *timer)
                with self.subTest(timer=timer, other=other):
                    self.assertIn("timer ITIMER_REAL was on, 3.6e+03 s left", self.leaks_of(*other))
                    left, interval = signal.getitimer(signal.ITIMER_REAL)
                    self.assertLess(LONG - left, 60)
                    self.assertLessEqual(left, LONG)
                    self.assertEqual((*timer, 0.0)[1], interval)

    def test_one_that_is_stopped_goes_on(self) -> None:
        """As if nothing had been."""
        for timer in ((LONG,), (LONG, 7.0)):
            signal.setitimer(signal.ITIMER_REAL, *timer)
            with self.subTest(timer):
                self.assertIn("became off", self.leaks_of(0.0))
                self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], LONG - 60)


class TemporaryFolderTest(unittest.TestCase):
    def test_the_first_use_is_no_leak(self) -> None:
        """However the environment writes the folder."""
        with tempfile.TemporaryDirectory() as folder:
            done = run_script(
                "import itf, tempfile\nwith itf.leak_guard(): print(tempfile.gettempdir())",
                TMPDIR=f"{folder}/",
            )
        self.assertEqual((f"{folder}\n", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
