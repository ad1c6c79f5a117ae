"""How a grid goes: the progress line, the parent run's metrics, what became of each job."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from tqdm import tqdm

from sweeps.grid.jobs import Job, PrefixUse
from sweeps.parent_run import ParentRun
from sweeps.retry import patiently
from tracking import schema
from tracking.run import SweepMember

_METRICS_SECONDS = 10.0  # between two updates of the parent run's metrics


@dataclass
class Tally:
    """What a grid has come to so far.

    Attributes:
        total: jobs of the grid.
        before: jobs that had finished before.
        done: jobs that finished now.
        failed: name of a job -> why it failed.
        applied: how many interventions were applied now.
        seconds: what the time went into: apply, measure, load, save, log; "wall" at the end.
    """

    total: int
    before: int = 0
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    applied: int = 0
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


class Progress:
    """Count what becomes of the jobs, and show it: on the progress line and in the parent run."""

    def __init__(self, parent: ParentRun, run_id: str, bar: tqdm[Any], tally: Tally) -> None:
        """Start with nothing done.

        Args:
            parent: the grid in the store.
            run_id: the parent run's id.
            bar: the progress line, one step per job.
            tally: what the grid has come to.
        """
        self.parent = parent
        self.run_id = run_id
        self.tally = tally
        self._bar = bar
        self._last_log = -math.inf

    @property
    def experiment_id(self) -> str:
        """The experiment that the jobs' runs go to."""
        return self.parent.experiment_id

    def member(self, job: Job, prefix_use: PrefixUse) -> SweepMember:
        """Return what makes a job's run part of the grid."""
        tags = {schema.PARENT: self.run_id, schema.SWEEP: self.parent.name, schema.JOB: job.id}
        return SweepMember(self.experiment_id, tags, prefix_use)

    def add_cost(self, seconds: Mapping[str, float], applied: int) -> None:
        """Add what a job or a shared prefix took: seconds by part, and interventions applied."""
        self.tally.applied += applied
        for part, part_seconds in seconds.items():
            self.tally.seconds[part] += part_seconds

    def job_done(self) -> None:
        """Count one more finished job."""
        self.tally.done += 1
        self._advance()

    def job_failed(self, job: Job, reason: str) -> None:
        """Count one more failed job."""
        self.tally.failed[job.name] = reason
        self._bar.set_postfix(failed=len(self.tally.failed))
        self._advance()

    def finish(self, table: Path) -> None:
        """Log the parent run's last metrics, and the grid's table as an artifact."""
        self._log_metrics()
        self.parent.client.log_artifact(self.run_id, str(table))

    def _advance(self) -> None:
        self._bar.update()
        if time.monotonic() - self._last_log > _METRICS_SECONDS:
            patiently(self._log_metrics)

    def _log_metrics(self) -> None:
        self._last_log = time.monotonic()
        timestamp = int(time.time() * 1000)
        finished = self.tally.before + self.tally.done
        values = {
            "sweep/total": float(self.tally.total),
            "sweep/done": float(finished),
            "sweep/failed": float(len(self.tally.failed)),
            "sweep/applications": float(self.tally.applied),
        }
        for part, seconds in self.tally.seconds.items():
            values[f"sweep/seconds_{part}"] = seconds
        metrics = [Metric(name, value, timestamp, finished) for name, value in values.items()]
        self.parent.client.log_batch(self.run_id, metrics=metrics)
