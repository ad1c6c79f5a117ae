import numpy as np
import pandas as pd
import pytest

from analysis.report.hypotheses.cells import ALWAYS, QUESTIONS, SEEDS, Cell
from analysis.report.hypotheses.contrasts import CannotTest, CellValues
from analysis.report.hypotheses.presets import unlearned
from analysis.report.hypotheses.presets.unlearned import (
    bound,
    cells_of,
    constant_cells,
    difference,
    mean_shares,
    shares,
)


def values(**wmdp: list[float]) -> CellValues:
    return CellValues(pd.DataFrame({(name, "wmdp"): column for name, column in wmdp.items()}))


SOME = values(none=[0.9, 0.9], rmu=[0.4, 0.3], after=[0.6, 0.6], later=[0.4, 0.3])


def test_a_share_is_what_comes_back_over_what_was_taken_on_average() -> None:
    assert shares(SOME, SEEDS, "rmu", "after") == pytest.approx([0.2 / 0.55, 0.3 / 0.55])
    assert mean_shares(SOME, SEEDS, "rmu", ["after", "later"]) == pytest.approx(
        [0.1 / 0.55, 0.15 / 0.55]
    )


def test_a_bound_is_a_share_of_what_was_taken_in_each_replicate() -> None:
    margins = bound(SOME, SEEDS, "rmu", ["after"], 0.5)
    assert margins == pytest.approx([(0.25 - 0.2) / 0.55, (0.3 - 0.3) / 0.55])


@pytest.mark.parametrize("removed", [0.04, -0.3])
def test_where_unlearning_took_nothing_nothing_can_come_back(removed: float) -> None:
    little = values(none=[0.9, 0.9], rmu=[0.9 - removed, 0.9 - removed], after=[0.9, 0.9])
    for call in (
        lambda: shares(little, SEEDS, "rmu", "after"),
        lambda: bound(little, SEEDS, "rmu", ["after"], 0.1),
    ):
        with pytest.raises(CannotTest, match=f"unlearning took {removed:.3f} of WMDP, under 0.05"):
            call()


def test_below_chance_nothing_more_is_forgotten_but_an_answer_is_right_or_wrong() -> None:
    low = values(a=[0.5, 0.0], b=[0.1, 1.0])
    assert difference(low, SEEDS, "a", "b") == pytest.approx([0.25, -0.75])
    assert difference(low, QUESTIONS, "a", "b") == pytest.approx([0.4, -1.0])


def test_what_draws_is_replicated_by_seeds_and_the_base_is_one_model() -> None:
    assert cells_of("rmu", ["rmu"], ["none"]) == [Cell("rmu", SEEDS), Cell("none", ALWAYS, False)]
    assert cells_of("gd", ["gd"], ["none"]) == [
        Cell("gd", QUESTIONS, False), Cell("none", QUESTIONS, False)
    ]  # fmt: skip
    assert constant_cells("rmu", "none") == ("none",) and constant_cells("gd", "none") == ()


def test_a_mean_of_shares_needs_no_ratio_in_each_replicate() -> None:
    """Where one seed took next to nothing, a ratio in it would be huge."""
    uneven = values(none=[0.9] * 3, rmu=[0.4, 0.4, 0.89], after=[0.5, 0.5, 0.9])
    assert np.abs(shares(uneven, SEEDS, "rmu", "after")).max() < 0.5


def test_what_was_taken_may_be_as_little_as_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlearned, "LEAST_TAKEN", 0.25)
    enough = values(none=[0.75, 0.75], rmu=[0.5, 0.5], after=[0.75, 0.625])
    assert shares(enough, SEEDS, "rmu", "after").tolist() == [1.0, 0.5]
    assert bound(enough, SEEDS, "rmu", ["after"], 0.5).tolist() == [-0.5, 0.0]
