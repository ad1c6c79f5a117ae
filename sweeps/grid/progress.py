"""How a grid goes: the progress line, the parent run's metrics, what became of each job."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from tqdm import tqdm

from sweeps.grid.jobs import Job, PrefixUse
from sweeps.parent_run import Ledger
from sweeps.retry import patiently
from tracking import schema
from tracking.run import Member

_BEAT = 10.0  # seconds between the parent run's metrics


@dataclass
class Outcome:
    """How a grid went.

    Attributes:
        done: runs that finished now.
        before: runs that had finished before.
        failed: job's name -> why.
        applied: interventions applied now.
        seconds: wall, and of it what went into: apply, measure, load, save, log.
    """

    done: int = 0
    before: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    applied: int = 0
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


class Progress:
    """The progress line, the parent run's metrics and files, and what becomes of the jobs."""

    def __init__(
        self, ledger: Ledger, root: str, bar: tqdm[Any], total: int, outcome: Outcome
    ) -> None:
        self.ledger, self.root, self.outcome, self._bar, self._total = (
            ledger,
            root,
            outcome,
            bar,
            total,
        )
        self._told = 0.0

    @property
    def experiment_id(self) -> str:
        """Where the runs go."""
        return self.ledger.experiment_id

    def member(self, job: Job, shared: PrefixUse) -> Member:
        """A job's place in the store."""
        tags = {schema.PARENT: self.root, schema.SWEEP: self.ledger.name, schema.JOB: job.id}
        return Member(self.ledger.experiment_id, tags, shared)

    def spent(self, seconds: Mapping[str, float], applied: int) -> None:
        """What something took."""
        self.outcome.applied += applied
        for what, spent in seconds.items():
            self.outcome.seconds[what] += spent

    def done(self) -> None:
        """One more is finished."""
        self.outcome.done += 1
        self._advance()

    def failed(self, job: Job, reason: str) -> None:
        """One more has failed."""
        self.outcome.failed[job.name] = reason
        self._bar.set_postfix(failed=len(self.outcome.failed))
        self._advance()

    def end(self, table: Path) -> None:
        """The parent run's last metrics, and its table."""
        self._tell()
        self.ledger.client.log_artifact(self.root, str(table))

    def _advance(self) -> None:
        self._bar.update()
        if time.monotonic() - self._told > _BEAT:
            patiently(self._tell)

    def _tell(self) -> None:
        self._told, now, outcome = time.monotonic(), int(time.time() * 1000), self.outcome
        values: dict[str, float] = {
            "sweep/total": float(self._total),
            "sweep/done": float(outcome.before + outcome.done),
            "sweep/failed": float(len(outcome.failed)),
            "sweep/applications": float(outcome.applied),
        }
        values |= {f"sweep/seconds_{what}": spent for what, spent in outcome.seconds.items()}
        metrics = [
            Metric(name, value, now, outcome.before + outcome.done)
            for name, value in values.items()
        ]
        self.ledger.client.log_batch(self.root, metrics=metrics)
