"""Jobs: compositions to run, in an order in which they share what is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interventions.composition import Composition, digest
from interventions.criteria.base import CRITERIA
from tracking import schema
from tracking.plan import Plan, RunContext


@dataclass(frozen=True)
class Job:
    """One composition under one seed and batch of edits.

    Attributes:
        plan: checked.
        id: what it computes and logs: equal jobs, equal results.
    """

    plan: Plan
    id: str

    @property
    def name(self) -> str:
        """As its run is called, with seed and batch of edits where they are not the first."""
        settings = self.plan.settings
        where = {"seed": settings.seed, "edit batch": settings.edit_batch}
        told = ", ".join(f"{what} {value}" for what, value in where.items() if value)
        name = schema.run_name([step.spec(settings.data) for step in self.plan.composition])
        return f"{name} ({told})" if told else name

    @property
    def prefixes(self) -> list[str]:
        """Keys of the checkpoints on its way, the base model's first."""
        return self.plan.keys[:-1]


def make(compositions: Sequence[Composition], grounds: Iterable[RunContext]) -> list[Job]:
    """Every composition on every ground, neighbours where they share a prefix; raises InvalidInput."""
    jobs = [_job(ground.plan(steps)) for ground in grounds for steps in compositions]
    return depth_first({job.id: job for job in jobs}.values())


def _job(plan: Plan) -> Job:
    settings = plan.settings
    judged = [criterion.identity(plan.data) for criterion in CRITERIA.all().values()]
    return Job(
        plan, digest("job", plan.keys[-1], settings.recompress, settings.checkpoints, judged)
    )


def identity(jobs: Iterable[Job]) -> str:
    """A short name for a set of jobs."""
    return digest(sorted(job.id for job in jobs))[:8]


def depth_first(jobs: Iterable[Job]) -> list[Job]:
    """Each job after those whose checkpoint it goes on from; all that go on from one, one after another."""
    jobs, first_seen = list(jobs), dict[str, int]()
    for job in jobs:
        for key in job.plan.keys:
            first_seen.setdefault(key, len(first_seen))
    return sorted(jobs, key=lambda job: [first_seen[key] for key in job.plan.keys])


class PrefixUse:
    """Which checkpoints are worth keeping; changes as jobs are done.

    Those that jobs go on from, and those that several end with: without an edit, every batch of edits has the same.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        self._passed = Counter(key for job in jobs for key in job.prefixes)
        self._ends = Counter(job.plan.keys[-1] for job in jobs)

    def __call__(self, key: str) -> bool:
        """Whether a job that is not done goes on from this checkpoint, or another one ends with it."""
        return self._passed[key] > 0 or self._ends[key] > 1

    def keys(self) -> frozenset[str]:
        """All of them, as things are."""
        return frozenset(key for key in (*self._passed, *self._ends) if self(key))

    def done(self, job: Job) -> list[str]:
        """A job needs its checkpoints no more; returns those that none needs now."""
        self._passed.subtract(job.prefixes)
        self._ends.subtract(job.plan.keys[-1:])
        return [key for key in job.plan.keys if not self._passed[key] and not self._ends[key]]


def applications(jobs: Sequence[Job]) -> tuple[int, int]:
    """(how many times an intervention is applied where prefixes are shared, and where each job does all of its own).

    Without the recompressions: whether one is due is measured.
    """
    shared = {key for job in jobs for key in job.plan.keys[1:]}
    return len(shared), sum(len(job.plan.composition) for job in jobs)
