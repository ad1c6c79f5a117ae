"""Plan the runs that findings are tested on, take those that exist, run the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from mlflow.entities import Run

from analysis.report.hypotheses.cells import BATCHES, ITEM_CRITERIA, SEEDS, SIZE, TEXTS, Cell
from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.paper import CRITERIA
from interventions.composition import Composition
from sweeps.cluster import Resources
from sweeps.grid.jobs import Job, depth_first, make_job
from sweeps.grid.runner import run_grid
from sweeps.grid.spec import CompositionGrid
from tracking import query, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan, RunContext
from tracking.settings import Settings, setting_text

AUTO, NEVER, PAPER = "auto", "never", "paper"


@dataclass(frozen=True)
class PlannedRun:
    """A run that a finding needs.

    Attributes:
        cell: the composition, and what its replicates are.
        replicate: number of the batch of edits, or seed.
        job: that computes it.
        same_weights: ids of other jobs whose run serves too, if it ended with this checkpoint; "":
            with any, as that job only measures more.
    """

    cell: Cell
    replicate: int
    job: Job
    same_weights: Mapping[str, str] = field(default_factory=dict)


def plan_runs(
    policies: Sequence[str],
    cells: Sequence[Cell],
    replicates: int,
    settings: Settings,
    resources: Resources,
    criteria: Sequence[str] = (),
) -> dict[str, list[PlannedRun]]:
    """Return every run that the findings need, by policy of recompression.

    Args:
        policies: "auto", "never", "paper".
        cells: compositions, and what their replicates are.
        replicates: how many batches of edits, and seeds where one matters.
        settings: of all runs, but for seed, batch and recompression.
        resources: what the runs are made on.
        criteria: that they are judged by; empty: those of the settings.

    Raises:
        InvalidInput: a setting is not valid, or a step does not fit the model.
    """
    first = RunContext(resources.settings(settings), remote=resources.on_ray)
    contexts: dict[tuple[int, int], RunContext] = {}
    planned: dict[str, list[PlannedRun]] = {policy: [] for policy in policies}
    for cell in cells:
        composition = Composition.parse(cell.text, settings.profile)
        for number in cell.replicates(replicates):
            key = _seed_and_batch(cell, number)
            if key not in contexts:
                contexts[key] = first.for_replicate(*key)
            plan = contexts[key].plan(composition)
            for policy in policies:
                planned[policy].append(_planned(cell, number, plan, policy, criteria))
    return planned


def _seed_and_batch(cell: Cell, number: int) -> tuple[int, int]:
    return (0, number) if cell.over == BATCHES else (number, 0)


def _planned(
    cell: Cell, number: int, plan: Plan, policy: str, criteria: Sequence[str]
) -> PlannedRun:
    """Return a planned run, with the other jobs whose run serves too."""
    all_criteria = plan.requested.criteria
    chosen = ",".join(criteria) or all_criteria
    planned = _with_settings(plan, recompress=policy, criteria=chosen)
    last_key_of = {}
    if chosen != all_criteria:
        last_key_of[make_job(_with_settings(planned, criteria=all_criteria)).id] = ""
    if policy != AUTO:
        steps = plan.composition
        if policy == PAPER:
            # with the paper's policy what is applied again does not depend on the weights, so that
            # the key of the last checkpoint is known; a run under another policy may end with it
            again = steps.recompression(None, PAPER)  # type: ignore[arg-type] # reads no model
            steps = Composition([*steps, *again])
        last_key = steps.keys(plan.origin, plan.data)[-1]
        for measured in {chosen, all_criteria}:
            auto = _with_settings(plan, recompress=AUTO, criteria=measured)
            last_key_of[make_job(auto).id] = last_key
    return PlannedRun(cell, number, make_job(planned), last_key_of)


def _with_settings(plan: Plan, **changes: Any) -> Plan:
    """Return the plan with a policy of recompression or criteria; its keys depend on neither."""
    return replace(
        plan,
        requested=replace(plan.requested, **changes),
        settings=replace(plan.settings, **changes),
    )


def finished_runs(experiment: str) -> dict[str, Run]:
    """Return the finished runs of sweeps in an experiment, by the job that they computed.

    Args:
        experiment: its name; made if it is missing.
    """
    return _by_job(_runs_of_sweeps(experiment))


def _runs_of_sweeps(experiment: str) -> list[Run]:
    experiment_id = store.ensure_experiment(experiment)  # first: it makes the store, one at a time
    condition = "attributes.status = 'FINISHED'"
    runs = query.all_runs(store.client(), [experiment_id], condition)
    return [run for run in runs if schema.JOB in run.data.tags]


def _by_job(runs: Iterable[Run]) -> dict[str, Run]:
    # newest first: of runs of one job the first that was made counts, as in a grid
    return {run.data.tags[schema.JOB]: run for run in runs}


def finished_with_items(
    plans: Mapping[str, Sequence[PlannedRun]], experiment: str
) -> dict[str, Run]:
    """Return the finished runs, but for those whose items are asked for and are not there.

    A run whose replicates are its items says nothing without them: another run of its job serves,
    or it is to be run again.

    Args:
        plans: of ``plan_runs``.
        experiment: its name.
    """
    runs = _runs_of_sweeps(experiment)
    criteria = list(dict.fromkeys(ITEM_CRITERIA.values()))
    by_item = [
        entry for planned in plans.values() for entry in planned if entry.cell.over in ITEM_CRITERIA
    ]
    while True:
        finished = _by_job(runs)
        serving = [run_of(entry, finished) for entry in by_item]
        run_ids = {run.info.run_id for run in serving if run is not None}
        lacking = run_ids - set(query.items(run_ids, criteria, missing="skip").run_id)
        if not lacking:
            return finished
        runs = [run for run in runs if run.info.run_id not in lacking]


def run_of(planned: PlannedRun, finished: Mapping[str, Run]) -> Run | None:
    """Return the finished run that a planned one needs not be computed for, if there is one."""
    run = finished.get(planned.job.id)
    if run is not None:
        return run
    for job_id, last_key in planned.same_weights.items():
        run = finished.get(job_id)
        if run is not None and last_key in ("", run.data.tags.get(schema.KEY)):
            return run
    return None


def values_of(planned: Sequence[PlannedRun], finished: Mapping[str, Run]) -> dict[str, CellValues]:
    """Return the criteria of the planned runs that are finished, by what the replicates are."""
    rows: list[dict[str, Any]] = []
    for entry in planned:
        run = run_of(entry, finished)
        if run is not None and entry.cell.over not in ITEM_CRITERIA:
            metrics = {name: schema.from_store(value) for name, value in run.data.metrics.items()}
            values = {name: metrics.get(name, float("nan")) for name in CRITERIA}
            weights = run.data.tags.get(schema.WEIGHTS)
            row = {"cell": entry.cell.text, "replicate": entry.replicate, "weights": weights}
            rows.append(row | values)
    by_run = CellValues.from_runs(pd.DataFrame(rows), CRITERIA)
    by_item = {kind: _items_of(planned, finished, kind) for kind in ITEM_CRITERIA}
    return {BATCHES: by_run, SEEDS: by_run, **by_item}


def _items_of(planned: Sequence[PlannedRun], finished: Mapping[str, Run], kind: str) -> CellValues:
    """Return the scores of every item of the runs whose replicates are their items."""
    criterion = ITEM_CRITERIA[kind]
    text_of_run, size_of_run = {}, {}
    for entry in planned:
        run = run_of(entry, finished) if entry.cell.over == kind else None
        if run is not None:
            text_of_run[run.info.run_id] = entry.cell.text
            size_of_run[run.info.run_id] = run.data.metrics.get(SIZE)
    if not text_of_run:
        return CellValues.from_runs(pd.DataFrame(), [criterion])
    scores = query.items(list(text_of_run), [criterion], missing="skip")
    cells = scores.assign(cell=scores.run_id.map(text_of_run), replicate=scores.item)
    cells = cells.rename(columns={"score": criterion})
    if kind != TEXTS:
        return CellValues.from_runs(cells, [criterion])
    sizes = scores.run_id.map(size_of_run).astype(float)
    return CellValues.from_runs(cells.assign(**{SIZE: sizes}), [criterion, SIZE])


def missing_runs(planned: Iterable[PlannedRun], finished: Mapping[str, Run]) -> list[PlannedRun]:
    """Return the planned runs that no finished one serves; of equal jobs the first."""
    missing: dict[str, PlannedRun] = {}
    for entry in planned:
        if run_of(entry, finished) is None:
            missing.setdefault(entry.job.id, entry)
    return list(missing.values())


def run_missing(
    missing: Sequence[PlannedRun],
    name: str,
    experiment: str,
    resources: Resources,
    cache: Checkpoints | None = None,
) -> None:
    """Run what is missing, as a grid of its own.

    Args:
        missing: of ``missing_runs``, under one policy.
        name: of the grid.
        experiment: that its runs go to.
        resources: what they run on.
        cache: where checkpoints are kept; the checkout's by default.

    Raises:
        Incomplete: some runs failed.
        StoreAway: the store did not come back.
    """
    jobs = depth_first([entry.job for entry in missing])
    plan: Plan = jobs[0].plan
    params = {
        "findings": "true",
        "model": plan.settings.model,
        "data": setting_text(plan.settings.data),
        "recompress": plan.settings.recompress,
    }
    run_grid(CompositionGrid(name, jobs, experiment, params, resources), cache)
