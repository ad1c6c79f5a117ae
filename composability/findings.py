"""Test published findings: print the plan, run what is missing, judge, write the page."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run

from analysis.report.hypotheses.cells import check_replicates
from analysis.report.hypotheses.page import Judged, findings_page
from analysis.report.hypotheses.parts import PartResult, judge_parts
from analysis.report.hypotheses.presets.names import PAPER as PAPER_PRESET
from analysis.report.hypotheses.presets.preset import Preset
from analysis.report.run import read_output
from composability.findings_plan import (
    AUTO,
    PAPER,
    PlannedRun,
    finished_with_items,
    missing_runs,
    plan_runs,
    run_missing,
    values_of,
)
from interventions.base import INTERVENTIONS
from interventions.errors import InvalidInput, shown
from sweeps.cluster import Resources
from sweeps.grid.estimate import Estimate, estimate_time
from tracking import store
from tracking.settings import Settings

# in this order: runs of the first may serve the second
POLICIES = {"preset": (), "both": (AUTO, PAPER), AUTO: (AUTO,), PAPER: (PAPER,)}


@dataclass(frozen=True)
class FindingsRequest:
    """What to test, and on what.

    Attributes:
        presets: whose findings these are.
        replicates: how many batches of edits, and seeds where one matters.
        policies: of recompression; empty: each preset's own.
        settings: of every run.
        experiment: whose runs count, and where new ones go.
        hours: that the missing runs may take at most.
        resources: what they run on.
    """

    presets: Sequence[Preset]
    replicates: int
    policies: Sequence[str]
    settings: Settings
    experiment: str
    hours: float
    resources: Resources


def run_command(request: FindingsRequest, run: bool, output: str) -> None:
    """Print the plan; run what is missing, if asked to; judge the findings on what there is.

    Args:
        request: what to test.
        run: whether to run what is missing.
        output: a file for the page, or "none": it is printed.

    Raises:
        InvalidInput: a setting is not valid, or the missing runs would take too long.
        Incomplete: some runs failed; the same command tries them again.
    """
    check_replicates(request.replicates)
    path = _read_page(output)
    store.check_reachable()
    presets = [preset.with_registered(INTERVENTIONS.all()) for preset in request.presets]
    plans_of = {preset.name: _plans(preset, request) for preset in presets}
    for preset in presets:
        print(f"{preset.name}: {preset.heading}")
        plans = plans_of[preset.name]
        finished = finished_with_items(plans, request.experiment)
        print(describe_missing(plans, finished, request))
    if run:
        for preset in presets:
            for policy, planned in plans_of[preset.name].items():
                _run_policy(preset.name, policy, planned, request)
    judged = []
    for preset in presets:
        plans = plans_of[preset.name]
        finished = finished_with_items(plans, request.experiment)
        judged.append(judge_preset(preset, plans, finished, request))
    page = findings_page(judged, request.replicates)
    if path is None:
        print(f"\n{page}", end="")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page)
        print(f"written: {path}")


def _plans(preset: Preset, request: FindingsRequest) -> dict[str, list[PlannedRun]]:
    """Return the runs that a preset needs, by policy of recompression."""
    policies = request.policies or preset.policies
    return plan_runs(
        policies,
        preset.cells,
        request.replicates,
        request.settings,
        request.resources,
        preset.criteria,
    )


def judge_preset(
    preset: Preset,
    plans: Mapping[str, Sequence[PlannedRun]],
    finished: Mapping[str, Run],
    request: FindingsRequest,
) -> Judged:
    """Return what a preset's tests come to on the runs that are finished."""
    results: dict[str, list[PartResult]] = {
        policy: judge_parts(preset.parts, values_of(planned, finished))
        for policy, planned in plans.items()
    }
    planned_models = [
        entry.job.plan.settings.model for entries in plans.values() for entry in entries
    ]
    model = planned_models[0] if planned_models else request.settings.model
    return Judged(preset, model, results)


def describe_missing(
    plans: Mapping[str, Sequence[PlannedRun]],
    finished: Mapping[str, Run],
    request: FindingsRequest,
) -> str:
    """Return which compositions are missing, in how many replicates, and how long they take."""
    lines = []
    for policy, planned in plans.items():
        missing = missing_runs(planned, finished)
        count = len({entry.job.id for entry in planned})
        shared = _may_be_shared(missing, plans) if policy == PAPER else 0
        lines.append(
            f"recompress={policy}: {count} runs, {count - len(missing)} of them"
            f" finished, {len(missing)} missing"
            + (f"; up to {shared} of these end as runs of recompress={AUTO} do" if shared else "")
        )
        counts = Counter(entry.cell.text for entry in missing)
        lines += [f"  {cell}: {count}" for cell, count in counts.items()]
        if missing:
            lines.append(f"  time: {_seconds_in_words(_estimate(missing, request))}")
    lines.append(f"at most {request.hours:g} h are allowed")
    return "\n".join(lines)


def _may_be_shared(missing: Sequence[PlannedRun], plans: Mapping[str, Sequence[PlannedRun]]) -> int:
    """Return how many missing runs need not be made if those of the other policy end alike."""
    planned_ids = {entry.job.id for entry in plans.get(AUTO, ())}
    return sum(bool(planned_ids & set(entry.same_weights)) for entry in missing)


def _estimate(missing: Sequence[PlannedRun], request: FindingsRequest) -> Estimate:
    experiment_id = store.ensure_experiment(request.experiment)
    return estimate_time([entry.job for entry in missing], experiment_id)


def _seconds_in_words(estimate: Estimate) -> str:
    if not estimate.runs:
        return f"{estimate}"
    return f"{math.ceil(estimate.seconds)} s, {estimate}"


def _run_policy(
    preset: str, policy: str, planned: Sequence[PlannedRun], request: FindingsRequest
) -> None:
    """Run what is missing under a policy, the first replicate before it is known how long."""
    prefix = "findings" if preset == PAPER_PRESET else preset
    name = f"{prefix}-recompress-{policy}"
    missing = missing_runs(planned, finished_with_items({policy: planned}, request.experiment))
    if not missing:
        return
    estimate = _estimate(missing, request)
    if not estimate.runs or estimate.unknown:
        first = [entry for entry in missing if entry.replicate == 0]
        if first:
            run_missing(first, name, request.experiment, request.resources)
        missing = missing_runs(planned, finished_with_items({policy: planned}, request.experiment))
        if not missing:
            return
        estimate = _estimate(missing, request)
    _check_hours(estimate, request.hours)
    run_missing(missing, name, request.experiment, request.resources)


def _check_hours(estimate: Estimate, hours: float) -> None:
    if estimate.seconds > hours * 3600:
        raise InvalidInput(
            f"the missing runs take {estimate}, over the {hours:g} h allowed: ask for fewer"
            " edit_batches, or allow more hours; what is finished is not computed again"
        )


def _read_page(output: str) -> Path | None:
    """Return the file that the page is written to; None for "none"."""
    if output == "none":
        return None
    path = Path(output).expanduser()
    read_output(str(path.parent))  # that it is a folder which can be written
    if path.is_dir():
        raise InvalidInput(f"output must be a file for the page, but {output[:200]!r} is a folder")
    existing = next(folder for folder in path.absolute().parents if folder.is_dir())
    try:
        # a folder that says it can be written need not be one, as /proc shows
        with tempfile.TemporaryFile(dir=existing):
            return path
    except OSError as error:
        raise InvalidInput(
            f"output: no file can be made in {shown(str(existing), 200)}: {error.strerror}"
        ) from error
