"""What users import from `composability`, and that it comes lazily."""

import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import composability

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {
    *(
        "run",
        "plan",
        "grid",
        "tune",
        "compositions",
        "items",
        "point",
        "area",
        "recommend",
        "restored",
    ),
    *("load_checkpoint", "register", "track", "Intervention", "hyperparameter", "criterion"),
    *("Composition", "LM", "Data", "InvalidInput", "own_data"),
}


def modules_after(code: str) -> set[str]:
    """Return the names of the modules that a fresh process has after running code."""
    command = f"{code}\nimport sys; print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(ended.stdout.split())


def test_everything_that_users_call_is_exported() -> None:
    assert set(composability.__all__) == PUBLIC
    assert set(dir(composability)) >= PUBLIC
    for name in PUBLIC:
        assert getattr(composability, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'rum'"):
        composability.rum  # noqa: B018 - the look-up is the test


def test_the_package_imports_nothing_heavy_by_itself() -> None:
    loaded = modules_after("import composability")
    assert not loaded & {"torch", "mlflow", "optuna", "pandas", "transformers"}


def test_a_run_imports_what_it_needs_and_no_more() -> None:
    loaded = modules_after("import tracking.run")
    assert {"torch", "transformers", "mlflow"} <= loaded
    needless = {
        "scipy.stats",
        "datasets",
        "lm_eval",
        "peft",
        "optuna",
        "matplotlib",
        "plotly",
        "sklearn",
    }
    assert not loaded & needless


@pytest.mark.parametrize(
    "names", ["compositions, items", "point, area, recommend", "hyperparameter, InvalidInput"]
)
def test_reading_and_analysing_runs_imports_no_torch(names: str) -> None:
    loaded = modules_after(f"from composability import {names}")
    assert not loaded & {"torch", "transformers"}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_export_has_a_docstring_with_an_example_that_runs(
    name: str, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = getattr(composability, name)
    assert "Example" in (inspect.getdoc(exported) or ""), f"{name} has no example"
    globs = dict(vars(importlib.import_module(exported.__module__)))
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(exported, name, globs=globs)
    assert example.examples, f"{name} has no example that runs"
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=flags).run(example)
    assert result.failed == 0
