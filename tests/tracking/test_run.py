"""One composition, one run: what it logs at every step."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from interventions.base import make
from interventions.criteria.base import applicable
from interventions.criteria.cost import cost
from interventions.data import testbed as bed
from interventions.data.testbed import MODEL
from tests.tracking.recorded import artifacts, history
from tracking import query, schema, store
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.store import Checkpoints
from tracking.run import run


@pytest.mark.full
def test_the_main_job_edits_then_prunes_and_shows_every_step(
    local_store: str, checkpoints: Checkpoints
) -> None:
    """Thresholds: the issue's."""
    run_id = run("lora | wanda", cache=checkpoints)
    client = MlflowClient(local_store)
    logged = client.get_run(run_id)
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == "lora → wanda(sparsity=0.5)"
    assert client.get_experiment(logged.info.experiment_id).name == "composability"
    params = logged.data.params
    assert params["composition"] == "lora | wanda(sparsity=0.5)"
    assert (params["pair"], params["step1"], params["step2"]) == ("lora + wanda", "lora", "wanda")
    for step in (make("lora"), make("wanda")):
        assert {k: params[f"{step.name}.{k}"] for k in step.params()} == {
            k: str(v) for k, v in step.params().items()
        }
    assert (params["model"], params["seed"], params["edit_batch"]) == ("testbed@3", "0", "0")
    assert params["used.dtype"] == "float32"
    success = history(client, run_id, "edit_success")
    assert set(success) == {0, 1, 2}
    assert success[0] <= 0.10
    assert success[1] >= 0.90
    assert history(client, run_id, "sparsity")[2] == pytest.approx(0.5, abs=0.01)
    assert history(client, run_id, "mmlu")[0] >= 0.90
    assert history(client, run_id, "wmdp")[0] >= 0.80
    for name in [each.name for each in applicable(bed.testbed())]:
        assert set(history(client, run_id, name)) == {0, 1, 2}
        assert f"stderr/{name}" in logged.data.metrics
    assert set(history(client, run_id, "cost/seconds_apply")) == {1, 2}
    assert set(history(client, run_id, "cost/peak_memory_gib")) == {0, 1, 2}
    with cost() as probe:
        pass
    # not known in containers that do not let the peak be reset
    is_known = not math.isnan(probe.step_gib)
    own_memory = history(client, run_id, "cost/step_memory_gib")
    assert set(own_memory) == ({0, 1, 2} if is_known else set())


@pytest.mark.full
def test_a_runs_artifacts_are_checkpoints_exact_values_and_items(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("lora | wanda", cache=checkpoints)
    folder = artifacts(run_id)
    checkpoint = folder / "checkpoints" / "2-wanda"
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    AutoTokenizer.from_pretrained(checkpoint)
    zeros = (model.model.layers[0].mlp.down_proj.weight == 0).float().mean()
    assert zeros == pytest.approx(0.5, abs=0.01)
    exact = json.loads((folder / "criteria.json").read_text())
    assert [step["intervention"] for step in exact["steps"]] == [
        None,
        "lora",
        "wanda(sparsity=0.5)",
    ]
    items = pd.read_parquet(folder / "items.parquet")
    assert list(items.columns) == ["criterion", "step", "item", "score"]
    means = items[items.criterion == "mmlu"].groupby("step").score.mean()
    for step in (0, 1, 2):
        assert means[step] == pytest.approx(exact["steps"][step]["criteria"]["mmlu"]["value"])
    models = MlflowClient(local_store).search_logged_models([store.ensure_experiment()])
    assert {m.name for m in models} == {"1-lora", "2-wanda"}
    assert all({metric.key for metric in m.metrics} >= {"edit_success", "mmlu"} for m in models)


@pytest.mark.full
def test_compressing_before_editing_ends_with_compression_again_visibly(
    local_store: str, checkpoints: Checkpoints
) -> None:
    client = MlflowClient(local_store)
    run_id = run("wanda | ft", cache=checkpoints)
    logged = client.get_run(run_id)
    assert logged.info.run_name == "wanda(sparsity=0.5) → ft → again: wanda"
    assert logged.data.params["composition"] == "wanda(sparsity=0.5) | ft"
    assert logged.data.params["step3"] == "wanda"
    assert logged.data.tags[schema.RECOMPRESSED] == "wanda(sparsity=0.5)"
    sparsity = history(client, run_id, "sparsity")
    assert sparsity[2] < 0.45
    assert sparsity[3] == pytest.approx(0.5, abs=0.01)
    never = client.get_run(run("wanda | ft", recompress="never", cache=checkpoints))
    assert "step3" not in never.data.params
    assert never.data.metrics["sparsity"] == pytest.approx(sparsity[2])


@pytest.mark.slow
def test_a_kept_prefix_and_a_recomputed_one_lead_to_the_same_result(
    local_store: str, tmp_path: Path
) -> None:
    client, checkpoints = MlflowClient(local_store), Checkpoints(tmp_path / "kept")
    run("ft", cache=checkpoints, checkpoints="none")
    reusing = run("ft | wanda", cache=checkpoints)
    afresh = run("ft | wanda", cache=Checkpoints(tmp_path / "other"))
    first, second = client.get_run(reusing).data, client.get_run(afresh).data
    assert (first.tags[schema.REUSED_PREFIX], second.tags[schema.REUSED_PREFIX]) == ("1", "0")
    for each in applicable(bed.testbed()):
        assert first.metrics[each.name] == second.metrics[each.name]
    assert first.tags[schema.KEY] == second.tags[schema.KEY]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", {"1-ft", "2-wanda"}),
        ("last", {"2-wanda"}),
        ("changed", {"1-ft", "2-wanda"}),
        ("none", set()),
    ],
)
def test_checkpoints_are_logged_as_asked(
    keep: str, expected: set[str], local_store: str, checkpoints: Checkpoints
) -> None:
    folder = artifacts(run("ft | wanda", checkpoints=keep, cache=checkpoints)) / "checkpoints"
    assert {path.name for path in folder.glob("*")} == expected


