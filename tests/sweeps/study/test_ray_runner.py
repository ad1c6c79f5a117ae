"""Studies on a stand-in for Ray, and on Ray in an environment that has it."""

import dataclasses
import os
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow import MlflowClient

from interventions.errors import InvalidInput
from interventions.unlearning.ga import GA, LEARNING_RATES
from sweeps.cluster import Resources
from sweeps.parent_run import ParentRun
from sweeps.study import ray_runner
from sweeps.study.ray_runner import serve_on_ray
from sweeps.study.request import StudyRequest
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial_queue import TrialQueue
from tests.peers import environment
from tests.sweeps.fake_ray import FakeRay, RayError, node, use_fake_ray
from tests.sweeps.study.processes import start_on_ray, wait_for_trials
from tests.sweeps.study.small_study import (
    NAME,
    RATES,
    SPEC,
    final_runs,
    study_runs,
    study_spec,
    trial_runs,
)
from tracking import store
from tracking.checkpoints.store import Checkpoints


def test_a_worker_measures_the_chosen_trial_where_it_connects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ray_runner, "measure_chosen", lambda *given: measured.append(given))
    connection: Any = SimpleNamespace(open=lambda: ("spec", "runs"))
    ray_runner._measure_chosen(connection, {"rmu.alpha": 1.0}, 7)
    assert measured == [({"rmu.alpha": 1.0}, 7, "spec", "runs")]


class Study:
    """A study whose workers and final test only count.

    Attributes:
        waiting: how many trials are not done.
        chosen: the trial that it ends with.
        served: the names of the queues that workers served.
        tested: hyperparameters and number of the trial that was measured at the end.
        looks: how many times progress was shown.
    """

    def __init__(self, cache: Checkpoints, patch: pytest.MonkeyPatch) -> None:
        self.waiting, self.looks = 4, 0
        self.chosen: Any = SimpleNamespace(params={"ga.lr": 0.1}, number=3)
        self.served: list[tuple[StudyRequest, StudyRuns, Path]] = []
        self.tested: list[tuple[dict[str, float], int, StudyRuns]] = []
        self._cache = cache
        patch.setattr(ray_runner, "serve", self._serve)
        patch.setattr(ray_runner, "measure_chosen", self._measure)
        patch.setattr(ray_runner, "best_trials", lambda study: [study.study_name])
        patch.setattr(ray_runner, "choose", lambda trials, directions: self.chosen)
        patch.setattr(StudySpec, "open_queue", lambda spec, checkpoints: checkpoints.folder)

    def run(self, resources: Resources) -> None:
        spec = study_spec(resources=resources)
        runs = StudyRuns.connect("12", "mine", "parent", self._cache)
        queue = SimpleNamespace(
            study=SimpleNamespace(study_name="mine", directions=["maximize"]),
            unfinished=lambda: [None] * self.waiting,
        )
        serve_on_ray(spec, runs, cast(TrialQueue, queue), self._look)

    def _look(self) -> None:
        self.looks += 1

    def _serve(self, spec: StudySpec, runs: StudyRuns, folder: Path) -> None:
        self.served.append((spec.request, runs, folder))

    def _measure(
        self, params: dict[str, float], number: int, spec: StudySpec, runs: StudyRuns
    ) -> None:
        self.tested.append((params, number, runs))


