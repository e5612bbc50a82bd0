"""The guard sees the same where every import is lazy, and Python ends as quietly."""

from __future__ import annotations

import pathlib
import sys
import tempfile
import unittest

from tests.support import run_script

# A lazy import is none before its name is used, in itf and in the program alike.
SCRIPT = """
import asyncio, os, tempfile, threading, warnings
import itf
from itf.descriptors import anonymous_file
loop = asyncio.new_event_loop()
kept, stop = [], threading.Event()

async def forever():
    await asyncio.get_running_loop().create_future()

async def answer():
    pass

class Dying:
    def __del__(self):
        raise ValueError("planted")

def task():
    kept.append(loop.create_task(forever(), name="left"))
    loop.run_until_complete(asyncio.sleep(0))

def thread():
    kept.append(threading.Thread(target=stop.wait, args=(60,), name="waiter"))
    kept[-1].start()

leaks = (
    task,
    lambda: answer() and None,
    lambda: Dying() and None,
    lambda: os.environ.update(PLANTED="x"),
    lambda: warnings.simplefilter("ignore"),
    lambda: kept.append(tempfile.TemporaryFile()),
    lambda: kept.append(tempfile.TemporaryDirectory()),
    thread,
)
for leak in leaks:
    try:
        with itf.leak_guard("it", grace=0):
            leak()
    except AssertionError as error:
        print(str(error).splitlines()[-1].removeprefix("SUMMARY: ").removesuffix(" leaked by it"))
with itf.leak_guard("clean"):
    pass
stop.set()
for each in kept[1:2]:
    each.close()
kept[2].cleanup()
loop.run_until_complete(asyncio.wait([kept[0]]))
loop.close()
# Freed when Python has ended all else.
circle = [anonymous_file("circle")]
circle.append(circle)
"""

EXPECTED = """\
1 task
1 coroutine
1 error
1 variable
1 setting
1 deleted file
1 temporary directory
1 thread
"""


class LazyImportsTest(unittest.TestCase):
    def test_it_sees_the_same_with_imports_of_either_kind(self) -> None:
        """Eager, or lazy from 3.15 on; nothing is said when Python ends."""
        for mode in ("normal", "all"):
            with self.subTest(mode):
                done = run_script(SCRIPT, PYTHON_LAZY_IMPORTS=mode)
                self.assertEqual((EXPECTED, ""), (done.stdout, done.stderr))

    def test_a_function_of_the_module_that_is_imported_is_guarded(self) -> None:
        """What `setUpModule` leaves is told, also where another module has it."""
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "helper.py").write_text(
                "import os\ndef setUpModule(): os.environ['LEFT'] = 'x'\n", encoding="utf-8"
            )
            pathlib.Path(folder, "imported.py").write_text(
                "import itf\nfrom helper import setUpModule\n"
                "class Case(itf.IntegrationTestCase):\n    def test(self): pass\n",
                encoding="utf-8",
            )
            script = (
                "import sys, unittest\nsys.path.append(sys.argv[1])\n"
                "result = unittest.TestResult()\n"
                "unittest.defaultTestLoader.loadTestsFromName('imported').run(result)\n"
                "print(*(text.splitlines()[-1] for _, text in result.errors))\n"
            )
            for mode in ("normal", "all"):
                with self.subTest(mode):
                    done = run_script(script, folder, PYTHON_LAZY_IMPORTS=mode)
                    expected = "SUMMARY: 1 variable leaked by imported\n"
                    self.assertEqual((expected, ""), (done.stdout, done.stderr))

    @unittest.skipIf(sys.version_info < (3, 15), "there are no lazy imports before 3.15")
    def test_the_variable_makes_imports_lazy(self) -> None:
        """Else the other test would say nothing."""
        source = "import sys\nprint(sys.get_lazy_imports())"
        done = run_script(source, PYTHON_LAZY_IMPORTS="all")
        self.assertEqual(("all\n", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