def test_the_last_checkpoint_is_the_recompressed_one(
    local_store: str, checkpoints: Checkpoints
) -> None:
    folder = artifacts(run("wanda | ft", checkpoints="last", cache=checkpoints)) / "checkpoints"
    assert {path.name for path in folder.glob("*")} == {"3-wanda"}


def test_infinite_criteria_survive_store_and_query(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("ga(lr=1000.0)", cache=checkpoints)
    row = query.compositions().set_index("run_id").loc[run_id]
    assert row.wikitext_ppl == math.inf
    assert "wikitext_ppl" in row.diverged
    exact = json.loads((artifacts(run_id) / "criteria.json").read_text())
    assert float(exact["steps"][1]["criteria"]["wikitext_ppl"]["value"]) == math.inf


def test_the_query_gives_typed_columns_one_row_a_composition(
    local_store: str, checkpoints: Checkpoints
) -> None:
    edited = run("ft(layers=(3, 4), steps=2)", cache=checkpoints, checkpoints="none")
    pruned = run("wanda(sparsity=0.25)", cache=checkpoints, checkpoints="none", edit_batch=1)
    frame = query.compositions().set_index("run_id")
    assert set(frame.index) == {edited, pruned}
    assert frame.loc[pruned, "wanda.sparsity"] == 0.25
    assert frame.loc[edited, "ft.layers"] == [3, 4]
    assert str(frame.edit_batch.dtype) == "Int64"
    assert frame.loc[pruned, "edit_batch"] == 1
    assert (frame.status == "FINISHED").all()
    assert frame.loc[edited, "dtype"] == "float32"
    assert query.compositions(filter="params.step1 = 'wanda'").run_id.tolist() == [pruned]


def test_an_unknown_experiment_is_named(local_store: str) -> None:
    with pytest.raises(
        ValueError, match=r"no experiment is named 'nope' .* there are: Default, composability"
    ):
        query.compositions("nope")


def test_an_adopted_run_keeps_what_the_launcher_logged(
    local_store: str, monkeypatch: pytest.MonkeyPatch, checkpoints: Checkpoints
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    for key, value in {"first": "ft", "dtype": "auto", "model": f"'{MODEL}'", "seed": "0"}.items():
        client.log_param(run_id, key, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert run("ft", model=str(MODEL), cache=checkpoints) == run_id
    row = query.compositions().iloc[0]
    assert (row["model"], row["dtype"], row["seed"]) == (str(MODEL), "float32", 0)
    assert "first" not in row


def test_a_run_says_the_window_and_the_recompression_that_it_had_and_is_restored(
    local_store: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    run_id = run("magnitude", window=32, cache=checkpoints)
    default = run("magnitude", cache=checkpoints)
    client = MlflowClient(local_store)
    params = {id: client.get_run(id).data.params for id in (run_id, default)}
    names = ("window", "used.window", "recompress", "used.recompress")
    assert [params[run_id][name] for name in names] == ["32", "32", "preset", "auto"]
    assert [params[default][name] for name in names] == ["0", "64", "preset", "auto"]
    metrics = {id: client.get_run(id).data.metrics for id in (run_id, default)}
    assert metrics[run_id]["wikitext_ppl"] > metrics[default]["wikitext_ppl"]
    assert metrics[run_id]["mmlu"] == metrics[default]["mmlu"]
    rows = query.compositions().set_index("run_id")
    assert [rows.window[run_id], rows.window[default]] == [32, 64]
    assert set(rows.recompress) == {"auto"}
    folder = load_checkpoint(run_id, 1, tmp_path / "whole", checkpoints)
    assert (folder / "config.json").exists()
