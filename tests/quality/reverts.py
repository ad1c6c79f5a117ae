"""Takes the fixes of reverts.jsonl back, one by one, and asks whether a test fails.

    python -m tests.quality.reverts --workers 2

Each line of the file names a fix, the text as it is, the text without the fix, and the tests that
hold it. They are made in copies of the checkout. The exit status is 1 if one can be taken back and
no test fails, or if its text is not there any more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.quality.copies import Copy

FILE = Path(__file__).with_suffix(".jsonl")


@dataclass(frozen=True)
class Revert:
    """A fix, and how it is taken back.

    Attributes:
        what: the fix, in one line.
        path: the file, from the checkout.
        before: a text that is once in the file.
        after: the same without the fix.
        tests: the ids of the tests that hold it.
    """

    what: str
    path: str
    before: str
    after: str
    tests: tuple[str, ...]

    def applied(self, source: str) -> str:
        """Return a file's text without the fix.

        Raises:
            ValueError: the fix is not in it, or is in it more than once.
        """
        if source.count(self.before) != 1:
            raise ValueError(f"{self.path} has {self.before!r} {source.count(self.before)} times")
        return source.replace(self.before, self.after)


def read_reverts(file: Path = FILE) -> list[Revert]:
    """Return the fixes that the file lists."""
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    return [Revert(**(entry | {"tests": tuple(entry["tests"])})) for entry in entries]


def verdict(revert: Revert, copy: Copy) -> str:
    """Take a fix back in a copy, run its tests, and put it back.

    Returns:
        "held" if a test fails without the fix, else what is wrong.
    """
    target = copy.folder / revert.path
    source = target.read_text()
    try:
        target.write_text(revert.applied(source))
        failed = copy.first_failure(revert.tests, marked="")
    except ValueError as error:
        return str(error)
    finally:
        target.write_text(source)
    return "held" if failed else "NO TEST FAILS"


def _verdicts(reverts: Sequence[Revert], workers: int, folder: Path) -> list[str]:
    free = [Copy(folder / f"copy{number}") for number in range(workers)]
    copies = list(free)
    # a test that fails with all fixes too would say nothing of any
    tests = sorted({test for revert in reverts for test in revert.tests})
    if failing := free[0].first_failure(tests, marked=""):
        return [f"these fail with all fixes: {' '.join(failing)}"]

    def judge(revert: Revert) -> str:
        copy = free.pop()
        try:
            answer = verdict(revert, copy)
        finally:
            free.append(copy)
        print(f"{answer}: {revert.what} ({revert.path})", flush=True)
        return answer

    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(judge, reverts))
    finally:
        for copy in copies:
            copy.close()


def main() -> int:
    """Run the command; return 0 if every fix is held by a test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="fixes that are tried at once")
    parser.add_argument("--only", default="", help="only the fixes whose line has this text")
    options = parser.parse_args()
    reverts = [revert for revert in read_reverts() if options.only in revert.what + revert.path]
    with tempfile.TemporaryDirectory() as folder:
        answers = _verdicts(reverts, options.workers, Path(folder))
    print(f"{answers.count('held')} of {len(answers)} fixes are held by a test")
    return 0 if answers and set(answers) == {"held"} else 1


if __name__ == "__main__":
    sys.exit(main())
