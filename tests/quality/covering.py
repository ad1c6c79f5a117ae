"""Runs the suite once, and notes which tests run which lines: whom to ask about a changed line.

    python -m tests.quality.covering

takes a good quarter of an hour on two cores and writes ``.cache/covering.json``, which
`python -m tests.quality.mutants` reads. What runs in a process of its own is not seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from coverage import CoverageData

from tests.quality.copies import copy_checkout
from tests.quality.plain_words import PACKAGES, ROOT

FILE = ROOT / ".cache" / "covering.json"
_QUICK_SECONDS, _MOST_SECONDS = 6.0, 2.5  # of quick tests together, and of each


@dataclass(frozen=True)
class Covering:
    """Which tests run which lines.

    Attributes:
        sources: file -> SHA-256 of its text when it was measured.
        tests: ids of the tests.
        seconds: that each takes.
        lines: file -> line -> indices of the tests that run it.
    """

    sources: Mapping[str, str]
    tests: Sequence[str]
    seconds: Sequence[float]
    lines: Mapping[str, Mapping[str, Sequence[int]]]

    def tests_of(self, path: str, line: int, text: str) -> list[str]:
        """Return the tests that run a line, the file's own first, then the quickest.

        For a line that only importing runs these are the tests that run any line of the file; for
        a file that has changed since, there are none.

        Args:
            path: of the file, from the checkout.
            line: its number.
            text: of the file, as it is now.
        """
        if self.sources.get(path) != digest(text):
            return []
        by_line = self.lines.get(path, {})
        found = by_line.get(str(line)) or {index for tests in by_line.values() for index in tests}
        stem = Path(path).stem

        def rank(index: int) -> tuple[bool, float]:
            return f"/test_{stem}" not in self.tests[index], self.seconds[index]

        return [self.tests[index] for index in sorted(found, key=rank)]

    def quick_tests_of(self, path: str, line: int, text: str) -> list[str]:
        """Return those of the tests that run a line which take some seconds together."""
        quick, room = [], _QUICK_SECONDS
        for test in self.tests_of(path, line, text):
            seconds = self.seconds_of(test)
            if seconds <= min(room, _MOST_SECONDS):
                quick.append(test)
                room -= seconds
        return quick

    @property
    def quickest_tests(self) -> list[str]:
        """Return all tests, the quickest first."""
        return [test for _, test in sorted(zip(self.seconds, self.tests, strict=True))]

    def seconds_of(self, test: str) -> float:
        """Return how long a test takes."""
        return self.seconds[self.tests.index(test)]


def digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_measured(data_file: Path, junit_file: Path, folder: Path) -> Covering:
    """Return what a run of the suite in a folder has measured.

    Args:
        data_file: of coverage.py, with a context for each test.
        junit_file: pytest's, with the seconds of each test.
        folder: in which the suite ran.
    """
    seconds_by_test = _seconds(junit_file)
    tests = sorted(seconds_by_test)
    index_of = {test: index for index, test in enumerate(tests)}
    data = CoverageData(str(data_file))
    data.read()
    lines: dict[str, dict[str, list[int]]] = {}
    sources = {}
    for measured in sorted(data.measured_files()):
        path = Path(measured).relative_to(folder).as_posix()
        sources[path] = digest(Path(measured).read_text())
        by_line = data.contexts_by_lineno(measured)
        found = {
            str(line): {index_of[test] for test in map(_test_of, contexts) if test in index_of}
            for line, contexts in by_line.items()
        }
        lines[path] = {line: sorted(tests) for line, tests in found.items() if tests}
    return Covering(sources, tests, [seconds_by_test[test] for test in tests], lines)


def _test_of(context: str) -> str:
    """Return the test of a context, such as ``tests/test_a.py::test_b[c]|run``."""
    return context.rpartition("|")[0]


def _seconds(junit_file: Path) -> dict[str, float]:
    seconds = {}
    for case in ElementTree.parse(junit_file).iter("testcase"):
        module = case.get("file") or case.attrib["classname"].replace(".", "/") + ".py"
        seconds[f"{module}::{case.get('name')}"] = float(case.get("time", "0"))
    return seconds


def load(file: Path = FILE) -> Covering | None:
    """Return what was measured last; None if nothing was."""
    return Covering(**json.loads(file.read_text())) if file.is_file() else None


def main() -> int:
    """Run the command; return pytest's exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="tests that run at once")
    workers = str(parser.parse_args().workers)
    with tempfile.TemporaryDirectory() as temporary:
        folder, junit_file = copy_checkout(Path(temporary) / "copy"), Path(temporary) / "junit.xml"
        measured = [f"--cov={package}" for package in PACKAGES]
        options = ["-n", workers, "--dist", "worksteal", "-q", "-o", "junit_family=xunit1"]
        context = ["--cov-context=test", "--cov-report=", f"--junitxml={junit_file}"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *measured, *context],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
        )
        covering = read_measured(folder / ".coverage", junit_file, folder)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(asdict(covering)))
    print(f"{len(covering.tests)} tests and {len(covering.lines)} files, in {FILE}")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
