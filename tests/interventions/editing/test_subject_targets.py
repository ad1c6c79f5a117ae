"""What MEMIT and AlphaEdit ask of the search for targets."""

from typing import Any

import pytest

from interventions.editing.alphaedit import AlphaEdit
from interventions.editing.memit import MEMIT
from interventions.editing.subject_targets import TargetSearch


@pytest.mark.parametrize("method", [MEMIT, AlphaEdit])
def test_targets_are_searched_after_the_last_layer_with_the_steps_own_fields(
    method: type[MEMIT | AlphaEdit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TargetSearch, "targets", lambda *arguments: arguments)
    step = method(layers=(1, 4, 2), steps=7, lr=0.3, weight_decay=0.02, kl_factor=0.05, clamp=0.7)
    lm: Any = object()
    expected = TargetSearch(
        layer=4, steps=7, lr=0.3, weight_decay=0.02, kl_factor=0.05, clamp=0.7, name=step.name
    )
    search: Any = step.targets(lm, [], ["", "a"])
    assert search == (expected, lm, [], ["", "a"])
