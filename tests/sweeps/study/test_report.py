"""A study in words and as a table."""

import math
from types import SimpleNamespace
from typing import Any, cast

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from sweeps.study.attributes import RUNS
from sweeps.study.conclusion import Conclusion
from sweeps.study.objectives import Objective
from sweeps.study.report import (
    best_trials_markdown,
    plan_in_words,
    result_in_words,
    summary_metrics,
    trial_table,
)
from sweeps.study.spec import StudySpec
from tracking.settings import Settings

WMDP, MMLU = Objective("wmdp", "minimize"), Objective("mmlu", "maximize")


def spec(*objectives: Objective, constraints: tuple[str, ...] = (), **settings: Any) -> StudySpec:
    request = SimpleNamespace(name="mine", settings=Settings(**settings))
    fake = SimpleNamespace(request=request, objectives=objectives, constraints=constraints)
    return cast(StudySpec, fake)


def trial(number: int, values: list[float] | None) -> FrozenTrial:
    frozen = optuna.create_trial(
        state=TrialState.COMPLETE if values else TrialState.PRUNED,
        values=values,
        params={"rmu.alpha": 10.0 + number},
        distributions={"rmu.alpha": FloatDistribution(0, 100)},
        user_attrs={RUNS: {"runs": [f"run-{number}", "other-order"]}} if values else {},
    )
    frozen.number = number
    return frozen


TRIALS = [trial(0, [0.5, 0.75]), trial(1, None), trial(2, [0.25, 0.5])]


def test_a_result_names_the_choice_its_values_and_how_to_run_it() -> None:
    tested = {"wmdp": 0.26, "mmlu": 0.61}
    conclusion = Conclusion(
        TRIALS, [TRIALS[0], TRIALS[2]], TRIALS[2], "rmu(alpha=10.0)", tested, ("a",)
    )
    assert result_in_words(spec(WMDP, MMLU, constraints=("mmlu>0.5",)), conclusion).split("\n") == [
        "mine: 3 trials, 1 given up early",
        "2 Pareto-optimal; chosen: the one nearest to the best of each objective",
        "best: rmu(alpha=10.0)  (meets mmlu>0.5)",
        "  validation: wmdp 0.25, mmlu 0.5",
        "  test: wmdp 0.26, mmlu 0.61",
        'to run it: mlflow run . -P first="rmu(alpha=10.0)"',
    ]


def test_the_command_has_every_step_and_the_data_if_they_are_not_the_testbed() -> None:
    chosen = trial(0, [0.5])
    conclusion = Conclusion([chosen], [chosen], chosen, "lora | wanda | rmu | ft", {"wmdp": 0.5})
    lines = result_in_words(spec(WMDP, data="paper", model="a/b"), conclusion).split("\n")
    assert lines[0] == "mine: 1 trials" and lines[1] == "best: lora | wanda | rmu | ft"
    assert lines[3] == "  held_out: wmdp 0.5"
    steps = '-P first="lora" -P second="wanda" -P then="rmu | ft"'
    assert lines[-1] == f"to run it: mlflow run . {steps} -P data=paper -P model=a/b"


def test_the_command_names_a_third_step_and_no_fourth() -> None:
    chosen = trial(0, [0.5])
    conclusion = Conclusion([chosen], [chosen], chosen, "lora | wanda | rmu", {"wmdp": 0.5})
    line = result_in_words(spec(WMDP), conclusion).split("\n")[-1]
    steps = '-P first="lora" -P second="wanda" -P then="rmu"'
    assert line == f"to run it: mlflow run . {steps}"


def test_the_command_has_every_setting_that_decides_what_is_computed() -> None:
    chosen = trial(0, [0.5])
    conclusion = Conclusion([chosen], [chosen], chosen, "rmu", {"wmdp": 0.5})
    settings: Any = {"model": "my models/8b", "seed": 3, "window": 128, "trust_remote_code": True}
    line = result_in_words(spec(WMDP, **settings), conclusion).split("\n")[-1]
    assert line == (
        "to run it: mlflow run . -P first=\"rmu\" -P model='my models/8b' -P seed=3 -P window=128"
        " -P trust_remote_code=true"
    )


