"""Estimate how long a grid will take, from what earlier runs took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from mlflow.entities import Run

from sweeps.grid.jobs import Job
from tracking import schema, store
from tracking.settings import Settings

_NEWEST_RUNS = 1000  # one page of a server; older runs say less about today's machine


@dataclass(frozen=True)
class Estimate:
    """How long jobs will take.

    Attributes:
        seconds: of all jobs, one after another.
        runs: how many earlier runs the estimate is made of.
        unknown: interventions that no earlier run ended with; their time is left out.
    """

    seconds: float
    runs: int
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        if not self.runs:
            return "not known: there are no finished runs with this model and data yet"
        hours, minutes = divmod(math.ceil(self.seconds / 60), 60)
        missing = f", but for {', '.join(self.unknown)}" if self.unknown else ""
        return f"about {hours} h {minutes} min by {self.runs} earlier runs{missing}"


@dataclass(frozen=True)
class _Durations:
    """Seconds that earlier runs took: per intervention to apply it, and to measure all criteria."""

    apply: Mapping[str, list[float]] = field(default_factory=dict)
    measure: Sequence[float] = ()


def estimate_time(jobs: Sequence[Job], experiment_id: str) -> Estimate:
    """Estimate the time of jobs that share their prefixes.

    Every application and every measurement counts once, at the median of the newest finished runs
    with the same model and data. Recompressions are left out.

    Args:
        jobs: what is to be run.
        experiment_id: the experiment whose finished runs are read.
    """
    if not jobs:
        return Estimate(0.0, 0, ())
    runs = _finished_runs(experiment_id, jobs[0].plan.settings)
    durations = _read_durations(runs)
    # checkpoint key -> the intervention whose application makes it
    applied_steps = {
        key: step.name
        for job in jobs
        for key, step in job.plan.composition.applications(job.plan.keys, job.plan.data)
    }
    medians = {name: median(seconds) for name, seconds in durations.apply.items()}
    apply_seconds = sum(medians.get(name, 0.0) for name in applied_steps.values())
    measured_keys = {key for job in jobs for key in job.plan.keys}
    measure_seconds = len(measured_keys) * median(durations.measure or [0.0])
    unknown = sorted(set(applied_steps.values()) - set(medians))
    return Estimate(apply_seconds + measure_seconds, len(runs), tuple(unknown))


def _finished_runs(experiment_id: str, settings: Settings) -> list[Run]:
    client = store.client()
    runs: list[Run] = []
    # `mlflow run` logs the testbed's name without its version, and the run what was used
    for prefix in ("", schema.USED):
        query = (
            f"params.`{prefix}model` = '{settings.model}'"
            f" and params.`{prefix}data` = '{settings.data}' and attributes.status = 'FINISHED'"
        )
        runs += client.search_runs([experiment_id], query, max_results=_NEWEST_RUNS)
    # the parent runs of sweeps have a model and data, too
    return [run for run in runs if schema.COMPOSITION in run.data.params]


def _read_durations(runs: Iterable[Run]) -> _Durations:
    apply: dict[str, list[float]] = {}
    measure: list[float] = []
    for run in runs:
        step_names = schema.step_names(run.data.params)
        metrics = run.data.metrics
        # a metric's last value is the one of the last step
        if step_names and schema.SECONDS_APPLY in metrics:
            apply.setdefault(step_names[-1], []).append(metrics[schema.SECONDS_APPLY])
        if schema.SECONDS_MEASURE in metrics:
            measure.append(metrics[schema.SECONDS_MEASURE])
    return _Durations(apply, measure)
