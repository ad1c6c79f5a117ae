import zlib

import numpy as np
import pytest

from analysis.inference import bootstrap
from analysis.inference.bootstrap import (
    check_confidence,
    drawn_gains,
    index_batches,
    resample,
    seed_of,
)
from analysis.inference.samples import ITEMS, REPLICATES, Samples
from interventions.errors import InvalidInput


def sample(units: tuple[int, ...], kind: str = ITEMS, start: float = 0.0) -> Samples:
    values = start + np.arange(len(units), dtype=float)
    return Samples(kind, units, values, 10 + values)


@pytest.mark.parametrize("confidence", [0, 1, -0.1, 95])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    with pytest.raises(InvalidInput, match=f"between 0 and 1, but got {confidence}"):
        check_confidence(confidence)


def test_points_that_share_their_units_are_one_batch() -> None:
    samples = {
        3: sample((1, 2)),
        5: sample((1, 2), start=4.0),
        6: sample((1, 3)),
        7: sample((1, 2), REPLICATES),
    }
    together, *apart = index_batches(samples)
    assert together.positions.tolist() == [3, 5]
    assert together.forward.tolist() == [[0, 1], [4, 5]]
    assert together.backward.tolist() == [[10, 11], [14, 15]]
    assert [batch.positions.tolist() for batch in apart] == [[6], [7]]


def test_a_large_batch_is_cut_without_losing_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_VALUES", 40)
    parts = list(index_batches({position: sample((1, 2)) for position in range(5)}))
    assert [part.positions.tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert {part.seed for part in parts} == {seed_of((1, 2))}


def test_a_seed_depends_on_the_units_alone() -> None:
    assert seed_of(("q1", "q2")) == zlib.crc32(b"('q1', 'q2')")
    assert seed_of((0, 1)) != seed_of((1, 0))


def test_equal_units_are_resampled_alike_in_every_batch() -> None:
    def difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(first.mean(axis) - second.mean(axis))

    values = np.random.default_rng(0).normal(size=(2, 30))
    shifted = [values, values + 0.5]
    *_, drawn = resample(shifted, difference, 0.95, 50, seed_of((1,)))
    # one pair of values per unit: a constant difference has no spread
    assert drawn == pytest.approx(np.full((2, 50), -0.5))


def test_gains_are_drawn_for_each_position_with_its_own_sign() -> None:
    def gain(positions: np.ndarray, forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
        sign = np.where(positions == 4, -1, 1).reshape(-1, *[1] * (forward.ndim - 1))
        return np.asarray(sign * (forward - backward))

    draws = drawn_gains({4: sample((1, 2)), 9: sample((1, 2))}, gain, 20)
    assert draws[4] == pytest.approx(np.full(20, 10.0))
    assert draws[9] == pytest.approx(np.full(20, -10.0))


def test_percentile_intervals_stay_within_what_can_be_drawn() -> None:
    values = np.array([[0.0] * 8 + [1.0] * 2])
    low, high, drawn = resample([values], lambda data, axis=-1: data.mean(axis), 0.95, 999, 1)
    assert 0 <= low[0] < 0.2 < high[0] <= 0.6
    assert drawn.shape == (1, 999)
    narrow_low, narrow_high, _ = resample(
        [values], lambda data, axis=-1: data.mean(axis), 0.5, 999, 1
    )
    assert narrow_high[0] - narrow_low[0] < high[0] - low[0]
