"""Nothing of the test data is seen before a study's end."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from interventions.base import Intervention
from interventions.composition import Composition, apply
from interventions.criteria.base import CRITERIA, measure
from interventions.data import testbed
from interventions.data.base import Data
from interventions.lm import LM
from sweeps.study import final_test
from sweeps.study.final_test import final_split
from sweeps.study.runner import run_study
from tests.sweeps.study.small_study import study_spec, trial_runs
from tracking import schema
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext
from tracking.settings import Settings

SPLITS = ("test", "validation")
JUDGING = ("edits", "locality", "test_text")  # parts of the data


def items_of(data: Data, part: str) -> set[str]:
    return {str(item) for item in getattr(data, part)}


def test_tuning_sees_no_test_data_and_the_test_no_validation_data(
    cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Criteria and methods are shown validation data in every trial, and test data at the end."""
    shown: list[tuple[str, Data]] = []

    def recording_measure(lm: LM, data: Data, *others: Any) -> Any:
        shown.append((data.questions.split, data))
        return measure(lm, data, *others)

    def recording_apply(step: Intervention, lm: LM, data: Data, key: str) -> LM:
        shown.append((data.questions.split, data))
        return apply(step, lm, data, key)

    monkeypatch.setattr("tracking.chain.measure", recording_measure)
    monkeypatch.setattr("tracking.chain.apply", recording_apply)
    options = {"space": "default", "sampler": "tpe", "trials": 3}
    run_study(study_spec("ft(steps=1, layers=(1,))", **options), cache)
    order = [split for split, _ in shown]
    assert set(order) == set(SPLITS) and order == sorted(order, reverse=True)  # tests come last
    all_validation = testbed.testbed(0, "validation")
    for part in JUDGING:
        by_split = {
            split: set().union(*(items_of(data, part) for name, data in shown if name == split))
            for split in SPLITS
        }
        assert by_split["validation"] and not by_split["validation"] & by_split["test"]
        assert by_split["validation"] <= items_of(all_validation, part)
    contexts = [RunContext(Settings(split=split)) for split in SPLITS]
    assert len({context.data.identity("questions") for context in contexts}) == 2
    assert {run.data.params["split"] for run in trial_runs()} == {"validation"}


def test_what_is_learned_from_is_shared_between_the_splits_and_what_is_judged_by_is_not(
    local_store: str,
) -> None:
    contexts = [RunContext(Settings(split=split)) for split in SPLITS]
    test, validation = (context.plan(Composition.parse("wanda")) for context in contexts)
    assert test.keys == validation.keys
    test_keys, validation_keys = (
        context.plan(Composition.parse("ft")).keys for context in contexts
    )
    assert test_keys[0] == validation_keys[0] and test_keys[1] != validation_keys[1]
    locality = CRITERIA.get("edit_locality")
    assert locality.identity(test.data) != locality.identity(validation.data)


def test_the_papers_data_are_tested_on_what_validation_does_not_ask() -> None:
    assert (final_split("testbed"), final_split("paper")) == ("test", "held_out")


def test_no_checkpoint_of_a_chosen_setting_is_stored_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members: list[tuple[Any, ...]] = []

    def member(job: str, trial: int, keep: Callable[[str], bool], **tags: str) -> str:
        members.append((job, trial, keep("key"), tags))
        return "member"

    def track(plan: str, member: str, checkpoints: str) -> Any:
        return SimpleNamespace(run_id=f"{plan} {member} {checkpoints}")

    monkeypatch.setattr(final_test, "track_member", track)
    study: Any = SimpleNamespace(member=member, checkpoints="cache")
    plan: Any = "plan"
    assert final_test._measure(plan, "chosen-1f", 3, study) == "plan member cache"
    assert members == [("chosen-1f", 3, False, {schema.CHOSEN: "true"})]
