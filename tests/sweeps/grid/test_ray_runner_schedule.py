"""The order of a grid's tasks and what is counted of each, without applying an intervention."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tqdm import tqdm

from sweeps.cluster import Resources
from sweeps.grid import ray_runner
from sweeps.grid.progress import Progress, Tally
from sweeps.grid.ray_runner import Costs
from tests.sweeps.fake_ray import FakeRay, RayError, use_fake_ray
from tests.sweeps.grid.test_runner_parts import Parent, job
from tracking import schema
from tracking.checkpoints.store import Checkpoints

Words = tuple[object, ...]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    return use_fake_ray(monkeypatch)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Words]:
    """Tasks that end at once, and note what they were given."""
    noted: list[Words] = []

    def _run_prefix(settings: str, steps: str, folder: Path, keys: object, depth: int) -> Costs:
        noted.append(("prefix", settings, steps, folder.name, depth))
        return {"apply": 1.0}, 1, "criterion mmlu failed"

    def _run_job(
        settings: str,
        steps: str,
        folder: Path,
        keys: object,
        experiment_id: str,
        tags: Mapping[str, str],
    ) -> Costs:
        name = tags[schema.JOB]
        noted.append(("job", settings, steps, folder.name, experiment_id, name))
        if name == "ga":
            raise RayError("in a task", cause=ValueError("out of\nluck"))
        return {"load": 0.5}, 2, "no items" if name == "ft → ga" else ""

    monkeypatch.setattr(ray_runner, "_run_prefix", _run_prefix)
    monkeypatch.setattr(ray_runner, "_run_job", _run_job)
    return noted


def run(events: list[Words], folder: Path, *names: str, workers: int = 2) -> Tally:
    tally = Tally(total=len(names))
    bar: tqdm[Any] = tqdm(total=tally.total, disable=True)
    progress = Progress(cast(Any, Parent()), "parent", bar, tally)
    checkpoints = SimpleNamespace(folder=folder, unpin=lambda keys: events.append(("unpin", *keys)))
    jobs = [job(name) for name in names]
    resources = Resources(workers=workers)
    ray_runner.run_jobs(resources, jobs, progress, cast(Checkpoints, checkpoints))
    return tally


def test_a_job_follows_its_prefixes_and_what_it_needed_alone_is_unpinned_after_it(
    events: list[Words], ray: FakeRay, tmp_path: Path
) -> None:
    tally = run(events, tmp_path, "ft", "ft → ga", "ga")
    prefix, whole = ("prefix", "settings"), ("job", "settings")
    assert events == [
        (*prefix, "ft?", tmp_path.name, 0),
        # of the running tasks, the stand-in for Ray ends the newest
        (*whole, "ga?", tmp_path.name, "experiment", "ga"),
        ("unpin", "k2"),
        (*prefix, "ft?", tmp_path.name, 1),
        (*whole, "ft → ga?", tmp_path.name, "experiment", "ft → ga"),
        ("unpin", "k3"),
        (*whole, "ft?", tmp_path.name, "experiment", "ft"),
        ("unpin", "k0", "k1"),
    ]
    assert (tally.done, tally.failed) == (1, {"ga": "out of luck", "ft → ga": "no items"})
    # two prefixes, and the two jobs that came to an end
    assert (tally.applied, tally.seconds) == (1 + 1 + 2 + 2, {"apply": 2.0, "load": 1.0})
    assert ray.events == ["init", *["wait"] * 5, "shutdown"] and ray.most_running == 2


def test_no_more_tasks_run_at_once_than_there_are_workers(
    events: list[Words], ray: FakeRay, tmp_path: Path
) -> None:
    assert run(events, tmp_path, "base", "ft", "ga", "rtn").done == 3
    assert ray.most_running == 2 and ray.submitted == {"_run_prefix": 1, "_run_job": 4}


def test_jobs_are_run_whose_prefix_failed_and_only_they_are_counted(
    events: list[Words], ray: FakeRay, tmp_path: Path
) -> None:
    ray.failing["_run_prefix"] = RayError("lost")
    tally = run(events, tmp_path, "ft", "ft → ga")
    assert (tally.done, tally.failed, tally.applied) == (1, {"ft → ga": "no items"}, 4)
    assert tally.seconds == {"load": 1.0}


def test_a_job_whose_workers_died_is_failed_with_how_often(
    events: list[Words], ray: FakeRay, tmp_path: Path
) -> None:
    ray.failing["_run_job"] = RayError("killed\nby the system")
    tally = run(events, tmp_path, "ft")
    assert (tally.done, tally.applied) == (0, 1)
    assert tally.failed == {"ft": "its worker died 4 times: killed by the system"}


class Chain:
    """A chain that notes how deep it is computed and measured.

    Attributes:
        calls: what was asked of it, in order.
    """

    steps_applied = 2

    def __init__(self, *arguments: object) -> None:
        self.seconds = {"apply": 1.5}
        self.failures = {1: {"mmlu": "too large", "wmdp": "no items"}}
        self.arguments = arguments
        self.calls: list[tuple[str, int]] = []

    def model_after(self, depth: int) -> None:
        self.calls.append(("model", depth))

    def measure(self, depth: int) -> None:
        self.calls.append(("measure", depth))


COSTS = (
    {"apply": 1.5},
    2,
    "criterion mmlu failed after step 1: too large; criterion wmdp failed after step 1: no items",
)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the settings that a worker makes a context of."""
    contexts: list[str] = []

    def make_context(settings: str) -> object:
        contexts.append(settings)
        return SimpleNamespace(plan=lambda steps: (settings, len(steps)))

    ray_runner._context.cache_clear()
    monkeypatch.setattr(ray_runner, "RunContext", make_context)
    return contexts


def test_a_worker_computes_and_measures_a_prefix_and_reads_the_data_once(
    plans: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chains: list[Chain] = []

    def make_chain(*arguments: object) -> Chain:
        chains.append(Chain(*arguments))
        return chains[-1]

    monkeypatch.setattr(ray_runner, "Chain", make_chain)
    settings: Any = "a"
    for depth in (1, 2):
        costs = ray_runner._run_prefix(settings, cast(Any, ()), tmp_path, frozenset("k"), depth)
        assert costs == COSTS
    assert [chain.calls for chain in chains] == [
        [("model", 1), ("measure", 1)],
        [("model", 2), ("measure", 2)],
    ]
    plan, checkpoints, is_shared = cast(Any, chains[0].arguments)
    assert plan == ("a", 0) and checkpoints.folder == tmp_path
    assert is_shared("k") and not is_shared("l")
    assert plans == ["a"]


def test_a_worker_runs_a_job_as_a_member_of_its_grid(
    plans: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    members: list[Any] = []

    def track_member(plan: object, member: Any, checkpoints: Checkpoints) -> Chain:
        assert plan == ("a", 0) and checkpoints.folder == tmp_path
        members.append(member)
        return Chain()

    monkeypatch.setattr(ray_runner, "track_member", track_member)
    settings: Any = "a"
    costs = ray_runner._run_job(
        settings, cast(Any, ()), tmp_path, frozenset("k"), "experiment", {"job": "ft"}
    )
    assert costs == COSTS
    (member,) = members
    assert (member.experiment_id, member.tags) == ("experiment", {"job": "ft"})
    assert member.keep("k") and not member.keep("l")
