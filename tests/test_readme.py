"""The README is true: its examples run, and its first test prints the failure shown below it."""

from __future__ import annotations

import doctest
import pathlib
import re
import subprocess
import sys
import unittest

import itf
from itf import temp_workspace

README = pathlib.Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")

# Text that differs between runs or Python versions, and its replacement.
VARYING = [
    (r"\+\d+\.\d{6} s", "+TIME s"),
    (r"\d+\.\d{3} s old", "TIME s old"),
    (r"Ran 1 test in .*", "Ran 1 test in TIME"),
    (r'File ".*?(test_timeout\.py)"', r'File "\1"'),
    (r"tracked at .*?(test_timeout\.py)", r"tracked at \1"),
    # Python 3.13 marks more of a line than older versions.
    (r"\n +[~^]+(?=\n)", ""),
]


class FencedParser(doctest.DocTestParser):
    """Removes Markdown's fences, which doctest would read as part of the expected output."""

    def parse(self, string: str, name: str = "<string>") -> list[str | doctest.Example]:
        return super().parse(re.sub(r"(?m)^```.*$", "", string), name)


def steady(text: str) -> str:
    """Return a text with the varying parts replaced."""
    for pattern, replacement in VARYING:
        text = re.sub(pattern, replacement, text)
    return text.strip()


class ReadmeTest(unittest.TestCase):
    """Examples and tables of the README."""

    maxDiff = None

    def test_the_examples_run(self) -> None:
        """All examples pass, and there are more than 30."""
        test = FencedParser().get_doctest(TEXT, {"__name__": "__main__"}, "README", "README.md", 0)
        report: list[str] = []
        results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
        self.assertGreater(results.attempted, 30)
        self.assertEqual(0, results.failed, "".join(report))

    def test_the_first_test_fails_as_shown(self) -> None:
        """The failure printed below the first test is exactly the output of that test."""
        code, shown = re.findall(r"```(?:python|text)\n(.*?)```", TEXT, re.DOTALL)[:2]
        self.assertLess(len(code.splitlines()), 18)
        with temp_workspace() as workspace:
            (workspace / "test_timeout.py").write_text(code, encoding="utf-8")
            run = subprocess.run(
                [sys.executable, "-W", "error", "-m", "unittest", "test_timeout"],
                cwd=workspace,
                env={"PYTHONPATH": str(pathlib.Path(itf.__file__).parent.parent)},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        self.assertEqual(1, run.returncode)
        self.assertEqual(steady(shown), steady(run.stderr))

    def test_every_fixture_is_in_the_table(self) -> None:
        """The table has the eleven fixtures of IntegrationTestCase, in their order."""
        rows = re.findall(r"(?m)^\| `(\w+)` \|", TEXT.split("## The eleven fixtures")[1])
        from itf.fixtures.declaration import declared_fixtures

        self.assertEqual(list(declared_fixtures(itf.IntegrationTestCase)), rows[:11])

    def test_the_formats_are_as_listed(self) -> None:
        """The table lists exactly the keys of each format."""
        from itf import formats

        table = TEXT.split("## The formats")[1]
        for name in ("ErrorContext", "ConfigChangeEvent", "ResourceRecord", "TimelineEvent"):
            row = re.search(rf"(?m)^\| `{name}` \| (.*) \|$", table)
            assert row is not None, name
            keys = re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row[1]))
            self.assertEqual(list(getattr(formats, name).__annotations__), keys)


if __name__ == "__main__":
    unittest.main()
