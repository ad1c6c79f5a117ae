"""The jobs of a grid: compositions to run, in an order in which they share what is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from interventions.composition import Composition, digest
from tracking import schema
from tracking.branches import branch_keys
from tracking.plan import Plan, RunContext


@dataclass(frozen=True)
class Job:
    """One composition under one seed and batch of edits.

    Attributes:
        plan: the checked run.
        id: hash of all that the run computes and logs: equal ids, equal results.
    """

    plan: Plan
    id: str

    @property
    def name(self) -> str:
        """The name of the job's run, with the seed and batch of edits where they are not 0."""
        settings = self.plan.settings
        replicate = {"seed": settings.seed, "edit batch": settings.edit_batch}
        labels = [f"{label} {index}" for label, index in replicate.items() if index]
        name = schema.run_name([step.spec(settings.profile) for step in self.plan.composition])
        return f"{name} ({', '.join(labels)})" if labels else name

    @property
    def prefixes(self) -> list[str]:
        """Keys of the checkpoints that the job passes before its last, the base model's first.

        Those of branches come last.
        """
        return [*self.plan.keys[:-1], *self._branch_keys]

    @cached_property
    def _branch_keys(self) -> list[str]:
        return branch_keys(self.plan)

    @property
    def keys(self) -> list[str]:
        """Keys of all checkpoints that the job makes or passes, its last one last."""
        return [*self.prefixes, self.plan.keys[-1]]


def make_jobs(compositions: Sequence[Composition], contexts: Iterable[RunContext]) -> list[Job]:
    """Return a job for every composition in every context, neighbours where they share a prefix.

    Args:
        compositions: what to run.
        contexts: the settings to run them under, one for each seed and batch of edits.

    Raises:
        InvalidInput: a step does not fit the model.
    """
    jobs = [make_job(context.plan(steps)) for context in contexts for steps in compositions]
    # a job without an edit may be the same for every batch of edits: it is run once
    return depth_first({job.id: job for job in jobs}.values())


def make_job(plan: Plan) -> Job:
    """Return the job that a checked run is."""
    settings = plan.settings
    judged = [criterion.identity(plan.measured_data) for criterion in plan.criteria]
    job_id = digest("job", plan.keys[-1], settings.recompress, settings.checkpoints, judged)
    return Job(plan, job_id)


def jobs_digest(jobs: Iterable[Job]) -> str:
    """Return a short hash of a set of jobs; their order does not matter."""
    return digest(sorted(job.id for job in jobs))[:8]


def depth_first(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs in an order in which few checkpoints are needed at a time.

    Each job comes after those whose last checkpoint it passes; all that pass one checkpoint come
    one after another.
    """
    jobs = list(jobs)
    first_seen: dict[str, int] = {}
    for job in jobs:
        for key in job.plan.keys:
            first_seen.setdefault(key, len(first_seen))
    return sorted(jobs, key=lambda job: [first_seen[key] for key in job.plan.keys])


class PrefixUse:
    """Count for every checkpoint how many jobs still need it, so that only those are kept.

    A checkpoint is needed if a job passes it, or if several jobs end with it: without an edit, a
    composition ends with the same checkpoint for every batch of edits.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        self._passing = Counter(key for job in jobs for key in job.prefixes)
        self._ending = Counter(job.plan.keys[-1] for job in jobs)

    def __call__(self, key: str) -> bool:
        """Return whether a checkpoint is worth keeping for the jobs that are not done."""
        return self._passing[key] > 0 or self._ending[key] > 1

    def keys(self) -> frozenset[str]:
        """Return the keys of all checkpoints that are worth keeping now."""
        return frozenset(key for key in (*self._passing, *self._ending) if self(key))

    def done(self, job: Job) -> list[str]:
        """Count a job as done, and return the keys of its checkpoints that no job needs now."""
        self._passing.subtract(job.prefixes)
        self._ending.subtract(job.plan.keys[-1:])
        return [key for key in job.keys if not self._passing[key] and not self._ending[key]]


def count_applications(jobs: Sequence[Job]) -> tuple[int, int]:
    """Return how many times interventions are applied, without recompressions.

    Whether a recompression is due is measured while a job runs, so it is not known before.

    Returns:
        The number if prefixes are shared, and the number if each job does all of its own steps.
    """
    shared_keys = {key for job in jobs for key in job.keys[1:]}
    return len(shared_keys), sum(len(job.keys) - 1 for job in jobs)
