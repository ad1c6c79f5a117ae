"""Which batch of edits a step learns from."""

from typing import Any

import pytest

from interventions.composition import Composition
from tracking.run_data import RunData, writes_later_batches
from tracking.settings import Settings


def test_a_later_batch_is_counted_from_the_runs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def source(name: str) -> Any:
        return lambda index, split: (name, index, split)

    monkeypatch.setattr("tracking.run_data.testbed", source("testbed"))
    monkeypatch.setattr("tracking.run_data.paper", source("paper"))
    later: Any = RunData(Settings(edit_batch=5))._batch(2)
    assert later == ("testbed", 7, "test")
    on_paper = Settings(data="paper", edit_batch=1, split="validation")
    first: Any = RunData(on_paper)._batch(0)
    assert first == ("paper", 1, "validation")


@pytest.mark.parametrize(
    ("composition", "is_later"),
    [
        ("memit", False),
        ("wanda | memit", False),
        ("memit(batch_offset=1)", True),
        ("wanda | memit | memit(batch_offset=2)", True),
        ("memit(batch_offset=1) | wanda", True),
        ("none", False),
    ],
)
def test_one_step_with_a_later_batch_is_enough(composition: str, is_later: bool) -> None:
    assert writes_later_batches(Composition.parse(composition)) is is_later
