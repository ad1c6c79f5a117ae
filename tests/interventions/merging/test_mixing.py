"""The mixer and the size that TIES trims at, by hand."""

import math

import pytest
import torch

from interventions.merging import mixing
from interventions.merging.mixing import Mixer, size_of_rank
from interventions.rehearsal.meta import rehearse
from interventions.rehearsal.speed import H100


def test_a_mixer_keeps_all_of_a_task_vector_unless_it_is_told_otherwise() -> None:
    before, end = {"w": torch.zeros(3)}, {"w": torch.tensor([1.0, -2.0, 3.0])}
    for how in ("linear", "ties", "dare"):
        ((name, mixed),) = Mixer(how, (0.5,)).mixed(before, [end])
        assert name == "w" and torch.equal(mixed, end["w"] / 2)


@pytest.mark.parametrize("how", ["linear", "ties", "dare"])
@pytest.mark.parametrize("scales", [(1.0, 0.0), (0.0, 1.0)])
def test_a_branch_that_counts_alone_keeps_the_sign_of_its_zeros(
    how: str, scales: tuple[float, float]
) -> None:
    ends = [{"w": torch.tensor([-0.0, sign])} for sign in (2.0, 3.0)]
    ((_, merged),) = Mixer(how, scales).mixed({"w": torch.tensor([1.0, 1.0])}, ends)
    assert merged.signbit().tolist() == [True, False] and merged[1] == 2 + scales[1]
    assert list(Mixer(how, (0.0, 0.0)).mixed({"w": torch.ones(2)}, ends)) == []


def mixed_vectors(mixer: Mixer, *vectors: list[float]) -> list[float]:
    """What a mixer adds to weights of 1/4, 1/2, ... whose task vectors are these."""
    start = torch.arange(1, len(vectors[0]) + 1, dtype=torch.float64) / 4
    ends = [{"w": start + torch.tensor(vector, dtype=torch.float64)} for vector in vectors]
    ((_, merged),) = mixer.mixed({"w": start}, ends)
    numbers: list[float] = (merged - start).tolist()
    return numbers


def test_linear_weighs_every_vector_and_one_that_a_branch_left_counts_for_nothing() -> None:
    mixer = Mixer("linear", (0.5, -2.0))
    assert mixed_vectors(mixer, [4.0, 0, 3], [1.0, 3, 0]) == [0, -6, 1.5]


def test_ties_of_full_density_keeps_the_least_and_ranks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mixing, "size_of_rank", None)
    vectors = [0.125, -3, 0.25], [0.375, 2, 0]
    assert mixed_vectors(Mixer("ties", (1.0, 1.0)), *vectors) == [0.25, -3, 0.25]
    assert mixed_vectors(Mixer("linear", (1.0, 1.0), density=0.5), *vectors) == [0.5, -1, 0.25]


def test_ties_divides_by_the_branches_of_the_elected_sign_and_trims_by_branch() -> None:
    first, second, third = [4.0, -1, 3, 2], [8.0, 5, -3, 1], [-6.0, 7, 0, 3.25]
    mixer = Mixer("ties", (1.0, 0.5, 2.0), density=1.0)
    # times the scales: (4, 4, -12), (-1, 2.5, 14), (3, -1.5, 0), (2, .5, 6.5)
    assert mixed_vectors(mixer, first, second, third) == [-12, 8.25, 3, 3]
    # of each the two greatest: 4 and 3; 8 and 5; 7 and -6
    halved = Mixer("ties", (1.0, 0.5, 2.0), density=0.5)
    assert mixed_vectors(halved, first, second, third) == [-12, 8.25, 3, 0]
    assert mixed_vectors(Mixer("ties", (1.0, 0.0), density=0.5), first, second) == [4, 0, 3, 0]


