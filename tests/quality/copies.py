"""Copies of the checkout, in which code is changed to see whether a test fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.quality.plain_words import ROOT

_NO_TESTS = 5  # pytest's exit status
_SECONDS = 600  # a change that makes its tests hang is seen by them
_NOT_COPIED = (".git", ".venv", ".cache", "mlruns", "mlflow.db*", ".*_cache")


def copy_checkout(folder: Path) -> Path:
    """Copy the checkout to a new folder, without what it has computed; return the folder."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    return folder


def first_failure(tests: Sequence[str], copy: Path, marked: str) -> Sequence[str]:
    """Run tests in a copy until one fails.

    Args:
        tests: files, folders, or ids of tests, as pytest takes them.
        copy: of the checkout.
        marked: which of them, as pytest's ``-m`` takes it.

    Returns:
        The id of the first test that fails, all of ``tests`` if it has none (the copy could not
        even be imported, or they took too long); nothing if all pass.
    """
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", marked, "-rfE"]
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return tests
    if ended.returncode in (0, _NO_TESTS):
        return []
    named = re.findall(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", ended.stdout, re.MULTILINE)
    return named[:1] or tests
