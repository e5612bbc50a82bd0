from __future__ import annotations

import os
import subprocess
import sys
import threading
import unittest
import warnings
from unittest import mock

from itf import test_file_generator as file_generator


class EnforcePermissionsTest(unittest.TestCase):
    """`enforce_permissions`, by the method of the file generator."""

    def setUp(self) -> None:
        self.files = file_generator()
        self.files.setUp()
        self.addCleanup(self.files.tearDown)
        self.root = self.files.workspace

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0, "for root only")
    def test_root_can_read_it_outside_of_the_block(self) -> None:
        """The block affects its thread and threads started in it, not other threads or programs."""
        with self.assertWarns(RuntimeWarning):
            path = self.files.create_unreadable("a", "secret")
        results: dict[str, str] = {}

        def read(name: str) -> None:
            try:
                results[name] = path.read_text()
            except PermissionError:
                results[name] = "refused"

        go, done = threading.Event(), threading.Event()

        def outside() -> None:
            go.wait(60)
            read("outside")
            done.set()

        other = threading.Thread(target=outside)
        other.start()
        read("before")
        with self.files.enforce_permissions(), self.files.enforce_permissions():
            go.set()
            done.wait(60)
            inner = threading.Thread(target=read, args=("inside",))
            inner.start()
            inner.join(60)
            read("here")
            child = subprocess.run([sys.executable, "-c", f"open({str(path)!r})"], check=False)
        read("after")
        other.join(60)
        refused = dict.fromkeys(("here", "inside"), "refused")
        seen = dict.fromkeys(("before", "after", "outside"), "secret")
        self.assertEqual((refused | seen, 0), (results, child.returncode))

    def test_systems_without_capabilities(self) -> None:
        """Where capabilities cannot be changed, root gets a warning, and other users get none."""
        with (
            mock.patch(
                "itf.file_generation.capabilities._change_effective",
                side_effect=AttributeError("capget"),
            ),
            mock.patch("os.geteuid", lambda: 0),
            self.assertWarns(RuntimeWarning) as caught,
            self.files.enforce_permissions(),
        ):
            self.assertTrue(self.root.exists())
        self.assertEqual(__file__, caught.filename)
        self.assertEqual(
            "file permissions cannot be enforced for root on this system; "
            "run the test as another user",
            str(caught.warning),
        )
        with (
            mock.patch(
                "itf.file_generation.capabilities._change_effective",
                side_effect=AttributeError("capget"),
            ),
            mock.patch("os.geteuid", lambda: 1000),
            warnings.catch_warnings(action="error"),
            self.files.enforce_permissions(),
        ):
            self.assertTrue(self.root.exists())


if __name__ == "__main__":
    unittest.main()
