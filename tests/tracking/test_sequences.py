"""Every ordered pair of the paper's interventions across categories; ten sequences of three."""

import itertools
import json
import math
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from interventions.base import INTERVENTIONS
from interventions.composition import Composition
from interventions.criteria.base import CRITERIA
from tracking.checkpoints.store import Checkpoints
from tracking.run import run

CATEGORIES = {
    "editing": ("ft", "lora", "memit"),
    "compression": ("wanda", "sparsegpt", "gptq", "awq"),
    "unlearning": ("ga", "gd", "rmu"),
}
PAIRS = [
    f"{first} | {second}"
    for category, second_category in itertools.permutations(CATEGORIES, 2)
    for first, second in itertools.product(CATEGORIES[category], CATEGORIES[second_category])
]
TRIPLES = [
    "memit(samples=500) | gptq(bits=3) | rmu",
    "lora | wanda(sparsity=0.25) | awq(bits=4)",
    "rmu | ft | sparsegpt(sparsity=0.65)",
    "gptq(bits=4) | sparsegpt | ft",
    "awq | gd | lora",
    "sparsegpt | gptq(bits=3) | memit",
    "wanda(pattern='2:4') | rtn(bits=4) | rmu",
    "ga | gptq(bits=8) | lora",
    "ft | magnitude(sparsity=0.35) | gd",
    "gd | memit | awq(bits=2)",
]


def test_there_are_66_pairs() -> None:
    assert len(set(PAIRS)) == 2 * (3 * 4 + 3 * 3 + 4 * 3) == 66


def check_run(spec: str, checkpoints: Checkpoints) -> None:
    """Run a composition; check that criteria are finite or +inf and that compressions hold."""
    run_id = run(spec, cache=checkpoints, checkpoints="none")
    finished = MlflowClient().get_run(run_id)  # of the store that run has set
    assert finished.info.status == "FINISHED"
    exact = json.loads(
        Path(download_artifacts(run_id=run_id, artifact_path="criteria.json")).read_text()
    )
    steps = Composition.parse(spec)
    again = Composition.parse(finished.data.params["recompressed"])
    values = [step["criteria"][name]["value"] for step in exact["steps"] for name in CRITERIA.all()]
    assert len(exact["steps"]) == len(steps) + len(again) + 1
    assert all(value == "inf" or math.isfinite(float(value)) for value in values)
    loaded = checkpoints.load(finished.data.tags["composability.key"], "float32", "cpu")
    assert loaded is not None
    compressions = [step for step in steps if step.category == "compression"]
    assert all(step.holds(loaded[0]) for step in compressions), again
    assert set(again) <= set(compressions)


@pytest.mark.slow
@pytest.mark.parametrize("spec", PAIRS)
def test_every_pair_runs_in_both_orders(
    spec: str, local_store: str, checkpoints: Checkpoints
) -> None:
    check_run(spec, checkpoints)


@pytest.mark.slow
@pytest.mark.parametrize("spec", TRIPLES)
def test_sequences_of_three_run(spec: str, local_store: str, checkpoints: Checkpoints) -> None:
    assert len(Composition.parse(spec)) == 3
    check_run(spec, checkpoints)


@pytest.mark.slow
def test_sparsegpt_after_gptq_is_quantized_again(
    local_store: str, checkpoints: Checkpoints
) -> None:
    """SparseGPT changes the weights that stay, and so leaves GPTQ's grid."""
    run_id = run("gptq(samples=16) | sparsegpt(samples=16)", cache=checkpoints, checkpoints="none")
    assert MlflowClient().get_run(run_id).data.params["recompressed"] == "gptq(bits=3, samples=16)"
    assert "gptq" in INTERVENTIONS.all()
