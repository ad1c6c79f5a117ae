import numpy as np
import pandas as pd
import pytest

from analysis.inference.intervals import intervals
from analysis.inference.sweeps import sweep_tests
from analysis.metrics.columns import CURVE
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, only

RNG = np.random.default_rng(12)
LEVELS = (0.25, 0.5, 0.75)


def swept(gains: tuple[float, ...], batches: int = 6, **columns: float) -> pd.DataFrame:
    """Points with intervals, of a pair whose gain at each level is given."""
    runs = []
    for batch in range(batches):
        sides = [0.5 + gain + RNG.normal(0, 0.03) for gain in gains]
        options = {"edit_batch": batch, **columns}
        runs += curve("ft", "wanda", LEVELS[: len(gains)], sides, [0.5] * len(gains), **options)
    table = frame(runs)
    return intervals(table, point(table))


def test_the_order_matters_at_some_level_by_the_smallest_p_times_the_levels() -> None:
    points = swept((0.0, 0.2, 0.0))
    test = only(sweep_tests(points))
    assert (test.levels, test.level) == (3, 0.5)
    assert test.p == test.p_holm == test.q == pytest.approx(3 * points.p_claim.min())
    assert test.differs and test.gain == pytest.approx(points.gain[1])
    assert not sweep_tests(points, confidence=1 - test.p / 2).differs.any()


def test_levels_whose_units_tie_count_and_show_nothing() -> None:
    points = swept((0.0, 0.2, 0.0))
    tie = points.level == 0.75
    points.loc[tie, ["p", "p_claim", "p_holm"]] = np.nan
    assert only(sweep_tests(points)).levels == 3
    points["p_claim"] = np.nan
    assert sweep_tests(points).empty


def test_the_p_over_the_levels_is_at_most_one() -> None:
    points = swept((0.0, 0.0)).assign(p_claim=[0.75, 0.625])
    assert only(sweep_tests(points)).p == 1


def test_levels_with_too_few_units_are_no_tests() -> None:
    assert sweep_tests(swept((0.2, 0.2), batches=2)).empty
    points = swept((0.0, 0.2))
    points.loc[points.level == 0.25, "units"] = 2
    assert only(sweep_tests(points)).levels == 1
    points.loc[points.level == 0.25, "units"] = 3
    assert only(sweep_tests(points)).levels == 2


def test_every_pair_and_criterion_is_a_row_and_claims_are_corrected_over_rows() -> None:
    points = pd.concat(
        [swept((0.0, 0.3)).assign(partner="wanda"), swept((0.0, 0.0)).assign(partner="awq")]
    )
    tests = sweep_tests(points).set_index("partner")
    assert set(tests.index) == {"wanda", "awq"}
    assert tests.p_holm["wanda"] == pytest.approx(2 * tests.p["wanda"])
    assert tests.differs.to_dict() == {"wanda": True, "awq": False}


def test_a_row_has_the_columns_that_are_promised() -> None:
    tested = ["level", "gain", "gain_low", "gain_high", "units", "levels"]
    assert list(sweep_tests(swept((0.2, 0.2)))) == [*CURVE, *tested, "p", "p_holm", "q", "differs"]


def test_points_may_have_any_index() -> None:
    points = swept((0.0, 0.2))
    tests = sweep_tests(points.set_index("level", drop=False))
    pd.testing.assert_frame_equal(tests, sweep_tests(points))


def test_a_pair_of_which_something_is_not_known_has_a_test_too() -> None:
    points = swept((0.0, 0.2)).assign(partner_group=np.nan)
    assert only(sweep_tests(points)).levels == 2


def test_points_without_intervals_are_refused() -> None:
    table = frame(curve("ft", "wanda", LEVELS, LEVELS, LEVELS))
    with pytest.raises(InvalidInput, match="points"):
        sweep_tests(point(table))
