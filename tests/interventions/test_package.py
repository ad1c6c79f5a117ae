"""What the author of an intervention imports from `interventions`, and that it comes lazily."""

import subprocess
import sys

import pytest

import interventions

NAMES = (
    "Intervention", "hyperparameter", "criterion", "Scores", "mean_scores", "LM", "Data",
    "block_linears", "linears", "InvalidInput",
)  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh process has imported after some code."""
    command = f"import sys\n{code}\nprint(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", command], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_an_author_imports_from_one_place() -> None:
    assert set(interventions.__all__) == set(NAMES) <= set(dir(interventions))
    for name in NAMES:
        exported = getattr(interventions, name)
        assert exported.__module__.startswith("interventions.")
        assert exported.__name__ == name


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'interventions' has no attribute 'wanda'"):
        interventions.wanda  # noqa: B018


def test_the_package_and_its_plain_parts_import_no_torch() -> None:
    code = (
        "import interventions\nfrom interventions import Intervention, hyperparameter, InvalidInput"
    )
    assert not loaded_after(code) & {"torch", "transformers", "mlflow", "optuna"}
