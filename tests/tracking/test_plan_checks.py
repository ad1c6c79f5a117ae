"""What is refused of a composition before its model is looked at."""

import pytest

from interventions.composition import Composition
from interventions.errors import InvalidInput
from tracking import plan_checks
from tracking.plan_checks import check_length, check_recompressions, most_rounds
from tracking.settings import Settings

FT_10 = " | ".join(["ft"] * 10)


def test_a_composition_may_be_as_long_as_a_param_of_mlflow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    composition, text = Composition.parse("ft | rtn(bits=3)"), "ft | rtn(bits=3)"
    monkeypatch.setattr(plan_checks, "MAX_PARAM_VAL_LENGTH", len(text))
    check_length(composition, "testbed")
    monkeypatch.setattr(plan_checks, "MAX_PARAM_VAL_LENGTH", len(text) - 1)
    with pytest.raises(InvalidInput, match=r"may have 15 characters.*but got 16: 'ft \| rtn"):
        check_length(composition, "testbed")


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        (FT_10, 10),
        (f"{FT_10} | merge(ft, ga)", 11),
        (f"{FT_10} | merge(ft, {FT_10})", 20),
        (f"{FT_10} | merge({FT_10}, ga) | rtn", 20),
        (f"{FT_10} | merge(ft, ga | merge({FT_10}, rmu))", 21),
        ("none", 0),
    ],
)
def test_the_steps_before_a_branch_count_with_those_inside_it(
    text: str, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_checks, "MOST_STEPS", longest)
    check_length(Composition.parse(text), "testbed")
    monkeypatch.setattr(plan_checks, "MOST_STEPS", longest - 1)
    with pytest.raises(
        InvalidInput,
        match=f"may have {longest - 1} steps up to the end of a branch, but got {longest}$",
    ):
        check_length(Composition.parse(text), "testbed")


@pytest.mark.parametrize("policy", ["auto", "paper", "never"])
def test_compressions_count_as_often_as_they_may_be_applied_again(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    composition = Composition.parse("magnitude | ft | rtn | ft | rtn(bits=3)")
    settings, rounds = Settings(recompress=policy), most_rounds(policy)
    monkeypatch.setattr(plan_checks, "MOST_STEPS", 3 * rounds)
    check_recompressions(composition, settings)
    monkeypatch.setattr(plan_checks, "MOST_STEPS", 3 * rounds - 1)
    text = " | ".join(["magnitude(sparsity=0.5) | rtn(bits=3) | rtn(bits=3)"] * rounds)
    if rounds:
        message = f"recompress={policy} may apply again can be {3 * rounds - 1} steps of"
        with pytest.raises(InvalidInput, match=message):
            check_recompressions(composition, settings)
    monkeypatch.undo()
    monkeypatch.setattr(plan_checks, "MAX_PARAM_VAL_LENGTH", len(text))
    check_recompressions(composition, settings)
    monkeypatch.setattr(plan_checks, "MAX_PARAM_VAL_LENGTH", len(text) - 1)
    if rounds:
        message = f"{len(text) - 1} characters together, but got {3 * rounds} of {len(text)};"
        with pytest.raises(InvalidInput, match=message):
            check_recompressions(composition, settings)
