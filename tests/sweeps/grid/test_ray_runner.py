"""A grid's tasks, and their order on a stand-in for Ray; on Ray itself: test_on_ray.py."""

import dataclasses
import shutil
from typing import Any

import pytest
from mlflow import MlflowClient
from tqdm import tqdm

from interventions.errors import InvalidInput
from sweeps import cluster
from sweeps.cluster import Resources
from sweeps.grid import ray_runner
from sweeps.grid.jobs import Job, PrefixUse
from sweeps.grid.progress import Progress, Tally
from sweeps.grid.ray_runner import Task, make_tasks, run_jobs
from sweeps.parent_run import ParentRun
from tests.sweeps.fake_ray import FakeRay, RayError, node, use_fake_ray
from tests.sweeps.grid.conftest import Applied, MakeGrid
from tests.sweeps.grid.processes import INTERVENTIONS
from tests.sweeps.grid.recorded import composition_runs
from tracking import schema, store
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints

WORKERS = Resources(workers=3)


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


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    ray_runner._context.cache_clear()
    return use_fake_ray(monkeypatch)


def run(jobs: list[Job], cache: Checkpoints, resources: Resources = WORKERS) -> Tally:
    parent = ParentRun(MlflowClient(store.uri()), store.ensure_experiment(), "mine")
    tally = Tally(total=len(jobs))
    with tqdm(total=len(jobs), disable=True) as bar:
        progress = Progress(parent, parent.open_run({}, shared=True), bar, tally)
        run_jobs(resources, jobs, progress, cache)
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
    # they are waited for before the cluster is left
    assert ray.events[-4:] == ["cancel", "cancel", "wait", "shutdown"]


def test_a_task_asks_for_one_processor_and_its_share_of_a_gpu_and_is_tried_four_times(
    grid: MakeGrid, cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = use_fake_ray(monkeypatch, node("1", CPU=4.0, GPU=1.0))
    run(list(grid("ft(steps=1)", lengths=(1,)).jobs), cache, Resources(2, gpus=0.5))
    expected = {"num_cpus": 1, "num_gpus": 0.5, "max_retries": 3}
    assert ray.task_options == {"_run_prefix": expected, "_run_job": expected}


def test_a_worker_is_told_what_to_run_where_and_as_part_of_which_grid(
    grid: MakeGrid, cache: Checkpoints, ray: FakeRay
) -> None:
    (job,) = grid("ft(steps=1)", lengths=(1,)).jobs
    run([job], cache)
    requested, steps, folder, shared_keys, experiment_id, tags = ray.arguments["_run_job"]
    assert (requested, folder) == (job.plan.requested, cache.folder)
    assert str(steps) == str(job.plan.composition)
    assert shared_keys == {job.plan.keys[0]}
    assert experiment_id == store.ensure_experiment()
    assert tags[schema.JOB] == job.id and tags[schema.SWEEP] == "mine"
    assert ray.arguments["_run_prefix"] == (requested, steps, folder, shared_keys, 0)


def test_no_task_starts_if_a_node_does_not_see_the_checkpoints_or_has_no_gpu(
    grid: MakeGrid, cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = list(grid("ft(steps=1)", lengths=(1,)).jobs)
    ray = use_fake_ray(monkeypatch, node("1", CPU=1.0), node("2", CPU=1.0))
    with pytest.raises(InvalidInput, match=r"gpus=1 per worker, but no node has more than 0"):
        run(jobs, cache, Resources(2, gpus=1))
    monkeypatch.setattr("os.path.exists", lambda path: False)
    with pytest.raises(InvalidInput, match=r"node 10\.0\.0\.1 does not see"):
        run(jobs, cache)
    assert not ray.submitted["_run_prefix"] + ray.submitted["_run_job"]
    assert ray.events == ["init", "shutdown"] * 2


def test_a_shared_checkpoint_is_stored_and_measured_by_the_worker_that_computes_it(
    grid: MakeGrid, cache: Checkpoints, applied: Applied
) -> None:
    (job,) = grid("ft(steps=1)", lengths=(1,)).jobs
    plan, shared = job.plan, frozenset(job.plan.keys)

    def run_prefix() -> int:
        return ray_runner._run_prefix(
            plan.requested, plan.composition, cache.folder, shared, depth=1
        )[1]

    assert run_prefix() == 1 and plan.keys[1] in cache
    later = Chain(plan, cache)
    assert later.measure(1)[0] and later.lm is None
    assert run_prefix() == 0
    # the scores are still there: only the model is missing
    shutil.rmtree(cache.path(plan.keys[1]))
    assert run_prefix() == 1 and plan.keys[1] in cache
    assert applied.keys == [plan.keys[1]] * 2


def test_a_task_cannot_be_changed_after_it_was_made(grid: MakeGrid) -> None:
    jobs = grid("ft(steps=1)", lengths=(1,)).jobs
    task = make_tasks(jobs, PrefixUse(jobs))[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.key = None  # type: ignore[misc]


def test_a_job_of_which_a_criterion_failed_is_failed_and_not_done(
    grid: MakeGrid, cache: Checkpoints, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {"apply": 0.5}, 2, "wmdp: no items"
    monkeypatch.setattr(ray_runner, "_run_job", lambda *words: costs)
    tally = run(list(grid("ft(steps=1)", lengths=(0,)).jobs), cache)
    assert (tally.done, tally.failed) == (0, {"base model": "wmdp: no items"})
