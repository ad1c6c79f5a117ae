"""A grid's tasks, and their order on a stand-in for Ray; on Ray itself: test_on_ray.py."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from tqdm import tqdm

from sweeps import cluster
from sweeps.cluster import Resources
from sweeps.grid import ray_runner
from sweeps.grid.jobs import Job, PrefixUse
from sweeps.grid.progress import Progress, Tally
from sweeps.grid.ray_runner import Task, make_tasks, run_jobs
from sweeps.parent_run import ParentRun
from tests.sweeps.grid.conftest import MakeGrid
from tests.sweeps.grid.processes import INTERVENTIONS
from tests.sweeps.grid.recorded import composition_runs
from tracking import store
from tracking.checkpoints.store import Checkpoints


def test_what_is_shared_is_one_task_and_nothing_starts_before_what_it_goes_on_from(
    grid: MakeGrid,
) -> None:
    """Shared: the base model and four first steps."""
    jobs = grid(INTERVENTIONS).jobs
    waiting, computed, started = make_tasks(jobs, PrefixUse(jobs)), set[str](), list[Task]()
    shared_keys = [task.key for task in waiting if task.key]
    assert len(shared_keys) == len(set(shared_keys)) == 1 + 4
    assert len(waiting) == 1 + 4 + len(jobs)
    while waiting:
        # StopIteration if the tasks wait for one another
        task = next(task for task in waiting if task.after <= computed)
        waiting.remove(task)
        started.append(task)
        computed |= {task.key} if task.key else set()
    assert started[0].key == jobs[0].plan.keys[0] and started[0].after == frozenset()
    job_tasks = [task for task in started if task.key is None]
    assert [task.job for task in job_tasks] == list(jobs)
    assert all(task.after == set(task.job.plan.keys) & set(shared_keys) for task in job_tasks)


def test_a_shared_checkpoint_waits_for_those_before_it(grid: MakeGrid) -> None:
    jobs = grid(lengths=(3,)).jobs
    for task in make_tasks(jobs, PrefixUse(jobs)):
        if task.key is not None:
            depth = task.job.plan.keys.index(task.key)
            assert task.after == set(task.job.plan.keys[:depth])


class RayError(Exception):
    """As Ray's: with the error of the task, or without one if the worker died."""

    def __init__(self, message: str, cause: Exception | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class FakeRay:
    """Run a task when its result is asked for, in this process; the newest first.

    Attributes:
        most_running: how many tasks were ever submitted and not collected.
        failing: function name -> the error that its tasks end with.
        cancelled: references of tasks that were cancelled.
    """

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self) -> None:
        self.most_running = 0
        self.failing: dict[str, RayError] = {}
        self.cancelled: list[int] = []
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        def decorate(function: Callable[..., Any]) -> Any:
            def submit(*arguments: Any) -> int:
                self._calls.append((function, arguments))
                return len(self._calls) - 1

            return SimpleNamespace(remote=submit)

        return decorate

    def wait(self, refs: list[int], num_returns: int, timeout: float = 0) -> Any:
        self.most_running = max(self.most_running, len(refs))
        return refs[-1:], refs[:-1]

    def get(self, ref: int) -> Any:
        function, arguments = self._calls[ref]
        if function.__name__ in self.failing:
            raise self.failing[function.__name__]
        return function(*arguments)

    def cancel(self, ref: int) -> None:
        self.cancelled.append(ref)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake_ray = FakeRay()

    @contextmanager
    def fake_cluster(resources: Resources, checkpoints: Checkpoints) -> Iterator[FakeRay]:
        yield fake_ray

    monkeypatch.setattr(cluster, "ray_cluster", fake_cluster)
    monkeypatch.setattr(cluster, "parallel_tasks", lambda ray, resources: resources.workers)
    monkeypatch.setattr(cluster, "check_shared_folder", lambda ray, checkpoints: None)
    ray_runner._context.cache_clear()
    return fake_ray


def run(jobs: list[Job], cache: Checkpoints) -> Tally:
    parent = ParentRun(MlflowClient(store.uri()), store.ensure_experiment(), "mine")
    tally = Tally(total=len(jobs))
    with tqdm(total=len(jobs), disable=True) as bar:
        progress = Progress(parent, parent.open_run({}, shared=True), bar, tally)
        run_jobs(Resources(workers=3), jobs, progress, cache)
    return tally


def test_every_job_is_run_and_nothing_is_applied_twice(
    grid: MakeGrid, cache: Checkpoints, ray: FakeRay
) -> None:
    tally = run(list(grid(recompress="never").jobs), cache)
    assert tally.done == 15 == len(composition_runs()) and tally.failed == {}
    assert tally.applied == 4 + 10
    assert ray.most_running == 3 and ray.cancelled == []
    # no job needs a checkpoint any more: all are the first to go when room is needed
    stored = [path for path in cache.folder.iterdir() if path.name in cache]
    assert stored and all(path.stat().st_mtime == 0 for path in stored)


def test_nothing_is_submitted_before_its_prefixes_are_computed(
    grid: MakeGrid, cache: Checkpoints, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = ray_runner._Schedule._submit
    missing_keys: list[str] = []

    def checking_submit(schedule: ray_runner._Schedule, task: Task) -> None:
        missing_keys.extend(task.after - schedule._computed)
        submit(schedule, task)

    monkeypatch.setattr(ray_runner._Schedule, "_submit", checking_submit)
    run(list(grid("ft(steps=1); ga(samples=4)").jobs), cache)
    assert missing_keys == []


def test_a_job_that_fails_says_why_and_the_rest_goes_on(
    grid: MakeGrid, cache: Checkpoints, ray: FakeRay
) -> None:
    ray.failing["_run_prefix"] = RayError("lost")
    tally = run(list(grid("ft(steps=1); ga(samples=4)").jobs), cache)
    assert tally.done == 5 and tally.failed == {}
    ray.failing["_run_job"] = RayError("in a task", cause=ValueError("out of\nluck"))
    jobs = list(grid("ft(steps=1)", lengths=(0, 1)).jobs)
    tally = run(jobs, cache)
    assert tally.done == 0
    assert tally.failed == {"base model": "out of luck", "ft(steps=1)": "out of luck"}
    ray.failing["_run_job"] = RayError("killed")
    reason = f"its worker died {cluster.TASK_RETRIES + 1} times: killed"
    assert set(run(jobs, cache).failed.values()) == {reason}


def test_ctrl_c_cancels_the_running_tasks(
    grid: MakeGrid, cache: Checkpoints, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, ended = ray.get, list[int]()

    def interrupt_second(ref: int) -> Any:
        ended.append(ref)
        if len(ended) == 2:
            raise KeyboardInterrupt
        return finish(ref)

    monkeypatch.setattr(ray, "get", interrupt_second)
    with pytest.raises(KeyboardInterrupt):
        run(list(grid("ft(steps=1); ga(samples=4)").jobs), cache)
    # after the base model, its own job and both first steps are submitted; one was interrupted
    assert len(ray.cancelled) == 2 and not set(ended) & set(ray.cancelled)
