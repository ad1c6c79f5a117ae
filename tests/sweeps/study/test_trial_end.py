"""What a study is told of a trial, however it ended."""

from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from sweeps.study import trial as module
from sweeps.study.attributes import ERROR, RUNS, SLOT
from sweeps.study.objectives import Objective
from sweeps.study.pruning import Pruned


class Trial:
    """A trial of two orders, and the study that is told its end.

    Attributes:
        user_attrs: that it was given.
        constraints: by name, how far they are violated.
        told: values, and how they were told.
    """

    number = 4

    def __init__(self) -> None:
        self.params = {"ga.lr": 0.5}
        self.user_attrs: dict[str, Any] = {SLOT: 2}
        self.constraints: dict[str, float] = {}
        self.told: list[tuple[Any, ...]] = []

    def set_user_attr(self, name: str, value: Any) -> None:
        self.user_attrs[name] = value

    def set_constraint(self, name: str, violation: float) -> None:
        self.constraints[name] = violation

    def tell(self, trial: object, values: Any = None, **options: Any) -> None:
        self.told.append((values, options))


class Bound:
    """A constraint that is violated by as much as the criterion has."""

    criterion = "wmdp"

    def __str__(self) -> str:
        return "wmdp<0"

    def violation(self, values: dict[str, float]) -> float:
        return values["wmdp"]


PATHS = [
    [{"mmlu": 0.1, "wmdp": 0.2}, {"mmlu": 0.3, "wmdp": 0.4}],
    [{"mmlu": 0.5, "wmdp": 0.6}, {"mmlu": 0.7, "wmdp": 0.8}],
]


def ended(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> Trial:
    """Return a trial that ran, or whose run raised an error."""
    runs = [
        module._TrialRun("first", PATHS[0], {"apply": 2.0, "measure": 8.0}),
        module._TrialRun("second", PATHS[1], {"apply": 4.0, "other": 16.0}),
    ]

    def run_orders(*arguments: object) -> Any:
        if error is not None:
            raise error
        return runs

    monkeypatch.setattr(module, "_run_orders", run_orders)
    monkeypatch.setattr(module, "_tag_pruned", lambda *arguments: None)
    trial: Any = Trial()
    queue: Any = SimpleNamespace(study=trial, attempts=lambda slot: [])
    objectives = (Objective("mmlu", "maximize"),)
    spec: Any = SimpleNamespace(objectives=objectives, constraints=(Bound(),))
    module.run_trial(trial, queue, spec, SimpleNamespace())  # type: ignore[arg-type]
    assert isinstance(trial, Trial)
    return trial


def test_a_trial_is_bound_by_the_end_of_its_first_order_and_names_its_runs_and_their_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = ended(monkeypatch)
    assert trial.constraints == {"wmdp<0": 0.4}
    assert trial.user_attrs[RUNS] == {
        "runs": ["first", "second"],
        "seconds": {"apply": 6.0, "measure": 8.0, "load": 0.0, "log": 0.0},
    }
    ((values, options),) = trial.told
    assert len(values) == 1 and options == {"skip_if_finished": True}


@pytest.mark.parametrize(
    ("error", "state"),
    [(Pruned("after 3 steps"), TrialState.PRUNED), (ValueError("no\nluck"), TrialState.FAIL)],
)
def test_a_trial_that_was_given_up_or_failed_may_have_been_ended_by_another_process(
    error: Exception, state: TrialState, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = ended(monkeypatch, error)
    assert trial.told == [(None, {"state": state, "skip_if_finished": True})]
    reason = "no luck" if state == TrialState.FAIL else None
    assert trial.user_attrs.get(ERROR) == reason and RUNS not in trial.user_attrs
