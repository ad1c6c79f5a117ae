"""A grid on many processes or machines, by Ray: a prefix is computed once, then what goes on from it, in parallel."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import os
import socket
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interventions import cache
from interventions.composition import Composition
from interventions.errors import InvalidInput
from sweeps.grid.jobs import Job, PrefixUse
from sweeps.grid.progress import Progress
from sweeps.retry import patiently
from tracking import lifecycle, store
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext
from tracking.run import Member, track_member
from tracking.settings import Settings

SQLITE_WORKERS = 8  # so many lost and doubled nothing, as tests/sweeps/test_workers.py checks; more were not tried
_ANSWER = 5.0  # seconds that a cluster may take
RETRIES = 3  # of a task whose worker died


@dataclass(frozen=True)
class Resources:
    """What a grid runs on.

    Attributes:
        workers: how many at once; 1 is this process, unless there is a cluster or a GPU to ask for.
        address: of a Ray cluster; "" starts one here.
        gpus: per worker.
    """

    workers: int = 1
    address: str = ""
    gpus: float = 0.0

    @classmethod
    def read(cls, workers: str, address: str, gpus: str) -> Resources:
        """From the command line; raises InvalidInput on what is no number, or can be seen not to work."""
        try:
            made = cls(int(workers), address, float(gpus))
        except ValueError:
            made = cls(0)
        if made.workers < 1 or not 0 <= made.gpus < math.inf:
            raise InvalidInput(
                f"workers must be at least 1 and gpus at least 0, but got {workers!r} and {gpus!r}"
            )
        if made.on_ray:
            made._check()
        return made

    @property
    def on_ray(self) -> bool:
        """Whether Ray is needed."""
        return self.workers > 1 or bool(self.address) or self.gpus > 0

    def settings(self, asked: Settings) -> Settings:
        """The settings with the workers' device and dtype, which this machine need not have."""
        if not self.on_ray:
            return asked
        if self.gpus:
            return replace(
                asked, device="cuda", dtype="bfloat16" if asked.dtype == "auto" else asked.dtype
            )
        return replace(asked, device="cpu")

    def _check(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise InvalidInput(
                "workers, ray_address and gpus need Ray: pip install 'composable-interventions[ray]'"
            )
        if store.uri().startswith("sqlite") and (self.address or self.workers > SQLITE_WORKERS):
            raise InvalidInput(
                f"SQLite takes {SQLITE_WORKERS} workers on one machine, but got workers={self.workers}"
                f"{f' and ray_address={self.address}' if self.address else ''}: set MLFLOW_TRACKING_URI to PostgreSQL"
                " or to an MLflow server"
            )
        if self.address:
            host, _, port = self.address.rpartition(":")
            try:
                socket.create_connection((host, int(port)), _ANSWER).close()
            except (OSError, ValueError) as error:
                raise InvalidInput(
                    f"no Ray cluster answers at {self.address!r} (host:port): {error}"
                ) from error


def add_resources(made: ArgumentParser) -> None:
    """What every command has that may run on Ray."""
    made.add_argument("--workers", default="1", help="processes; more than one run on Ray")
    made.add_argument(
        "--ray_address", default="none", help="of a Ray cluster, such as 10.0.0.1:6379"
    )
    made.add_argument("--gpus", default="0", help="GPUs per worker, such as 1 or 0.5")


def run(resources: Resources, todo: Sequence[Job], progress: Progress, kept: Checkpoints) -> None:
    """Run the jobs; a task whose worker dies is tried again elsewhere.

    Raises:
        InvalidInput: the cluster lacks the GPUs, or its nodes do not share the folder of checkpoints.
    """
    with cluster(resources, kept) as ray:
        most = limit(ray, resources)
        check_shared_folder(ray, kept)
        options = {"num_cpus": 1, "num_gpus": resources.gpus, "max_retries": RETRIES}
        prefix, whole = ray.remote(**options)(_prefix), ray.remote(**options)(_job)
        shared = PrefixUse(todo)
        waiting, keep = tasks(todo, shared), ray.put(shared.keys())
        reached: set[str] = set()
        running: dict[Any, Task] = {}

        def submit(task: Task) -> None:
            job = task.job
            common = (job.plan.asked, job.plan.composition, kept.folder)
            if task.key is not None:
                ref = prefix.remote(*common, keep, job.plan.keys.index(task.key))
            else:
                ref = whole.remote(
                    *common, keep, progress.experiment_id, progress.member(job, shared).tags
                )
            running[ref] = task

        def collect(ref: Any) -> None:
            task = running.pop(ref)
            if task.key is not None:
                reached.add(task.key)
            _collect(ray, ref, task, progress)
            if task.key is None:
                kept.unpin(shared.done(task.job))

        try:
            while waiting or running:
                for task in [task for task in waiting if task.after <= reached][
                    : most - len(running)
                ]:
                    waiting.remove(task)
                    submit(task)
                (ready,), _ = ray.wait(list(running), num_returns=1)
                collect(ready)
        except BaseException:
            cancel(ray, list(running))
            raise


def cancel(ray: Any, running: Sequence[Any]) -> None:
    """End tasks: it raises KeyboardInterrupt there, and their runs end KILLED."""
    for ref in running:
        ray.cancel(ref)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=_ANSWER)


