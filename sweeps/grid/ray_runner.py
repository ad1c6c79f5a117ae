"""Run a grid on Ray: a shared prefix is computed once, then the jobs that pass it, in parallel."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interventions.composition import Composition
from sweeps import cluster
from sweeps.cluster import Resources
from sweeps.grid.jobs import Job, PrefixUse
from sweeps.grid.progress import Progress
from sweeps.retry import patiently
from tracking import lifecycle
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.failures import failure_lines
from tracking.plan import RunContext
from tracking.run import SweepMember, track_member
from tracking.settings import Settings

# seconds by part, how many interventions were applied, and which criteria failed, in words
Costs = tuple[dict[str, float], int, str]


@dataclass(frozen=True)
class Task:
    """What a worker does at a time: one checkpoint that several jobs need, or one whole job.

    Attributes:
        job: the job whose plan is followed.
        key: of the checkpoint to compute and measure; None for the whole job.
        after: keys of the checkpoints that must be computed before.
    """

    job: Job
    key: str | None
    after: frozenset[str]


def make_tasks(jobs: Sequence[Job], prefix_use: PrefixUse) -> list[Task]:
    """Return a task for every checkpoint that is worth keeping, then one for every job."""
    prefix_tasks: dict[str, Task] = {}
    for job in jobs:
        before: frozenset[str] = frozenset()
        for key in filter(prefix_use, job.plan.keys):
            prefix_tasks.setdefault(key, Task(job, key, before))
            before |= {key}
    job_tasks = [Task(job, None, frozenset(filter(prefix_use, job.plan.keys))) for job in jobs]
    return [*prefix_tasks.values(), *job_tasks]


def run_jobs(
    resources: Resources, jobs: Sequence[Job], progress: Progress, checkpoints: Checkpoints
) -> None:
    """Run jobs on a Ray cluster; a task whose worker dies is tried again elsewhere.

    Raises:
        InvalidInput: Ray does not start, the cluster lacks the GPUs, or its nodes do not share the
            folder of checkpoints.
    """
    with cluster.ray_cluster(resources, checkpoints) as ray:
        most_running = cluster.parallel_tasks(ray, resources)
        cluster.check_shared_folder(ray, checkpoints)
        schedule = _Schedule(ray, resources, jobs, progress, checkpoints)
        try:
            while schedule.waiting or schedule.running:
                schedule.submit_ready(most_running)
                schedule.collect_one()
        except BaseException:
            cluster.cancel_tasks(ray, list(schedule.running))
            raise


class _Schedule:
    """The tasks of a grid that wait and that run.

    Attributes:
        waiting: tasks that were not submitted yet.
        running: Ray's reference -> task.
    """

    def __init__(
        self,
        ray: Any,
        resources: Resources,
        jobs: Sequence[Job],
        progress: Progress,
        checkpoints: Checkpoints,
    ) -> None:
        options = {
            "num_cpus": 1,
            "num_gpus": resources.gpus,
            "max_retries": cluster.TASK_RETRIES,
        }
        self._ray = ray
        self._remote_prefix = ray.remote(**options)(_run_prefix)
        self._remote_job = ray.remote(**options)(_run_job)
        self._progress = progress
        self._checkpoints = checkpoints
        self._prefix_use = PrefixUse(jobs)
        # stored once for all tasks: with many jobs, there are many keys
        self._shared_keys = ray.put(self._prefix_use.keys())
        self._computed: set[str] = set()
        self.waiting = make_tasks(jobs, self._prefix_use)
        self.running: dict[Any, Task] = {}

    def submit_ready(self, most_running: int) -> None:
        """Submit tasks whose prefixes are computed, as long as fewer than ``most_running`` run."""
        ready = [task for task in self.waiting if task.after <= self._computed]
        for task in ready[: most_running - len(self.running)]:
            self.waiting.remove(task)
            self._submit(task)

    def _submit(self, task: Task) -> None:
        plan = task.job.plan
        common = (plan.requested, plan.composition, self._checkpoints.folder, self._shared_keys)
        if task.key is not None:
            ref = self._remote_prefix.remote(*common, plan.keys.index(task.key))
        else:
            tags = self._progress.member(task.job, self._prefix_use).tags
            ref = self._remote_job.remote(*common, self._progress.experiment_id, tags)
        self.running[ref] = task

    def collect_one(self) -> None:
        """Wait until a task ends, and count what became of it."""
        (ref,), _ = self._ray.wait(list(self.running), num_returns=1)
        task = self.running.pop(ref)
        if task.key is not None:
            # also if it failed: the jobs that need it then compute it, and say why if they cannot
            self._computed.add(task.key)
        self._count(ref, task)
        if task.key is None:
            self._checkpoints.unpin(self._prefix_use.done(task.job))

    def _count(self, ref: Any, task: Task) -> None:
        progress = self._progress
        try:
            seconds, applied, failures = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            if task.key is None:
                progress.job_failed(task.job, _reason(error))
            return
        progress.add_cost(seconds, applied)
        if task.key is None and failures:
            progress.job_failed(task.job, failures)
        elif task.key is None:
            progress.job_done()


def _reason(error: BaseException) -> str:
    """Return in one line why a task failed: its own error, or the death of its workers."""
    cause = getattr(error, "cause", None)
    if cause:
        return lifecycle.one_line(cause)
    attempts = cluster.TASK_RETRIES + 1
    return f"its worker died {attempts} times: {lifecycle.one_line(error)}"


@functools.lru_cache(maxsize=32)
def _context(settings: Settings) -> RunContext:
    # a worker runs many tasks: the data and the model's anatomy are read once for each settings
    return RunContext(settings)


def _run_prefix(
    settings: Settings, steps: Composition, folder: Path, shared_keys: frozenset[str], depth: int
) -> Costs:
    """In a worker: compute, keep and measure the checkpoint after ``depth`` steps."""
    plan = _context(settings).plan(Composition(steps))
    chain = Chain(plan, Checkpoints(folder), shared_keys.__contains__)
    chain.model_after(depth)
    chain.measure(depth)
    return dict(chain.seconds), chain.steps_applied, "; ".join(failure_lines(chain.failures))


def _run_job(
    settings: Settings,
    steps: Composition,
    folder: Path,
    shared_keys: frozenset[str],
    experiment_id: str,
    tags: Mapping[str, str],
) -> Costs:
    """In a worker: run one composition as one run."""
    plan = _context(settings).plan(Composition(steps))
    member = SweepMember(experiment_id, tags, shared_keys.__contains__)
    chain = patiently(lambda: track_member(plan, member, Checkpoints(folder)))
    return dict(chain.seconds), chain.steps_applied, "; ".join(failure_lines(chain.failures))
