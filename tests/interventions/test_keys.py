"""Checkpoint keys are those that were recorded; those of an earlier version are never used."""

import json
from pathlib import Path
from typing import Any

import pytest

from interventions.composition import Composition
from interventions.data import testbed as bed
from tracking.plan import RunContext, plan_run
from tracking.settings import Settings

# [{"composition", "settings", "weights", "data", "keys", "before"}, …]: the identities of the
# testbed's model and of the parts of its data, of version 1, which is not shipped any more, and the
# keys that they led to; "before" are the keys that the code of 0.1 and of before the house moved
# wrote, where a step's version was raised since
RECORDED = Path(__file__).parents[1] / "data" / "keys.json"
CASES: list[dict[str, Any]] = json.loads(RECORDED.read_text())


class RecordedData:
    """Data of which only the identities of some parts are known."""

    def __init__(self, identities: dict[str, str]) -> None:
        self._identities = identities

    def seen_by(self, intervention: str) -> "RecordedData":
        return self

    def with_batch(self, batches_later: int) -> "RecordedData":
        return self

    def identity(self, part: str) -> str:
        return self._identities[part]


def name_of(case: dict[str, Any]) -> str:
    return f"{case['composition']}, seed {case['settings'].get('seed', 0)}"


def test_there_are_thirty_keys_and_more() -> None:
    assert len({key for case in CASES for key in case["keys"]}) >= 30


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_composition_has_the_keys_that_it_had(case: dict[str, Any]) -> None:
    context = RunContext(Settings(**case["settings"]))
    context.weights = case["weights"]
    data: Any = RecordedData(case["data"])
    steps = Composition.parse(case["composition"])
    assert steps.keys(context.origin, data) == case["keys"]


def test_a_run_has_the_keys_of_its_models_weights_and_of_its_data() -> None:
    settings = Settings(dtype="float32", device="cpu", edit_batch=1)
    plan, context = plan_run("ft | wanda | rmu", settings), RunContext(settings)
    assert plan.origin == context.origin
    assert list(plan.keys) == plan.composition.keys(context.origin, bed.testbed(edit_batch=1))


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
