"""What a trial runs and keeps, with runs that cost nothing."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from interventions.criteria.base import Scores
from sweeps.retry import StoreAway
from sweeps.study.attributes import ERROR, RUNS
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial import run_trial
from sweeps.study.trial_queue import TrialQueue
from tests.sweeps.study.small_study import SPEC, study_spec
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan
from tracking.run import SweepMember
from tracking.settings import Settings

PREFIX = "wanda(samples=4, sparsity=0.5)"
SETTINGS = Settings(split="validation", checkpoints="none", recompress="never")
OPTIONS = {"space": "default", "sampler": "random", "trials": 1, "settings": SETTINGS}
ORDERS = "order_sensitivity:edit_success"


class FakeRuns:
    """Runs in place of ``track_member``: each has the next edit success, or raises it.

    Attributes:
        kept: for each run, which of its plan's checkpoints are worth keeping.
    """

    def __init__(self, *successes: float | BaseException) -> None:
        self.kept: list[list[bool]] = []
        self._successes = list(successes)

    def track(self, plan: Plan, member: SweepMember, cache: Checkpoints) -> Any:
        self.kept.append([member.keep(key) for key in plan.keys])
        success = self._successes.pop(0)
        if isinstance(success, BaseException):
            raise success
        scores = {"edit_success": Scores(success, 0.0, {})}
        seconds = defaultdict(float, apply=2.0)
        # the scores of the last step are all that these objectives look at
        path = dict.fromkeys(range(len(plan.keys)), scores)
        return SimpleNamespace(scores=path, seconds=seconds, run_id=f"run-{success}")


def run_once(
    spec: Any, fakes: FakeRuns, cache: Checkpoints, patch: pytest.MonkeyPatch
) -> optuna.trial.FrozenTrial:
    """Run a study's first trial, and return it as the storage has it."""
    patch.setattr("sweeps.study.trial.track_member", fakes.track)
    queue: TrialQueue = spec.open_queue(cache)
    queue.fill()
    trial = queue.claim()
    assert trial is not None
    try:
        run_trial(trial, queue, spec, StudyRuns.connect("0", "mine", "parent", cache))
    finally:
        ended = queue.study.get_trials()[trial.number]
    return ended


def test_both_orders_make_one_trial_and_a_constraint_is_of_the_order_as_written(
    cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    constraint = "edit_success>0.5"
    spec = study_spec("wanda | ft", objective=ORDERS, constraint=constraint, **OPTIONS)
    trial = run_once(spec, FakeRuns(0.25, 0.75), cache, monkeypatch)
    assert trial.state == TrialState.COMPLETE and trial.values == [0.5]
    assert trial.constraints == {constraint: 0.25}
    assert trial.user_attrs[RUNS]["runs"] == ["run-0.25", "run-0.75"]
    assert trial.user_attrs[RUNS]["seconds"]["apply"] == 4.0


def test_what_comes_before_the_first_tuned_step_is_kept_in_both_orders(
    cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = FakeRuns(0.25, 0.75)
    run_once(study_spec(f"{PREFIX} | ft", objective=ORDERS, **OPTIONS), fakes, cache, monkeypatch)
    assert fakes.kept == [[True, True, False], [True, False, False]]


def test_on_a_grid_every_prefix_is_kept(
    cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = FakeRuns(0.25)
    options = {**OPTIONS, "space": "paper", "sampler": "grid", "objective": "edit_success"}
    run_once(study_spec(f"{SPEC} | {PREFIX}", **options), fakes, cache, monkeypatch)
    assert fakes.kept == [[True, True, False]]


def test_a_trial_that_fails_says_why(cache: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study_spec("ft", objective="edit_success", **OPTIONS)
    fakes = FakeRuns(RuntimeError("out of\nluck"))
    trial = run_once(spec, fakes, cache, monkeypatch)
    assert trial.state == TrialState.FAIL and trial.user_attrs[ERROR] == "out of luck"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoreAway("away")], ids=repr)
def test_what_ends_the_process_lets_go_of_the_trial_and_comes_through(
    cache: Checkpoints, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    spec = study_spec("ft", objective="edit_success", **OPTIONS)
    with pytest.raises(type(error)):
        run_once(spec, FakeRuns(error), cache, monkeypatch)
    (trial,) = spec.open_queue(cache).trials()
    assert trial.state == TrialState.FAIL and ERROR not in trial.user_attrs
    assert spec.open_queue(cache).recover_lost(lambda trial: True)
