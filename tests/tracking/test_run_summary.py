"""A run's scores by step, and its other orders, as the store has them."""

import json
import math
from pathlib import Path

import pytest
from mlflow import MlflowClient

from composability.run_table import run_text
from interventions.errors import InvalidInput
from tracking import schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import run
from tracking.run_summary import BASE, run_summary

FIRST, SECOND = "magnitude(sparsity=0.5)", "rtn(bits=4)"
ORDER, OTHER = f"{FIRST} | {SECOND}", f"{SECOND} | {FIRST}"
CRITERIA = "wikitext_ppl,average_bits,sparsity"


def measured(composition: str, cache: Checkpoints, criteria: str = CRITERIA) -> str:
    return run(composition, criteria=criteria, checkpoints="none", limit=20, cache=cache)


def test_a_run_is_summed_up_with_the_other_order_under_the_same_settings(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = measured(ORDER, checkpoints)
    alone = run_summary(run_id)
    assert (alone.others, alone.reversed_composition) == ((), OTHER)
    assert [step.name for step in alone.steps] == [BASE, FIRST, SECOND]
    assert alone.categories == ("compression", "compression")
    assert list(alone.criteria) == CRITERIA.split(",")  # not as they were measured
    client = MlflowClient(local_store)
    for name in alone.criteria:
        history = {entry.step: entry.value for entry in client.get_metric_history(run_id, name)}
        assert [step.values[name] for step in alone.steps] == [history[k] for k in range(3)]
    # other criteria are other settings, as is a run that failed, and the same order again
    measured(OTHER, checkpoints, criteria="sparsity")
    failed = measured(OTHER, checkpoints)
    client.set_terminated(failed, "FAILED")
    measured(ORDER, checkpoints)
    assert not run_summary(run_id).others
    older, newer = measured(OTHER, checkpoints), measured(OTHER, checkpoints)
    (other,) = run_summary(run_id).others
    assert (other.composition, other.run_id) == (OTHER, newer) != (OTHER, older)
    final = client.get_run(newer).data.metrics
    assert dict(other.values) == {name: final[name] for name in alone.criteria}
    assert f"other order, {OTHER} (run {newer}): wikitext_ppl" in run_text(run_summary(run_id), 500)


def test_as_json_it_is_strict_and_has_every_step(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = measured(ORDER, checkpoints)
    values = json.loads(json.dumps(run_summary(run_id).as_json(), allow_nan=False))
    assert (values["run_id"], values["composition"]) == (run_id, ORDER)
    assert [step["step"] for step in values["steps"]] == [BASE, FIRST, SECOND]
    assert values["steps"][2]["criteria"]["average_bits"] < 5
    assert values["other_orders"] == [] and values["steps_reused"] in (0, 1, 2)


def test_a_run_that_computes_nothing_says_so_and_one_that_measures_one_more_thing_does_not(
    local_store: str, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path / "cache")
    first, again = measured(ORDER, cache), measured(ORDER, cache)
    more = measured(ORDER, cache, criteria=f"{CRITERIA},edit_success")
    summaries = [run_summary(run_id) for run_id in (first, again, more)]
    assert [summary.is_all_cached for summary in summaries] == [False, True, False]
    assert [summary.reused for summary in summaries] == [0, 2, 2]
    assert summaries[1].as_json()["all_cached"] is True
    # without a compression nothing is loaded to see whether it has to be applied again
    edits = [measured("ft(steps=1)", cache, criteria="sparsity") for _ in range(2)]
    assert [run_summary(run_id).reused for run_id in edits] == [0, 1]


def test_infinities_come_back(local_store: str, checkpoints: Checkpoints) -> None:
    run_id = measured(ORDER, checkpoints)
    exact = {"step": 0, "intervention": None, "criteria": {"wikitext_ppl": {"value": "inf"}}}
    MlflowClient(local_store).log_dict(run_id, {"steps": [exact]}, schema.CRITERIA_JSON)
    (base,) = run_summary(run_id).steps
    assert base.values["wikitext_ppl"] == math.inf


def test_what_is_no_composition_is_refused(local_store: str) -> None:
    with pytest.raises(InvalidInput, match="no run 'abc' in sqlite"):
        run_summary("abc")
    run_id = MlflowClient(local_store).create_run(store.ensure_experiment()).info.run_id
    with pytest.raises(InvalidInput, match="is no composition's"):
        run_summary(run_id)
