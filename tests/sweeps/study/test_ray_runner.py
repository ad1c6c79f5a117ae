"""Studies on Ray, in an environment that has it."""

import os
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interventions.unlearning.ga import LEARNING_RATES
from sweeps.study import ray_runner
from tests.peers import environment
from tests.sweeps.study.processes import start_on_ray, wait_for_trials
from tests.sweeps.study.small_study import final_runs, study_runs, trial_runs


def test_a_worker_measures_the_chosen_trial_where_it_connects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ray_runner, "measure_chosen", lambda *given: measured.append(given))
    connection: Any = SimpleNamespace(open=lambda: ("spec", "runs"))
    ray_runner._measure_chosen(connection, {"rmu.alpha": 1.0}, 7)
    assert measured == [({"rmu.alpha": 1.0}, 7, "spec", "runs")]


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
