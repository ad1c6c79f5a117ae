"""Which runs serve a preset: those that measure more, end alike, or are judged item by item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Metric, Run, RunData, RunInfo, RunTag

from analysis.report.hypotheses.cells import ALWAYS, BATCHES, QUESTIONS, SEEDS, TEXTS, Cell
from composability import findings_plan
from composability.findings_plan import (
    PlannedRun,
    finished_runs,
    finished_with_items,
    missing_runs,
    plan_runs,
    run_missing,
    run_of,
    values_of,
)
from sweeps.cluster import Resources
from sweeps.grid.spec import CompositionGrid
from tracking import query, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.settings import Settings

CELLS = [
    Cell("none", ALWAYS, is_random=False),
    Cell("rmu", SEEDS),
    Cell("none", QUESTIONS, is_random=False),
    Cell("rtn(bits=3) | magnitude", TEXTS, is_random=False),
]


@pytest.fixture(scope="module")
def planned() -> dict[str, list[PlannedRun]]:
    settings = Settings(checkpoints="none", device="cpu")
    return plan_runs(("never",), CELLS, 3, settings, Resources(), ("wmdp", "wikitext_ppl"))


def run(run_id: str = "1", key: str = "", **metrics: float) -> Run:
    """Return a finished run as the store gives it."""
    info = RunInfo(run_id, "0", "user", "FINISHED", 0, 1, "active")
    scores = [Metric(name, value, 0, 0) for name, value in metrics.items()]
    return Run(info, RunData(scores, [], [RunTag(schema.KEY, key), RunTag(schema.WEIGHTS, run_id)]))


def test_only_what_draws_is_repeated_and_only_what_is_judged_is_measured(
    planned: dict[str, list[PlannedRun]],
) -> None:
    entries = planned["never"]
    assert [(entry.cell.text, entry.replicate) for entry in entries] == [
        ("none", 0), ("rmu", 0), ("rmu", 1), ("rmu", 2), ("none", 0), (CELLS[3].text, 0)
    ]  # fmt: skip
    assert {entry.job.plan.settings.criteria for entry in entries} == {"wmdp,wikitext_ppl"}
    assert [criterion.name for criterion in entries[0].job.plan.criteria] == [
        "wikitext_ppl", "wmdp"
    ]  # fmt: skip


def test_what_is_repeated_over_batches_has_seed_0_and_over_seeds_batch_0() -> None:
    cells = [Cell("ft", BATCHES), Cell("rmu", SEEDS)]
    settings = Settings(checkpoints="none", device="cpu")
    (entries,) = plan_runs(("never",), cells, 2, settings, Resources()).values()
    planned_settings = [entry.job.plan.settings for entry in entries]
    assert [(chosen.seed, chosen.edit_batch) for chosen in planned_settings] == [
        (0, 0), (0, 1), (0, 0), (1, 0)
    ]  # fmt: skip


def test_what_is_missing_is_run_as_a_grid_with_its_settings_as_params(
    planned: dict[str, list[PlannedRun]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[CompositionGrid, Checkpoints]] = []
    monkeypatch.setattr(findings_plan, "run_grid", lambda *words: calls.append(words))
    entry, cache, resources = planned["never"][1], Checkpoints(tmp_path), Resources(2)
    run_missing([entry], "mine", "any", resources, cache)
    testbed = entry.job.plan.settings.model
    params = {"findings": "true", "model": testbed, "data": testbed, "recompress": "never"}
    expected = CompositionGrid("mine", [entry.job], "any", params, resources)
    assert calls == [(expected, cache)]


def test_equal_runs_are_missing_once(planned: dict[str, list[PlannedRun]]) -> None:
    missing = missing_runs(planned["never"], {})
    assert [entry.cell.text for entry in missing] == ["none", "rmu", "rmu", "rmu", CELLS[3].text]


def test_a_run_that_measures_more_serves(planned: dict[str, list[PlannedRun]]) -> None:
    settings = Settings(checkpoints="none", device="cpu")
    (everything,) = plan_runs(("never",), [CELLS[3]], 3, settings, Resources()).values()
    complete = run(key="whichever")
    assert everything[0].job.id != planned["never"][-1].job.id
    assert run_of(planned["never"][-1], {everything[0].job.id: complete}) is complete


@pytest.mark.parametrize("criteria", [(), ("wmdp", "wikitext_ppl")])
def test_where_nothing_is_applied_again_a_run_that_ended_so_serves(
    planned: dict[str, list[PlannedRun]], criteria: tuple[str, ...]
) -> None:
    settings = Settings(checkpoints="none", device="cpu")
    (auto,) = plan_runs(("auto",), [CELLS[3]], 3, settings, Resources(), criteria).values()
    entry = planned["never"][-1]
    with_same_weights, recompressed = run(key=entry.job.plan.keys[-1]), run(key="other")
    assert run_of(entry, {auto[0].job.id: with_same_weights}) is with_same_weights
    assert run_of(entry, {auto[0].job.id: recompressed}) is None


def test_values_are_of_runs_or_of_their_items(
    planned: dict[str, list[PlannedRun]], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = pd.DataFrame(
        [
            {"run_id": "1", "criterion": "wmdp", "item": "bio/0", "score": 1.0},
            {"run_id": "1", "criterion": "wmdp", "item": "bio/1", "score": 0.0},
            {"run_id": "9", "criterion": "wikitext_ppl", "item": "0", "score": 2.5},
        ]
    )

    def stored_items(runs: list[str], criteria: list[str], missing: str) -> pd.DataFrame:
        return items[items.run_id.isin(runs) & items.criterion.isin(criteria)]

    monkeypatch.setattr(query, "items", stored_items)
    base, *rmu, _, pruned = planned["never"]
    finished = {base.job.id: run("1", wmdp=0.9), pruned.job.id: run("9", average_bits=3.25)}
    for number, entry in enumerate(rmu):
        finished[entry.job.id] = run(f"rmu {number}", wmdp=0.8 - 0.1 * number)
    values = values_of(planned["never"], finished)
    assert values[SEEDS] is values[BATCHES]
    by_run = values[SEEDS].table
    assert by_run["rmu", "wmdp"].tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert by_run["none", "wmdp"].iloc[0] == 0.9 and np.isnan(by_run["none", "wmdp"].iloc[1])
    weights = values[SEEDS].weights
    assert weights is not None and weights["rmu"].tolist() == ["rmu 0", "rmu 1", "rmu 2"]
    assert values[QUESTIONS].table["none", "wmdp"].to_dict() == {"bio/0": 1.0, "bio/1": 0.0}
    assert values[TEXTS].table[CELLS[3].text, "wikitext_ppl"].tolist() == [2.5]
    assert values[TEXTS].table[CELLS[3].text, "average_bits"].tolist() == [3.25]
    assert ("none", "average_bits") not in values[QUESTIONS].table
    common = values[SEEDS].common(["none", "rmu"], ["none"])
    assert common.table["none", "wmdp"].tolist() == [0.9] * 3


def test_a_run_whose_items_are_gone_serves_no_cell_over_items(
    planned: dict[str, list[PlannedRun]], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, rmu, *_, pruned = planned["never"]

    def made(run_id: str, entry: PlannedRun) -> Run:
        finished = run(run_id)
        finished.data.tags[schema.JOB] = entry.job.id
        return finished

    # newest first, as the store gives them
    stored = [made("again", pruned), made("base", base), made("seed", rmu), made("gone", pruned)]
    scores = pd.DataFrame({"run_id": ["again"]})
    monkeypatch.setattr(store, "client", lambda: None)
    monkeypatch.setattr(store, "ensure_experiment", lambda experiment: "1")
    monkeypatch.setattr(query, "all_runs", lambda client, experiments, condition: stored)
    monkeypatch.setattr(query, "items", lambda runs, criteria, missing: scores)
    assert finished_runs("any")[pruned.job.id].info.run_id == "gone"
    finished = finished_with_items(planned, "any")
    assert {job: run.info.run_id for job, run in finished.items()} == {
        rmu.job.id: "seed",
        pruned.job.id: "again",
    }


def test_of_runs_that_are_missing_there_are_no_values(
    planned: dict[str, list[PlannedRun]],
) -> None:
    assert all(values.table.empty for values in values_of(planned["never"], {}).values())
