"""The import rules of the house, as import-linter reads them, and no circle between modules."""

import graphlib
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.quality.plain_words import PACKAGES

ROOT = Path(__file__).resolve().parents[1]


def test_the_import_rules_of_the_house_hold() -> None:
    # its script is not beside every Python that can import it
    lint = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", lint, "--no-cache"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert imports["composability.commands.grid"] >= {"sweeps.grid.command"}  # inside a function
    graphlib.TopologicalSorter(imports).prepare()


def test_a_circle_would_be_seen() -> None:
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"first": {"second"}, "second": {"first"}}).prepare()
