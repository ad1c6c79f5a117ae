"""The fields of a merge: its weights, how it is written, and what its branches' steps refuse."""

import pytest

from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import skeleton
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


@pytest.mark.parametrize("branches", [("ft", "rtn | rmu(layer=7)"), ("ga(last_layers=7)", "ft")])
def test_a_step_of_any_branch_that_does_not_fit_the_model_is_refused(
    branches: tuple[str, str],
) -> None:
    merge_of("ft", "rtn | rmu(layer=5)").check(skeleton(MODEL))
    with pytest.raises(InvalidInput, match=r"^(rmu\.layer names layer|ga\.last_layers is) 7, but"):
        merge_of(*branches).check(skeleton(MODEL))


@pytest.mark.parametrize("branches", [("ft", "rtn | ga(samples=3)"), ("ga(samples=3)", "ft")])
def test_a_step_of_any_branch_that_asks_for_more_texts_than_there_are_is_refused(
    branches: tuple[str, str],
) -> None:
    merge_of(*branches).check_texts(Data("none", forget=("a", "b", "c")))
    with pytest.raises(InvalidInput, match=r"^ga\.samples is 3, but there are 2 texts \(forget\)"):
        merge_of(*branches).check_texts(Data("none", forget=("a", "b")))