@dataclass(frozen=True)
class Task:
    """What a worker does at a time.

    Attributes:
        job: whose plan is followed.
        key: of the checkpoint to compute and measure; None for the whole job.
        after: keys of the checkpoints that are computed before.
    """

    job: Job
    key: str | None
    after: frozenset[str]


def tasks(todo: Sequence[Job], shared: PrefixUse) -> list[Task]:
    """Every checkpoint that is worth keeping, once; then every job."""
    found: dict[str, Task] = {}
    for job in todo:
        before: frozenset[str] = frozenset()
        for key in job.plan.keys:
            if shared(key):
                found.setdefault(key, Task(job, key, before))
                before |= {key}
    return [
        *found.values(),
        *(Task(job, None, frozenset(filter(shared, job.plan.keys))) for job in todo),
    ]


def _collect(ray: Any, ref: Any, task: Task, progress: Progress) -> None:
    try:
        seconds, applied = ray.get(ref)
    except ray.exceptions.RayError as error:
        if task.key is not None:
            return  # those that go on from it will say why
        cause = getattr(error, "cause", None)
        died = f"its worker died {RETRIES + 1} times: {lifecycle.one_line(error)}"
        progress.failed(task.job, lifecycle.one_line(cause) if cause else died)
    else:
        progress.spent(seconds, applied)
        if task.key is None:
            progress.done()


@functools.lru_cache(maxsize=32)
def _ground(settings: Settings) -> RunContext:
    return RunContext(settings)


def _prefix(
    settings: Settings, steps: Composition, folder: Path, keep: frozenset[str], depth: int
) -> tuple[dict[str, float], int]:
    """In a worker: compute, keep and measure the checkpoint after ``depth`` steps."""
    chain = Chain(
        _ground(settings).plan(Composition(steps)), Checkpoints(folder), keep.__contains__
    )
    chain.reach(depth)
    chain.measure(depth)
    return dict(chain.seconds), chain.applied


def _job(
    settings: Settings,
    steps: Composition,
    folder: Path,
    keep: frozenset[str],
    experiment_id: str,
    tags: dict[str, str],
) -> tuple[dict[str, float], int]:
    """In a worker: one composition, one run."""
    plan, member = (
        _ground(settings).plan(Composition(steps)),
        Member(experiment_id, tags, keep.__contains__),
    )
    chain = patiently(lambda: track_member(plan, member, Checkpoints(folder)))
    return dict(chain.seconds), chain.applied


@contextlib.contextmanager
def cluster(resources: Resources, kept: Checkpoints) -> Iterator[Any]:
    """Ray, started or joined, and left at the end; raises InvalidInput if it does not start."""
    import ray

    variables = {
        "MLFLOW_TRACKING_URI": store.uri(),
        "COMPOSABILITY_CACHE": str(kept.folder),
        "PYTHONPATH": os.pathsep.join(
            filter(None, (str(cache.root()), os.environ.get("PYTHONPATH")))
        ),
        "TQDM_DISABLE": "1",
    }
    options: dict[str, Any] = {
        "runtime_env": {"env_vars": variables},
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    if resources.address:
        options["address"] = resources.address
    else:
        options |= {"num_cpus": resources.workers, "include_dashboard": False}
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InvalidInput(f"Ray does not start: {lifecycle.one_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def limit(ray: Any, resources: Resources) -> int:
    """How many tasks at once; raises InvalidInput if no node has the GPUs of one."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max(node.get("GPU", 0.0) for node in nodes)
    if resources.gpus > most:
        raise InvalidInput(
            f"gpus={resources.gpus:g} per worker, but no node has more than {most:g}"
        )
    if resources.workers > 1:
        return resources.workers
    fit = [
        min(node.get("CPU", 0.0), node.get("GPU", 0.0) / resources.gpus if resources.gpus else 1e9)
        for node in nodes
    ]
    return max(1, int(sum(map(int, fit))))


def check_shared_folder(ray: Any, kept: Checkpoints) -> None:
    """Raise InvalidInput unless every node sees this machine's folder of checkpoints."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    probe = kept.folder / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    try:
        for node in nodes:
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                node["NodeID"], soft=False
            )
            if not ray.get(
                ray.remote(num_cpus=0, scheduling_strategy=here)(os.path.exists).remote(str(probe))
            ):
                raise InvalidInput(
                    f"node {node['NodeManagerAddress']} does not see {kept.folder}: set COMPOSABILITY_CACHE to a"
                    " folder that all nodes share"
                )
    finally:
        probe.unlink()
