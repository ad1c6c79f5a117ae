"""What is known of a step: whether it changed a weight, and what it measured of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tracking import query, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import run
from tracking.step_facts import StepFacts


@pytest.mark.filterwarnings("ignore:step 2:UserWarning")
def test_pruning_what_rounding_made_zero_is_said_to_have_no_effect(
    local_store: str, tmp_path: Path
) -> None:
    """Two bits make over half of the weights 0: SparseGPT removes only such."""
    spec = "rtn(bits=2) | magnitude(sparsity=0.05)"
    message = r"step 2, magnitude\(sparsity=0.05\), changed no weight"
    for _ in range(2):  # computed, and from the cache
        with pytest.warns(UserWarning, match=message):
            run_id = run(spec, checkpoints="none", cache=Checkpoints(tmp_path))
        tags = MlflowClient(tracking_uri=store.uri()).get_run(run_id).data.tags
        assert tags[schema.WITHOUT_EFFECT] == "2"
    assert set(query.compositions().without_effect) == {"2"}


def test_a_steps_own_metrics_are_logged_also_from_the_cache(
    local_store: str, tmp_path: Path
) -> None:
    for _ in range(2):
        run_id = run("awq(samples=4)", checkpoints="none", cache=Checkpoints(tmp_path))
        data = MlflowClient(tracking_uri=store.uri()).get_run(run_id).data
        assert data.metrics["awq/scaled"] == 1.0 and schema.WITHOUT_EFFECT not in data.tags


def test_facts_that_are_no_facts_are_none() -> None:
    facts = StepFacts(False, {"awq/scaled": 0.5}, "abc")
    assert StepFacts.from_json(json.loads(json.dumps(facts.as_json()))) == facts
    of_before = {"changed": False, "metrics": {"awq/scaled": 0.5}}
    assert StepFacts.from_json(of_before) == StepFacts(False, {"awq/scaled": 0.5}, "")
    assert StepFacts.from_json({**of_before, "weights": 5}) is None
    values: list[Any] = [None, [], {}, {"changed": 1, "metrics": {}}, {"changed": True}]
    for value in values:
        assert StepFacts.from_json(value) is None


@pytest.mark.slow
def test_runs_with_equal_weights_say_so_whatever_their_seeds_are(
    local_store: str, tmp_path: Path
) -> None:
    """Magnitude pruning has nothing random; the last step's weights count, also from the cache."""
    cache = Checkpoints(tmp_path)
    for seed in (0, 1, 0):
        run("magnitude(sparsity=0.1) | rtn(bits=4)", seed=seed, checkpoints="none", cache=cache)
    run("magnitude(sparsity=0.2) | rtn(bits=4)", checkpoints="none", cache=cache)
    weights = query.compositions().weights
    assert weights.notna().all() and len(weights) == 4
    assert weights[1:].nunique() == 1 and weights.nunique() == 2


def test_the_last_checkpoints_checksum_is_a_column(local_store: str, tmp_path: Path) -> None:
    run_id = run("rtn(bits=4)", checkpoints="last", cache=Checkpoints(tmp_path))
    tags = MlflowClient(tracking_uri=store.uri()).get_run(run_id).data.tags
    assert query.compositions().checksum.tolist() == [tags[schema.checksum_tag(1)]]
