"""Studies in several processes at once, some of them killed: nothing twice, nothing lost."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.postgres import lacking, postgres
from interventions.unlearning.ga import LEARNING_RATES
from sweeps.study.journal import journal_path
from tests.sweeps.study.processes import start, wait_for_trials
from tests.sweeps.study.small_study import final_runs, parent_run, study_runs, trial_runs
from tracking import schema

EACH_RATE_ONCE = Counter(map(str, LEARNING_RATES))


def rates() -> Counter[str]:
    return Counter(run.data.params["ga.lr"] for run in trial_runs())


@pytest.mark.slow
@pytest.mark.full
def test_a_study_killed_with_9_goes_on_in_two_processes_at_once_and_every_point_is_run_once(
    local_store: str, tmp_path: Path
) -> None:
    first = start(tmp_path / "cache", "--space", "paper")
    wait_for_trials(2, first)
    first.kill()
    first.communicate()
    before = len(trial_runs())
    assert 2 <= before < 8
    pair = [start(tmp_path / "cache", "--space", "paper") for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs
    assert rates() == EACH_RATE_ONCE
    for status in ("RUNNING", "KILLED", "FAILED"):
        assert study_runs(status=status) == []
    assert parent_run().info.status == "FINISHED" and len(final_runs()) == 1
    applications = sum(err.count("applied ga") for _, err in outputs)
    assert applications == 8 - before + 1  # and one on test data: nothing was repeated


@pytest.mark.slow
@pytest.mark.parametrize("space", ["paper", "default"])
def test_four_processes_that_are_killed_again_and_again_lose_and_repeat_nothing(
    local_store: str, tmp_path: Path, space: str
) -> None:
    """Eight points, or 32 trials; every two seconds one is killed with -9, and one is started."""
    arguments = ["--space", space, *(["--trials", "32"] if space == "default" else [])]
    processes = [start(tmp_path / "cache", *arguments) for _ in range(4)]
    for _ in range(6):
        time.sleep(2)
        victim = processes.pop(0)
        victim.kill()
        victim.communicate()
        processes.append(start(tmp_path / "cache", *arguments))
    outputs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    jobs = Counter(run.data.tags[schema.JOB] for run in trial_runs())
    assert set(jobs.values()) == {1} and len(jobs) == (32 if space == "default" else 8)
    if space == "paper":
        assert rates() == EACH_RATE_ONCE
    assert study_runs(status="RUNNING") == []
    journal = journal_path(tmp_path / "cache", "composability", "mine")
    assert json.loads(journal.read_text().splitlines()[0])


@pytest.mark.slow
def test_a_study_in_postgresql_is_served_by_three_processes(
    local_store: str, tmp_path: Path
) -> None:
    if lacking():
        pytest.skip(lacking())
    with postgres(tmp_path / "studies") as uri:
        arguments = ["--space", "paper", "--storage", uri]
        processes = [start(tmp_path / f"cache-{i}", *arguments) for i in range(3)]
        outputs = [process.communicate(timeout=300) for process in processes]
        errors = "".join(err for _, err in outputs)
        assert [process.returncode for process in processes] == [0] * 3, errors
        assert rates() == EACH_RATE_ONCE
        parent = parent_run()
        assert parent.info.status == "FINISHED" and "secret" not in json.dumps(parent.data.params)
