"""What a run says of a step: items as a table that MLflow's Evaluation view shows."""

import json
import math
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from tests.tracking.recorded import artifacts
from tracking import schema
from tracking.checkpoints.store import Checkpoints
from tracking.plan import plan_run
from tracking.run import SweepMember, run, track_member
from tracking.settings import Settings
from tracking.step_record import (
    cost_metrics,
    criteria_metrics,
    exact_scores,
    item_frames,
    items_table,
    write_run_files,
)


def test_items_are_a_row_each_with_a_column_for_every_step(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("magnitude", criteria="mmlu,wikitext_ppl,sparsity", limit=10, cache=checkpoints)
    client = MlflowClient()
    experiment_id = client.get_run(run_id).info.experiment_id
    table = client.load_table(experiment_id, schema.ITEMS_TABLE, [run_id])
    assert list(table.columns) == ["criterion", "item", "base model", "step 1"]
    items = pd.read_parquet(artifacts(run_id) / schema.ITEMS)
    assert len(table) == len(items) / 2 and set(table.criterion) == set(items.criterion)
    last = items[items.step == 1].set_index(["criterion", "item"]).score
    for row in table.to_dict("records"):
        expected = last[row["criterion"], str(row["item"])]
        assert math.isclose(row["step 1"], expected, rel_tol=1e-9)


def test_a_grids_runs_have_no_table(local_store: str, checkpoints: Checkpoints) -> None:
    experiment_id = MlflowClient().get_experiment_by_name("composability").experiment_id
    plan = plan_run("none", Settings(criteria="mmlu", limit=5, checkpoints="none"))
    member = SweepMember(experiment_id, {schema.SWEEP: "small"})
    chain = track_member(plan, member, checkpoints)
    assert not (artifacts(chain.run_id) / schema.ITEMS_TABLE).exists()
    assert schema.TABLES not in MlflowClient().get_run(chain.run_id).data.tags


def test_an_item_that_one_step_lacks_is_empty_there() -> None:
    rows = {"criterion": "mmlu", "step": [0, 0, 1], "item": ["a", "b", "a"], "score": [1, 0, 1]}
    table = items_table(pd.DataFrame(rows)).set_index("item")
    assert table["step 1"].isna().to_dict() == {"a": False, "b": True}
    assert table["step 1"].dropna().tolist() == [1]


def test_the_table_has_the_order_of_the_items_and_is_written_as_mlflow_writes_tables(
    tmp_path: Path,
) -> None:
    items = [
        frame
        for step, shift in ((0, 0.0), (1, 0.5))
        for frame in item_frames(
            {
                "wmdp_bio": Scores(0.5, 0.1, {"10": shift, "9": 1.0}),
                "mmlu": Scores(0.25, 0.0, {"2": 0.25}),
            },
            step,
        )
    ]
    tags = write_run_files(tmp_path, {"0": {}}, items, has_table=True)
    assert tags == {schema.TABLES: json.dumps([{"path": schema.ITEMS_TABLE, "type": "table"}])}
    assert json.loads((tmp_path / schema.ITEMS_TABLE).read_text()) == {
        "columns": ["criterion", "item", "base model", "step 1"],
        "data": [
            ["wmdp_bio", "10", 0.0, 0.5],
            ["wmdp_bio", "9", 1.0, 1.0],
            ["mmlu", "2", 0.25, 0.25],
        ],
    }
    stored = pd.read_parquet(tmp_path / schema.ITEMS)
    assert list(stored.columns) == ["criterion", "step", "item", "score"]
    assert stored.index.tolist() == list(range(6)) and stored.step.tolist() == [0, 0, 0, 1, 1, 1]


def test_scores_and_costs_are_metrics_by_criterion_and_exact_values_are_text_where_infinite() -> (
    None
):
    measured = {"wikitext_ppl": Scores(math.inf, math.nan, {})}
    assert exact_scores(measured) == {"wikitext_ppl": {"value": "inf", "stderr": "nan"}}
    assert list(criteria_metrics(measured)["wikitext_ppl"]) == [
        "wikitext_ppl",
        "stderr/wikitext_ppl",
    ]
    metrics = cost_metrics(Cost(2.0, 3.0, 1.0), Cost(4.0, 2.0, 0.5))
    assert metrics[schema.PEAK_MEMORY] == 3.0 and metrics[schema.STEP_MEMORY] == 1.0
    assert metrics[schema.SECONDS_APPLY] == 2.0 and metrics[schema.SECONDS_MEASURE] == 4.0
    assert schema.SECONDS_APPLY not in cost_metrics(None, Cost(4.0, 2.0, 0.5))
