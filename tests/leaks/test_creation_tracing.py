from __future__ import annotations

import io
import os
import socket
import subprocess
import tempfile
import textwrap
import threading
import unittest

from itf import leak_guard
from tests.support import run_script

TIMEOUT = 30


def libc_open(number: int) -> None:
    """Open a file under a number, without any function of Python's."""
    import ctypes

    libc = ctypes.CDLL(None)
    opened = libc.open(b"/dev/null", 0)
    if opened != number:
        libc.dup2(opened, number)
        libc.close(opened)


class Waiter(threading.Thread):
    """A thread that waits until it is told to end."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._stop_waiting = threading.Event()
        self.start()

    def run(self) -> None:
        """Wait."""
        self._stop_waiting.wait(TIMEOUT)

    def end(self) -> None:
        """Let it end."""
        self._stop_waiting.set()
        self.join(TIMEOUT)


class TracingTest(unittest.TestCase):
    """With tracing, a report says where each thing was made."""

    def leaks(self) -> str:
        """Leave one thing of each sort behind, and return what is told."""
        with self.assertRaises(AssertionError) as caught, leak_guard(trace=True, grace=0):
            file = open(__file__)
            self.addCleanup(file.close)
            ours, theirs = socket.socketpair()
            self.addCleanup(ours.close)
            self.addCleanup(theirs.close)
            process = subprocess.Popen(["sleep", "30"])
            self.addCleanup(process.wait)
            waiter = Waiter("pump")
            self.addCleanup(waiter.end)
            tempfile.mkdtemp()
            os.environ["UPLOAD"] = "now"
        return str(caught.exception)

    def test_each_is_told_with_its_place(self) -> None:
        """File, socket, process, thread, temporary directory, variable."""
        text = self.leaks()
        here = r"test_creation_tracing\.py:\d+ in TracingTest\.leaks"
        for told in (
            rf"file .*test_creation_tracing\.py .*, opened at \S*{here}",
            rf"socket unix .*, opened at .*{here}",
            rf"process \d+ \(sleep 30\), started at .*{here}",
            rf"thread 'pump' .*, started at .*Waiter\.__init__, called from \S*{here}",
            rf"temporary directory .*, made at .*{here}",
            rf"variable UPLOAD .*, set at .*{here}",
        ):
            with self.subTest(told):
                self.assertRegex(text, told)
        self.assertNotIn("ITF_TRACE", text)

    def test_everything_is_as_before_after_it(self) -> None:
        """The functions that were watched are the standard library's own again."""
        import builtins

        before = (builtins.open, io.open, os.open, socket.socket.__init__, threading.Thread.start)
        self.leaks()
        after = (builtins.open, io.open, os.open, socket.socket.__init__, threading.Thread.start)
        self.assertEqual(before, after)

    def test_the_watched_functions_do_as_the_others(self) -> None:
        """They are no methods where they stand in a class, are pickled, and known to os."""
        import pickle

        with leak_guard(trace=True):

            class Opener:
                opener = open

            with Opener().opener(__file__) as file:
                self.assertTrue(file.readable())
            sent = pickle.loads(pickle.dumps(open))
            self.assertIs(getattr(open, "original", None), getattr(sent, "original", sent))
            self.assertIn(os.open, os.supports_dir_fd)
            self.assertEqual("open", open.__name__)

    def test_a_descriptor_of_another_file_is_not_told_with_the_place_of_the_first(self) -> None:
        """A number that was closed and opened anew past the watch has no place."""
        with self.assertRaises(AssertionError) as caught, leak_guard(trace=True, grace=0):
            with open(__file__) as file:
                number = file.fileno()
            libc_open(number)
            self.addCleanup(os.close, number)
        self.assertNotIn("opened at", str(caught.exception))

    def test_the_environment_switches_it_on(self) -> None:
        """`ITF_TRACE=1` for every test of a run; `leak_trace` for a class."""
        script = """
            import itf, unittest
            class Case(itf.IntegrationTestCase):
                leak_grace = 0
                leak_trace = TRACE
                def test(self):
                    self.file = open("/dev/null")
            result = unittest.TestResult()
            Case("test").run(result)
            print(result.failures[0][1])
        """
        for trace, environment in (("False", {"ITF_TRACE": "1"}), ("True", {"ITF_TRACE": ""})):
            with self.subTest(trace):
                source = textwrap.dedent(script).replace("TRACE", trace)
                done = run_script(source, **environment)
                self.assertRegex(
                    done.stdout, r"file /dev/null .*, opened at <string>:7 in Case\.test"
                )
