"""The fields of a merge: its weights, and how it is written."""

import pytest

from interventions.errors import InvalidInput
from tests.interventions.merging.branches import merge_of


def test_every_branch_has_a_weight_of_its_own_or_all_have_one() -> None:
    assert merge_of("ft", "rmu", "ga").scales == (1.0, 1.0, 1.0)
    assert merge_of("ft", "rmu", "ga").weights is None
    assert merge_of("ft", "rmu", weights=(1.0, 1.0)).weights is None
    assert merge_of("ft", "rmu", weights=(1.0, 0.5)).scales == (1.0, 0.5)
    assert merge_of("ft", "rmu", "ga", weights=(0.5,)).scales == (0.5, 0.5, 0.5)
    for weights in ((), (1.0, 2.0), (1.0, 1.0, 1.0, 1.0)):
        with pytest.raises(InvalidInput, match=r"merge\.weights"):
            merge_of("ft", "rmu", "ga", weights=weights)


def test_a_merge_is_written_with_its_branches_and_what_is_no_default() -> None:
    assert merge_of("ft | ga", "rmu").spec() == "merge(ft | ga, rmu)"
    step = merge_of("ft", "rmu", how="ties", density=0.5, weights=(1.0, -0.5))
    assert step.spec() == "merge(ft, rmu, how='ties', weights=(1.0, -0.5), density=0.5)"
    assert step.params()["branches"] == ["ft", "rmu"] and step.params()["density"] == 0.5
    assert step.identity() == {"how": "ties", "weights": [1.0, -0.5], "density": 0.5}
    assert merge_of("ft", "rmu").identity() == {"how": "linear", "weights": [1.0, 1.0]}
    dare = merge_of("ft", "rmu", how="dare", drop=0.25)
    assert dare.identity() == {"how": "dare", "weights": [1.0, 1.0], "drop": 0.25}