def test_an_even_vote_elects_none() -> None:
    assert mixed_vectors(Mixer("ties", (1.0, 1.0)), [2.0, 2], [-2.0, -1]) == [0, 2]


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_dare_keeps_what_is_drawn_at_the_share_or_above_and_divides_by_what_stays(
    scale: float,
) -> None:
    torch.manual_seed(5)
    drawn = torch.rand(64, dtype=torch.float32)
    drop = float(drawn[17])  # is kept: as likely as not
    torch.manual_seed(5)
    merged = mixed_vectors(Mixer("dare", (scale,), drop=drop), [2.0] * 63 + [0.0])
    kept = 2 * scale / (1 - drop)
    expected = [kept if share >= drop else 0 for share in drawn.tolist()[:63]]
    assert merged == pytest.approx([*expected, 0]) and merged[17] > 0


def test_a_model_of_several_pieces_is_merged_and_ranked_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mixing, "_PIECE", 3)
    first, second = [float(n) for n in range(1, 9)], [10.0] * 8
    expected = [n + 20 for n in first]
    assert mixed_vectors(Mixer("linear", (1.0, 2.0)), first, second) == expected
    assert mixed_vectors(Mixer("ties", (1.0,), density=0.25), first) == [0] * 6 + [7, 8]


def test_the_size_of_a_rank_is_exact_to_the_last_bit() -> None:
    """Neighbours differ in the last digit alone; greater ones in each of the digits before it."""
    above = math.nextafter(1.0, 2)
    below = math.nextafter(1.0, 0)
    sizes = [
        math.nextafter(below, 0),
        below,
        1.0,
        above,
        1 + 2.0**-35,
        1 + 2.0**-18,
        1.0625,
        4096.0,
        1e300,
    ]
    signs = [-1, 1, 1, -1, 1, 1, -1, 1, -1]
    signed = [size * sign for size, sign in zip(sizes, signs, strict=True)]
    before = {"w": torch.zeros(3, dtype=torch.float64), "v": torch.zeros(6, dtype=torch.float64)}
    tensor = torch.tensor(signed, dtype=torch.float64)
    after = {"w": tensor[[5, 0, 3]], "v": tensor[[6, 8, 2, 4, 7, 1]]}
    for rank, size in enumerate(reversed(sizes), 1):
        assert size_of_rank(before, after, rank / 9) == size


def test_at_least_one_element_is_among_the_largest_and_equal_ones_have_one_size() -> None:
    before = {"w": torch.zeros(4)}
    assert size_of_rank(before, {"w": torch.tensor([1.0, -4.0, 3.0, 2.0])}, 0.1) == 4
    twice = {"w": torch.tensor([2.0, -2.0, 0.0, 1.0])}
    assert [size_of_rank(before, twice, share) for share in (0.25, 0.5, 0.75, 1)] == [2, 2, 1, 0]
    moved = {"w": torch.tensor([3.0, 1, 2, 1.5])}, {"w": torch.tensor([3.5, 3, -1, 1.5])}
    assert size_of_rank(*moved, 0.75) == 0.5


def test_digits_are_counted_after_a_prefix() -> None:
    """1 is 3ff0 and zeros, 1.5 is 3ff8 and zeros, 2 is 4000 and zeros."""
    sizes = torch.tensor([1.0, 1.5, 2.0, 1.0], dtype=torch.float64)
    first = mixing._count_digits(sizes, 48, 0)
    assert first.shape == (2**16,) and first.sum() == 4
    assert [first[digit] for digit in (0x3FF0, 0x3FF8, 0x4000)] == [2, 1, 1]
    second = mixing._count_digits(sizes, 32, 0x3FF0)
    assert second[0] == second.sum() == 2


def test_where_nothing_is_computed_a_size_of_a_rank_is_some_number() -> None:
    """Every count is taken to be 1, which leads to a digit that no size has."""
    weights = {"w": torch.empty(4, device="meta")}
    size, _ = rehearse(lambda: size_of_rank(weights, weights, 0.5), [], H100)
    assert math.isnan(size)
