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

from tests.quality.plain_words import ROOT

_NO_TESTS = 5  # pytest's exit status
_NOT_COPIED = (".git", ".venv", ".cache", "mlruns", "mlflow.db*", ".*_cache")


def copy_checkout(folder: Path) -> Path:
    """Copy the checkout to a new folder, without what it has computed; return the folder."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    return folder


class Copy:
    """A copy of the checkout, and a Python that has imported all libraries and runs tests in it.

    Args:
        folder: is made.

    Attributes:
        folder: of the copy.
    """

    def __init__(self, folder: Path) -> None:
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
        self._warm = subprocess.Popen(
            [sys.executable, Path("tests") / "quality" / "warm.py"],
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def close(self) -> None:
        """End the Python."""
        self._warm.kill()
        self._warm.communicate()

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
        assert self._warm.stdin is not None and self._warm.stdout is not None
        print(json.dumps([*options, *tests]), file=self._warm.stdin, flush=True)
        status, output = json.loads(self._warm.stdout.readline())
        if status in (0, _NO_TESTS):
            return []
        named = re.findall(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", output, re.MULTILINE)
        return named[:1] or tests