@pytest.fixture
def study(cache: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> Study:
    return Study(cache, monkeypatch)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    return use_fake_ray(monkeypatch, node("1", CPU=8.0, GPU=1.0))


@pytest.mark.parametrize(("waiting", "workers"), [(0, 1), (1, 1), (2, 2), (3, 3), (9, 3)])
def test_there_are_as_many_workers_as_asked_for_but_no_more_than_trials(
    study: Study, ray: FakeRay, waiting: int, workers: int
) -> None:
    study.waiting = waiting
    study.run(Resources(3))
    assert ray.submitted == {"_serve": workers, "_measure_chosen": 1}
    assert len(study.served) == workers == ray.most_running


def test_a_worker_serves_the_same_study_in_the_same_cache(
    study: Study, ray: FakeRay, cache: Checkpoints
) -> None:
    study.run(Resources(2))
    for request, runs, folder in study.served:
        assert request == study_spec(resources=Resources(2)).request
        assert (runs.parent.experiment_id, runs.parent.name) == ("12", "mine")
        assert runs.parent_id == "parent" and runs.checkpoints.folder == folder == cache.folder


def test_a_task_asks_for_one_processor_and_its_share_of_a_gpu_and_is_tried_four_times(
    study: Study, ray: FakeRay
) -> None:
    study.run(Resources(2, gpus=0.5))
    expected = {"num_cpus": 1, "num_gpus": 0.5, "max_retries": 3}
    assert ray.task_options == {"_serve": expected, "_measure_chosen": expected}


def test_progress_is_shown_each_second_and_after_each_worker(study: Study, ray: FakeRay) -> None:
    ray.idle_waits = 5
    study.run(Resources(3))
    assert study.looks == 5 + 3 and set(ray.timeouts) == {1.0}


def test_the_chosen_trial_is_measured_once_by_a_worker_after_all_trials(
    study: Study, ray: FakeRay
) -> None:
    study.run(Resources(2))
    ((params, number, runs),) = study.tested
    assert (params, number, runs.parent_id) == ({"ga.lr": 0.1}, 3, "parent")
    assert ray.events == ["init", "wait", "wait", "shutdown"]


def test_where_no_trial_is_chosen_none_is_measured(study: Study, ray: FakeRay) -> None:
    study.chosen = None
    study.run(Resources(2))
    assert ray.submitted == {"_serve": 2} and study.tested == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RayError("its worker died")])
def test_an_error_or_ctrl_c_ends_the_workers_and_nothing_is_measured(
    study: Study, ray: FakeRay, error: BaseException
) -> None:
    ray.failing["_serve"] = error
    with pytest.raises(type(error)) as raised:
        study.run(Resources(3))
    assert raised.value is error and study.tested == []
    # the newest ended; the rest are ended and waited for before the cluster is left
    assert ray.cancelled == [0, 1]
    assert ray.events == ["init", "wait", "cancel", "cancel", "wait", "shutdown"]


def test_no_worker_starts_if_a_node_does_not_see_the_checkpoints(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = use_fake_ray(monkeypatch, node("1", CPU=1.0), node("2", CPU=1.0))
    monkeypatch.setattr("os.path.exists", lambda path: False)
    with pytest.raises(InvalidInput, match=r"node 10\.0\.0\.1 does not see"):
        study.run(Resources(2))
    assert not ray.submitted["_serve"] and ray.events == ["init", "shutdown"]


def test_what_a_worker_connects_by_cannot_be_changed(tmp_path: Path) -> None:
    connection = ray_runner._Connection(StudyRequest(SPEC), "12", "mine", "parent", tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        connection.name = "yours"  # type: ignore[misc]


def test_workers_run_every_trial_once_and_test_the_best(
    cache: Checkpoints, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GA, "grid", {"lr": RATES[:2], "samples": (10,)})
    spec, experiment_id = study_spec(resources=Resources(2)), store.ensure_experiment()
    queue = spec.open_queue(cache)
    queue.fill()
    parent = ParentRun(MlflowClient(store.uri()), experiment_id, NAME).open_run({}, shared=True)
    runs = StudyRuns.connect(experiment_id, NAME, parent, cache)
    serve_on_ray(spec, runs, queue, lambda: None)
    assert {float(run.data.params["ga.lr"]) for run in trial_runs()} == set(RATES[:2])
    assert len(trial_runs()) == 2 and queue.unfinished() == []
    (tested,) = final_runs()
    assert float(tested.data.params["ga.lr"]) == queue.study.best_trial.params["ga.lr"]
    assert ray.submitted == {"_serve": 2, "_measure_chosen": 1}


@pytest.mark.slow
def test_four_workers_on_ray_lose_and_repeat_nothing_though_one_is_killed(
    local_store: str, tmp_path: Path
) -> None:
    python = environment("ray")
    process = start_on_ray(python, local_store, tmp_path / "cache")
    wait_for_trials(2, process)
    listed = subprocess.run(["pgrep", "-f", "ray::_serve"], capture_output=True, text=True)
    victims = listed.stdout.split()
    assert victims
    os.kill(int(victims[0]), 9)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out + err
    rates = Counter(run.data.params["ga.lr"] for run in trial_runs())
    assert rates == Counter(map(str, LEARNING_RATES))
    assert study_runs(status="RUNNING") == [] and len(final_runs()) == 1
    again = start_on_ray(python, local_store, tmp_path / "cache")
    out, err = again.communicate(timeout=600)
    assert again.returncode == 0 and len(trial_runs()) == len(LEARNING_RATES), out + err
