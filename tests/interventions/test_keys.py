"""Checkpoint keys are what they were before the house moved."""

import json
from pathlib import Path
from typing import Any

import pytest

from tracking.plan import plan_run
from tracking.settings import Settings

# [{"composition", "settings", "keys"}, …], written by the code of before the move
RECORDED = Path(__file__).parents[1] / "data" / "keys.json"
CASES: list[dict[str, Any]] = json.loads(RECORDED.read_text())


def test_there_are_thirty_keys_and_more() -> None:
    assert len({key for case in CASES for key in case["keys"]}) >= 30


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['composition']}, seed {case['settings'].get('seed', 0)}"
)
def test_a_composition_has_the_keys_that_it_had(case: dict[str, Any]) -> None:
    plan = plan_run(case["composition"], Settings(**case["settings"]))
    assert list(plan.keys) == case["keys"]
