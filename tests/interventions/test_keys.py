"""Checkpoint keys are those that were recorded; those of an earlier version are never used."""

import json
from pathlib import Path
from typing import Any

import pytest

from interventions.composition import Composition
from tracking.plan import plan_run
from tracking.settings import Settings

# [{"composition", "settings", "keys", "before"}, …]; "before" are the keys that the code of 0.1 and
# of before the house moved wrote, where a step's version was raised since
RECORDED = Path(__file__).parents[1] / "data" / "keys.json"
CASES: list[dict[str, Any]] = json.loads(RECORDED.read_text())


def name_of(case: dict[str, Any]) -> str:
    return f"{case['composition']}, seed {case['settings'].get('seed', 0)}"


def test_there_are_thirty_keys_and_more() -> None:
    assert len({key for case in CASES for key in case["keys"]}) >= 30


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_composition_has_the_keys_that_it_had(case: dict[str, Any]) -> None:
    plan = plan_run(case["composition"], Settings(**case["settings"]))
    assert list(plan.keys) == case["keys"]


@pytest.mark.parametrize("case", [case for case in CASES if "before" in case], ids=name_of)
def test_keys_are_others_from_the_first_step_on_whose_version_was_raised(
    case: dict[str, Any],
) -> None:
    """The base model's key, and those of steps of the first version before it, are as ever."""
    steps = Composition.parse(case["composition"])
    versions = [step.version for step in steps]
    first_raised = next(number for number, version in enumerate(versions) if version > 1)
    equal = [key == old for key, old in zip(case["keys"], case["before"], strict=True)]
    assert equal == [number <= first_raised for number in range(len(equal))]
