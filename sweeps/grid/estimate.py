"""How long a grid will take, by what earlier runs took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mlflow import MlflowClient

from sweeps.grid.jobs import Job
from tracking import schema, store

_RUNS = 1000  # the newest that are looked at


@dataclass(frozen=True)
class Estimate:
    """Seconds of the jobs, by so many earlier runs; of ``unknown`` interventions there are none."""

    seconds: float
    runs: int
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        if not self.runs:
            return "not known: there are no finished runs with this model and data yet"
        minutes = math.ceil(self.seconds / 60)
        missing = f", but for {', '.join(self.unknown)}" if self.unknown else ""
        return f"about {minutes // 60} h {minutes % 60} min by {self.runs} earlier runs{missing}"


def estimate(jobs: Sequence[Job], experiment_id: str) -> Estimate:
    """Every application and every measuring once, each at the median of the newest runs; recompressions left out."""
    if not jobs:
        return Estimate(0.0, 0, ())
    settings = jobs[0].plan.settings
    client = MlflowClient(tracking_uri=store.uri())
    told = f"params.model = '{settings.model}' and params.data = '{settings.data}' and attributes.status = 'FINISHED'"
    found = client.search_runs([experiment_id], told, max_results=_RUNS)
    runs = [
        run for run in found if schema.COMPOSITION in run.data.params
    ]  # and no parent of a sweep
    apply: dict[str, list[float]] = {}
    measure: list[float] = []
    for run in runs:
        names, metrics = schema.steps(run.data.params), run.data.metrics
        if names and schema.SECONDS_APPLY in metrics:  # the last step's
            apply.setdefault(names[-1], []).append(metrics[schema.SECONDS_APPLY])
        if schema.SECONDS_MEASURE in metrics:
            measure.append(metrics[schema.SECONDS_MEASURE])
    due = {
        key: step.name
        for job in jobs
        for key, step in zip(job.plan.keys[1:], job.plan.composition, strict=True)
    }
    unknown = sorted(set(due.values()) - set(apply))
    seconds = sum(median(apply[name]) for name in due.values() if name in apply)
    measured = {key for job in jobs for key in job.plan.keys}
    return Estimate(seconds + len(measured) * median(measure or [0.0]), len(runs), tuple(unknown))
