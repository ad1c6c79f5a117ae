"""A study with a pruner that is killed after a model was measured: its reports are not lost."""

import pytest

from sweeps.study import trial
from sweeps.study.runner import run_study
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
