"""`composability findings`: the plan, the runs that serve, the limit of hours, the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from analysis.report.hypotheses.cells import BATCHES, SEEDS, Cell
from analysis.report.hypotheses.presets import all as all_presets
from composability import findings
from composability.command import main
from composability.findings_plan import PlannedRun, finished_runs, missing_runs, plan_runs
from sweeps.cluster import Resources
from tracking import schema, store
from tracking.settings import Settings

CELLS = [
    Cell("ft", BATCHES),
    Cell("awq(bits=3) | ft", BATCHES),
    Cell("wanda(sparsity=0.65) | ft", BATCHES),
    Cell("ga | wanda(sparsity=0.65)", SEEDS, is_random=False),
]
WANDA = CELLS[2].text


@pytest.fixture(autouse=True)
def few_cells(monkeypatch: pytest.MonkeyPatch, local_store: str) -> None:
    monkeypatch.setattr(all_presets, "needed_cells", lambda levels: CELLS)


def planned() -> dict[str, list[PlannedRun]]:
    settings = Settings(checkpoints="none", device="cpu")
    return plan_runs(("auto", "paper"), CELLS, 3, settings, Resources())


def log_finished(entries: Sequence[PlannedRun], key: str = "", seconds: float = 1.0) -> None:
    """Log runs as if a sweep had computed them."""
    client, experiment_id = MlflowClient(store.uri()), store.ensure_experiment()
    for entry in entries:
        plan = entry.job.plan
        run_id = client.create_run(experiment_id).info.run_id
        steps = [step.name for step in plan.composition]
        params = {
            "composition": plan.spec(), "model": plan.settings.model, "data": "testbed",
            **schema.step_params(steps),
        }  # fmt: skip
        if plan.settings.data != "testbed":
            params["data"] = str(plan.settings.data)
        metrics = {
            "edit_success": 0.5, "wmdp": 0.5, "mmlu": 0.5,
            schema.SECONDS_APPLY: seconds, schema.SECONDS_MEASURE: seconds,
        }  # fmt: skip
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, 0, len(steps)) for name, value in metrics.items()],
            params=[Param(name, value) for name, value in params.items()],
            tags=[RunTag(schema.JOB, entry.job.id), RunTag(schema.KEY, key or plan.keys[-1])],
        )
        client.set_terminated(run_id)


def test_only_what_the_papers_findings_read_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    criteria: set[str] = set()

    def run_missing(missing: Sequence[PlannedRun], *others: object) -> None:
        criteria.update(entry.job.plan.settings.criteria for entry in missing)
        log_finished(missing)

    monkeypatch.setattr(findings, "run_missing", run_missing)
    assert main(["findings", "--run", "--edit-batches", "3", "--device", "cpu"]) == 0
    assert criteria == {"edit_success,wmdp,mmlu"}


def test_every_cell_is_planned_in_its_replicates_under_both_policies() -> None:
    plans = planned()
    for entries in plans.values():
        assert [(entry.cell, entry.replicate) for entry in entries] == [
            (cell, number) for cell in CELLS for number in cell.replicates(3)
        ]
    auto, paper = plans["auto"], plans["paper"]
    assert {entry.job.plan.settings.recompress for entry in paper} == {"paper"}
    assert not {entry.job.id for entry in auto} & {entry.job.id for entry in paper}


def test_finished_runs_serve_and_the_rest_is_missing() -> None:
    auto = planned()["auto"]
    log_finished(auto[:4])
    missing = missing_runs(auto, finished_runs(store.EXPERIMENT))
    assert missing == auto[4:]


def test_a_run_under_another_policy_serves_if_it_ended_with_the_same_weights() -> None:
    """Wanda is applied again as the paper does; AWQ was applied again, which the paper does not."""
    plans = planned()
    for cell in (WANDA, CELLS[1].text):
        (paper,) = [
            entry for entry in plans["paper"] if (entry.cell.text, entry.replicate) == (cell, 0)
        ]
        (auto,) = [
            entry for entry in plans["auto"] if (entry.cell.text, entry.replicate) == (cell, 0)
        ]
        (with_wanda,) = [
            entry for entry in plans["paper"] if (entry.cell.text, entry.replicate) == (WANDA, 0)
        ]
        again = next(iter(with_wanda.same_weights.values()))
        assert (again != auto.job.plan.keys[-1]) or cell != WANDA
        assert missing_runs([paper], {}) == [paper]
        log_finished([auto], key=again)
        served = not missing_runs([paper], finished_runs(store.EXPERIMENT))
        assert served == (cell == WANDA)


def test_the_plan_is_printed_and_nothing_is_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "run_missing", lambda *arguments: pytest.fail("it was run"))
    assert main(["findings", "--edit-batches", "3", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "recompress=auto: 10 runs, 0 of them finished, 10 missing\n  ft: 3\n" in printed
    assert "up to 10 of these end as runs of recompress=auto do" in printed
    assert "time: not known: there are no finished runs" in printed
    assert "at most 3 h are allowed" in printed
    assert "| 1. Compression degrades edits | cannot be told | cannot be told |" in printed


def test_what_is_missing_is_run_under_each_policy_and_the_page_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[tuple[str, int]] = []

    def run_missing(missing: Sequence[PlannedRun], name: str, *others: object) -> None:
        ran.append((name, len(missing)))
        log_finished(missing)

    monkeypatch.setattr(findings, "run_missing", run_missing)
    page = tmp_path / "new" / "page.md"
    words = ["findings", "--run", "--edit-batches", "3", "--device", "cpu", "--output", str(page)]
    assert main(words) == 0
    # the first batch alone tells how long the rest takes; only what Wanda does again differs
    assert ran == [
        ("findings-recompress-auto", 4),
        ("findings-recompress-auto", 6),
        ("findings-recompress-paper", 3),
    ]
    assert page.read_text().startswith("# Which of the paper's findings hold")
    assert f"written: {page}" in capsys.readouterr().out
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "10 of them finished, 0 missing\n" in printed and "time:" not in printed


def test_the_first_batch_runs_first_where_one_method_has_no_times_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[int] = []

    def run_missing(missing: Sequence[PlannedRun], *others: object) -> None:
        ran.append(len(missing))
        log_finished(missing)

    monkeypatch.setattr(findings, "run_missing", run_missing)
    log_finished([entry for entry in planned()["auto"] if entry.cell.text == "ft"])
    words = ["findings", "--run", "--edit-batches", "3", "--device", "cpu", "--recompress", "auto"]
    assert main(words) == 0
    assert ran == [3, 4]


def test_more_hours_than_allowed_are_refused_before_anything_is_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = planned()["auto"]
    log_finished([entry for entry in auto if entry.replicate == 0], seconds=4000.0)
    monkeypatch.setattr(findings, "run_missing", lambda *arguments: pytest.fail("it was run"))
    words = ["findings", "--run", "--edit-batches", "3", "--device", "cpu", "--recompress", "auto"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "over the 3 h allowed" in error and error.count("\n") == 1 and len(error) < 400


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--levels", "sparsity=0.5"], "levels must be two of each strength"),
        (["--edit-batches", "2"], "is not in the range"),
        (["--hours", "-1"], "is not in the range"),
        (["--recompress", "never"], "'never' is not one of"),
        (["--preset", "unheard-of"], "'unheard-of' is not one of"),
        (
            ["--preset", "relearning", "--levels", "sparsity=0.5,0.6;bits=2,3"],
            "levels are those of",
        ),
        (["--data", "nothing"], "data must be"),
        (["--output", "/"], "must be a file"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["findings", "--device", "cpu", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert line in error
