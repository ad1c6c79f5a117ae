"""Copies of the checkout, in which code is changed to see whether a test fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.quality.plain_words import ROOT

_NO_TESTS = 5  # pytest's exit status
_NOT_COPIED = (".git", ".venv", ".cache", "mlruns", "mlflow.db*", ".*_cache")


def copy_checkout(folder: Path) -> Path:
    """Copy the checkout to a new folder, without what it has computed; return the folder."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    return folder


class Copy:
    """A copy of the checkout, and two Pythons that run tests in it.

    One has imported the libraries and runs any tests; one has imported all, and runs tests that it
    knows sooner.

    Args:
        folder: is made.
        quickest_tests: ids of tests, the quickest first, by which the session is made ready.

    Attributes:
        folder: of the copy.
    """

    def __init__(self, folder: Path, quickest_tests: Sequence[str] = ()) -> None:
        self.folder = copy_checkout(folder)
        environment = {
            "PYTHONPATH": str(folder),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            # plug-ins of pytest would be looked for in what is imported already
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        self._warm, self._session = (
            subprocess.Popen(
                [sys.executable, Path("tests") / "quality" / script],
                cwd=folder,
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for script in ("warm.py", "session.py")
        )
        _ask(self._session, list(quickest_tests))

    def close(self) -> None:
        """End both."""
        for process in (self._warm, self._session):
            process.kill()
            process.communicate()

    def first_failure_in_fork(
        self, path: str, before: str, after: str, tests: Sequence[str]
    ) -> str | None:
        """Run tests with a file's changed functions until one fails, in a session that is ready.

        Args:
            path: of the file.
            before: its text.
            after: its text with the change; the same to see whether the tests pass without.
            tests: ids.

        Returns:
            The id of the first that fails, "" if all pass, None if it cannot be tried in this way.
        """
        _ask(self._session, [path, before, after, list(tests)])
        failed: str | None = _read(self._session)
        return failed

    def first_failure(self, tests: Sequence[str], marked: str) -> Sequence[str]:
        """Run tests until one fails.

        Args:
            tests: files, folders, or ids of tests, as pytest takes them.
            marked: which of them, as pytest's ``-m`` takes it.

        Returns:
            The id of the first test that fails, all of ``tests`` if it has none (the copy could not
            even be imported, or they took too long); nothing if all pass.
        """
        options = ["-x", "-q", "-p", "no:cacheprovider", "-m", marked, "-rfE"]
        _ask(self._warm, [*options, *tests])
        status, output = _read(self._warm)
        if status in (0, _NO_TESTS):
            return []
        named = re.findall(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", output, re.MULTILINE)
        return named[:1] or tests


def _ask(process: subprocess.Popen[str], question: list[Any]) -> None:
    assert process.stdin is not None
    print(json.dumps(question), file=process.stdin, flush=True)


def _read(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())
