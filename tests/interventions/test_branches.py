"""A step may ask for the models of its branches while it is applied, and not else."""

from typing import Any

import pytest

from interventions.branches import branch_model, branch_models
from interventions.errors import InvalidInput


def test_branches_have_models_while_their_step_is_applied() -> None:
    def outer(index: int) -> Any:
        return f"outer {index}"

    def inner(index: int) -> Any:
        return f"inner {index}"

    with branch_models(outer):
        with branch_models(inner):
            assert branch_model("merge", 1) == "inner 1"  # type: ignore[comparison-overlap]
        assert branch_model("merge", 0) == "outer 0"  # type: ignore[comparison-overlap]
    with pytest.raises(InvalidInput) as error:
        branch_model("merge", 0)
    assert str(error.value) == (
        "merge merges the models of its branches, which"
        " `interventions.composition.apply(step, lm, data, key)` computes: call that"
    )
