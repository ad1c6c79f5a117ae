"""How often the tests and intervals are wrong, where the truth is known.

The same functions as behind `intervals`, see `benchmarks.inference`; test_moments.py holds that
tables of runs go through them.
"""

import pytest

from benchmarks.inference import FAMILY_BATCHES, NOISES, cells, simulate
from benchmarks.inference_families import best_rates, grid_rates, sweep_rates
from benchmarks.null_pairs import Cell

NULL, NOISIEST = 7.0, 8.0  # percent of null pairs that a test may reject; in a grid of all noises
LEAST = 3.0  # where there are three units with other weights, and no saturation


def check(cell: Cell, slack: float = 0.0) -> None:
    rates = simulate(cell)
    assert rates["unfounded"] == 0
    assert rates["rejects"] <= NULL + slack
    assert rates["claims"] <= NULL + slack
    if cell.batches < 3:
        assert rates["rejects"] == rates["claims"] == rates["tested"] == 0
    elif not cell.saturated:
        assert rates["rejects"] >= LEAST - slack
    # one batch knows nothing of the noise between batches
    if cell.batches > 1:
        assert min(rates["gain"], rates["sensitivity"]) >= 93 - slack
        if not cell.saturated or not cell.noise:
            assert rates["error"] >= 93 - slack


@pytest.mark.parametrize(
    "cell",
    [
        Cell(3, 1, 0.0, "nested", pairs=400),
        Cell(5, 2, 0.06, "nested", pairs=400),
        Cell(3, 1, 0.03, "crossed", pairs=400),
        Cell(5, 1, 0.06, "crossed", pairs=400),
        Cell(2, 1, 0.03, "nested", pairs=400),
        Cell(1, 3, 0.06, "crossed", pairs=400),
        Cell(4, 1, 0.0, "saturated", pairs=400),
        Cell(10, 1, 0.03, "saturated crossed", pairs=400),
    ],
    ids=str,
)
def test_of_400_null_pairs_few_are_called_different(cell: Cell) -> None:
    check(cell, slack=1.5)


def test_gains_are_shown_more_often_with_more_batches_and_intervals_hold_them() -> None:
    few, many = (
        simulate(Cell(batches, 1, 0.03, "nested", gain=0.1, pairs=400)) for batches in (3, 10)
    )
    assert few["rejects"] < 30 < 65 < many["rejects"]
    for rates in (few, many):
        assert min(rates["gain"], rates["sensitivity"], rates["error"]) >= 92


def test_over_levels_and_in_grids_few_claims_are_false() -> None:
    rates = sweep_rates(5, 0.03, crossed=False, sweeps=300)
    assert rates["some level"] <= 8 and rates["signed area"] >= 92
    sized = sweep_rates(5, 0.03, crossed=True, gain=0.1, sweeps=300)
    assert sized["area of size"] >= 95
    in_grids = grid_rates(5, "crossed", grids=40, points=60)
    assert in_grids["claims"] <= 7 and in_grids["lists"] <= 15


def test_one_of_two_equal_methods_is_seldom_called_the_best() -> None:
    assert max(best_rates(5, 2, groups=60).values()) <= 10


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(), ids=str)
def test_of_2000_null_pairs_at_most_7_percent_are_called_different(cell: Cell) -> None:
    check(cell)


@pytest.mark.slow
@pytest.mark.parametrize("batches", FAMILY_BATCHES)
def test_statements_over_several_points_hold_their_level(batches: int) -> None:
    for kind in ("nested", "crossed"):
        for noise in NOISES:
            rates = sweep_rates(batches, noise, kind == "crossed")
            assert rates["some level"] <= NULL and rates["signed area"] >= 93
            sized = sweep_rates(batches, noise, kind == "crossed", gain=0.1)
            assert min(sized["signed area"], sized["area of size"]) >= 93
        rates = grid_rates(batches, kind)
        assert rates["claims"] <= NOISIEST and rates["lists"] <= NOISIEST
    for methods in (2, 5):
        assert max(best_rates(batches, methods).values()) <= NULL
