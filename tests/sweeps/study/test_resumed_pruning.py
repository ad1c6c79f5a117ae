"""A study with a pruner that is killed after a model was measured: its reports are not lost."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from optuna.trial import Trial

from sweeps.study import trial
from sweeps.study.attributes import SLOT
from sweeps.study.runner import run_study
from sweeps.study.trial_queue import TrialQueue
from tests.sweeps.study.small_study import study_spec
from tracking.checkpoints.store import Checkpoints
from tracking.log import Log
from tracking.settings import Settings

OPTIONS = {
    "objective": "edit_success:max",
    "space": "default",
    "sampler": "random",
    "pruner": "median",
    "prune_every": 2,
    "trials": 1,
    "settings": Settings(split="validation", checkpoints="none", criteria="edit_success", limit=5),
}


@pytest.mark.parametrize(
    ("where", "name"), [(trial, "_check_judged"), (Log, "end")], ids=["run ended", "scores stored"]
)
def test_what_a_killed_trial_reported_to_the_pruner_is_there_in_the_one_that_follows(
    cache: Checkpoints, monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    spec = study_spec("ft(steps=4, layers=(1,))", **OPTIONS)
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(where, name, interrupt)
        run_study(spec, cache)
    conclusion = run_study(spec, cache).conclusion
    assert [set(ended.intermediate_values) for ended in conclusion.trials] == [{2, 4}]


def test_only_an_attempt_with_the_same_values_is_reported_again() -> None:
    def attempt(number: int, lr: float, reports: dict[int, float]) -> Any:
        return SimpleNamespace(number=number, params={"lr": lr}, intermediate_values=reports)

    attempts = [
        attempt(3, 0.1, {1: 0.9, 2: 0.8}),  # drawn before its process was killed
        attempt(5, 0.2, {1: 0.5, 2: 0.4, 3: 0.3}),
        attempt(8, 0.2, {1: 0.5}),
    ]
    reported: dict[int, float] = {}
    third = SimpleNamespace(
        number=8,
        params={"lr": 0.2},
        user_attrs={SLOT: 0},
        report=lambda value, step: reported.update({step: value}),
    )
    queue = SimpleNamespace(attempts=lambda slot: attempts if slot == 0 else [])
    trial._take_over_reports(cast(Trial, third), cast(TrialQueue, queue))
    assert reported == {2: 0.4, 3: 0.3}
