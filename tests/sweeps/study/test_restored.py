"""A study of what comes back of what was unlearned."""

import pytest
from mlflow import MlflowClient

from interventions.compression.rtn import RTN
from interventions.unlearning.ga import GA
from sweeps.study.objectives import read_objectives
from sweeps.study.run import tune
from sweeps.study.study_runs import StudyRuns
from tests.sweeps.study.small_study import NAME, final_runs, parent_run, trial_runs
from tracking.checkpoints.store import Checkpoints

SPEC = "ga(samples=40, batch=4, lr=2e-3, last_layers=4) | rtn(group=32)"


@pytest.fixture(autouse=True)
def _small_testbed() -> None:
    """The questions are those of the testbed."""


@pytest.mark.full
def test_a_trials_share_is_that_of_its_runs_steps(cache: Checkpoints, local_store: str) -> None:
    result = tune(
        SPEC,
        objective="restored:wmdp",
        constraint="mmlu>0.2",
        criteria="wmdp,mmlu",
        sampler="random",
        trials=2,
        limit=30,
        name=NAME,
        cache=cache,
    )
    objectives = read_objectives("restored:wmdp", (GA, RTN))
    client, parent = MlflowClient(local_store), parent_run()
    study_runs = StudyRuns.connect(parent.info.experiment_id, NAME, parent.info.run_id, cache)
    shares = []
    for run in [*trial_runs(), *final_runs()]:
        history = client.get_metric_history(run.info.run_id, "wmdp")
        base, unlearned, *_, after = (metric.value for metric in history)
        assert base - unlearned > 0.05
        shares.append(max(0, (after - unlearned) / (base - unlearned)))
        # as a process reads it that finds the run finished, where another one was killed
        assert objectives[0].from_paths(study_runs.path(run, objectives)) == shares[-1]
    assert len(shares) == 3
    assert result.validation == {"restored:wmdp": pytest.approx(min(shares[:2]))}
    assert result.test == {"restored:wmdp": pytest.approx(shares[2])}