def test_a_study_without_a_choice_says_why() -> None:
    nothing = Conclusion(TRIALS[1:2], [])
    words = "mine: 1 trials, 1 given up early\n"
    assert result_in_words(spec(WMDP), nothing) == f"{words}no trial was completed"
    bounded = spec(WMDP, constraints=("mmlu>0.5", "wmdp<0.3"))
    assert result_in_words(bounded, nothing) == f"{words}no trial meets mmlu>0.5, wmdp<0.3"


def test_the_table_has_a_row_per_trial() -> None:
    table = trial_table(
        spec(WMDP, MMLU), Conclusion(TRIALS, [TRIALS[0], TRIALS[2]], TRIALS[2])
    ).set_index("trial")
    assert list(table.state) == ["complete", "pruned", "complete"]
    assert list(table["rmu.alpha"]) == [10.0, 11.0, 12.0]
    assert table.wmdp[0] == 0.5 and table.mmlu[2] == 0.5 and math.isnan(table.wmdp[1])
    assert list(table.best) == [True, False, True]
    assert list(table.chosen) == [False, False, True]
    assert list(table.runs) == ["run-0 other-order", "", "run-2 other-order"]


def test_the_description_has_a_row_for_each_best_trial_and_marks_the_chosen_one() -> None:
    conclusion = Conclusion(TRIALS, [TRIALS[0], TRIALS[2]], TRIALS[2], "rmu(alpha=12.0)")
    assert best_trials_markdown(spec(WMDP, MMLU), conclusion).split("\n") == [
        "| trial | rmu.alpha | wmdp | mmlu |  |",
        "| --- | --- | --- | --- | --- |",
        "| 0 | 10.0 | 0.5 | 0.75 |  |",
        "| 2 | 12.0 | 0.25 | 0.5 | chosen |",
    ]
    assert best_trials_markdown(spec(WMDP), Conclusion(TRIALS, [])) == ""


def test_the_parents_metrics_are_the_chosen_trials_on_both_splits() -> None:
    conclusion = Conclusion(
        TRIALS, [TRIALS[2]], TRIALS[2], "rmu(alpha=12.0)", {"wmdp": 0.26, "mmlu": 0.61}
    )
    assert summary_metrics(spec(WMDP, MMLU), conclusion) == {
        "validation/wmdp": 0.25,
        "validation/mmlu": 0.5,
        "test/wmdp": 0.26,
        "test/mmlu": 0.61,
    }
    assert summary_metrics(spec(WMDP), Conclusion(TRIALS, [])) == {}


def test_of_eleven_best_trials_the_last_is_only_counted() -> None:
    best = [trial(number, [0.5]) for number in range(11)]
    *_, last_row, blank, more = best_trials_markdown(spec(WMDP), Conclusion(best, best)).split("\n")
    assert (last_row, blank, more) == ("| 9 | 19.0 | 0.5 |  |", "", "… and 1 more.")


@pytest.mark.parametrize(
    ("constraints", "line"),
    [((), []), (("mmlu>0.5", "wmdp<0.3"), ["constraint: mmlu>0.5, wmdp<0.3"])],
)
def test_a_plan_says_what_is_tuned_for_what_and_what_is_measured_in_the_end(
    constraints: tuple[str, ...], line: list[str]
) -> None:
    planned: Any = spec(WMDP, MMLU, constraints=constraints, data="testbed")
    vars(planned.request).update(composition="rmu | wanda", sampler="tpe", space="wide")
    planned.trials = 7
    planned.space = SimpleNamespace(tuned={"rmu.alpha": "10, 20"}, left_out=["wanda.mode: as set"])
    assert plan_in_words(planned).split("\n") == [
        "mine: 7 trials of rmu | wanda by tpe on space=wide, judged by validation data",
        "  rmu.alpha: 10, 20",
        "  wanda.mode: as set",
        "objective: wmdp:min,mmlu:max",
        *line,
        "the chosen setting is then measured once with split=test",
    ]
