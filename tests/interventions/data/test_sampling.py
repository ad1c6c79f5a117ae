"""A sample has every stratum in proportion, and is the same for every run."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interventions.data.base import Data, Prompt, Questions
from interventions.data.sampling import sample, sample_indices


@given(st.lists(st.sampled_from("abcd"), max_size=60), st.integers(0, 70))
def test_every_stratum_has_its_share_but_for_rounding(strata: list[str], limit: int) -> None:
    drawn = sample_indices(strata, limit)
    expected = min(limit, len(strata)) if limit else len(strata)
    assert len(drawn) == expected and drawn == sorted(set(drawn))
    for stratum, count in Counter(strata).items():
        share = sum(strata[index] == stratum for index in drawn)
        assert abs(share - expected * count / len(strata)) < 1


def test_the_draw_is_the_same_again_and_not_the_first_items() -> None:
    drawn = sample_indices(["a"] * 100, 10)
    assert drawn == sample_indices(["a"] * 100, 10) != list(range(10))
    # a smaller sample is part of a larger one: what was looked at first is looked at again
    assert set(sample_indices(["a"] * 100, 5)) < set(drawn)
    assert sample("abcdef", 6) == sample("abcdef", 0) == tuple("abcdef")


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_limited_data_are_other_data_for_what_judges_alone(limit: int) -> None:
    locality = tuple(Prompt(f"p{number}", "a") for number in range(3))
    data = Data(
        "one", locality=locality, retain=("a", "b", "c"), questions=Questions((("m", "m"),))
    )
    limited = data.limited(limit)
    assert len(limited.locality) == min(limit, 3) and limited.retain == data.retain
    assert limited.identity("questions") != data.identity("questions")
    assert data.limited(0) is data


def test_the_stratum_with_the_largest_rest_gets_one_more() -> None:
    """By hand: of 7 of 20, the shares are 3.5, 2.45 and 1.05."""
    drawn = sample_indices(["a"] * 10 + ["b"] * 7 + ["c"] * 3, 7)
    assert Counter("aaaaaaaaaabbbbbbbccc"[index] for index in drawn) == {"a": 4, "b": 2, "c": 1}
