"""The docs' own intervention and criterion, as printed: in the tree, and from another package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "howto" / "own-intervention.md"
PACKAGES = ("interventions", "tracking", "sweeps", "analysis", "composability", "tests")
# the contracts that are cheap, of what was added and of what was there before
CONTRACTS = "(noise or weight_norm or house or blind) and not after_any_other"

pytestmark = pytest.mark.full


def printed(definition: str) -> str:
    """The code block of the docs that has a definition."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if definition in block)
    text: str = block
    return text


def hold_contracts(checkout: Path, path: Path) -> str:
    """Run contract tests in a process of their own; return their report.

    Args:
        checkout: whose packages are imported, and whose tests run.
        path: what is on sys.path beside it.
    """
    environment = {**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{path}"}
    arguments = ["tests/test_contracts.py", "-m", "not slow", "-k", CONTRACTS]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("definition", ["class Noise", "def weight_norm"])
def test_the_examples_import_from_interventions_only(definition: str) -> None:
    imported = re.findall(r"^(?:from|import) (\S+)", printed(definition), re.MULTILINE)
    assert "interventions" in imported
    assert not [module for module in imported if module.startswith("interventions.")]
    assert set(imported) <= {"interventions", "dataclasses", "math", "torch"}


def test_files_that_are_dropped_into_the_tree_keep_the_contracts(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "interventions" / "compression" / "noise.py").write_text(printed("class Noise"))
    (tmp_path / "interventions" / "criteria" / "norm.py").write_text(printed("def weight_norm"))
    report = hold_contracts(tmp_path, tmp_path)
    assert "test_the_same_seed_gives_the_same_weights[noise] PASSED" in report
    assert "test_a_criterions_facts_are_valid[weight_norm] PASSED" in report


@pytest.mark.slow
def test_a_package_with_entry_points_keeps_the_contracts(tmp_path: Path) -> None:
    """What installing a distribution leaves: modules, and a folder with its entry points."""
    (tmp_path / "example_noise.py").write_text(printed("class Noise"))
    (tmp_path / "example_norm.py").write_text(printed("def weight_norm"))
    info = tmp_path / "example_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[composable_interventions.interventions]\nnoise = example_noise\n"
        "[composable_interventions.criteria]\nnorm = example_norm\n"
    )
    report = hold_contracts(ROOT, tmp_path)
    assert "test_the_same_seed_gives_the_same_weights[noise] PASSED" in report
    assert "test_a_criterions_facts_are_valid[weight_norm] PASSED" in report
