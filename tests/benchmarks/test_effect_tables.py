"""The tables of effects: intervals over batches, and when two levels are told apart; by hand."""

import math

import pytest

from benchmarks import effects as command
from benchmarks.effect_tables import (
    Effect,
    differences,
    effects_table,
    mean_and_half_width,
    neighbours_table,
)
from interventions.criteria.base import Scores
from interventions.errors import InvalidInput


def scores(*items: float, value: float | None = None) -> Scores:
    mean = sum(items) / len(items)
    return Scores(mean if value is None else value, 0.0, dict(zip("abcdefgh", items, strict=False)))


def effect(spec: str, locality: list[float], mmlu: tuple[float, ...], ppl: float = 5.0) -> Effect:
    """An effect on batches: locality on each, the others the same on all."""
    once, text = scores(*mmlu), scores(math.log(ppl) if ppl < math.inf else ppl, value=ppl)
    count = len(locality)
    return Effect(
        spec,
        (1.0, 2.0),
        {
            "edit_locality": tuple(scores(value) for value in locality),
            "mmlu": (once,) * count,
            "wikitext_ppl": (text,) * count,
            "sparsity": (scores(0.5),) * count,
        },
    )


def test_an_interval_is_students() -> None:
    """Mean .5, standard deviation .2, t(.975, 3) = 3.1824."""
    mean, half = mean_and_half_width([0.3, 0.5, 0.5, 0.7])
    assert (mean, half) == pytest.approx((0.5, 3.1824 * math.sqrt(0.08 / 3) / 2), abs=1e-4)
    assert math.isnan(mean_and_half_width([0.5])[1])
    assert mean_and_half_width([math.inf, 1.0])[0] == math.inf


def test_what_depends_on_the_batch_has_an_interval_and_all_else_has_none() -> None:
    base = effect("none", [0.3, 0.5, 0.5, 0.7], (1, 0))
    lines = effects_table([base, effect("ga", [0.5] * 4, (1, 1), math.inf)])
    assert lines == [
        "| alone | locality | mmlu | perplexity ↓ | sparsity | seconds |",
        "|---|---|---|---|---|---|",
        "| `none` | 0.50 ± 0.26 | 0.50 | 5 | 0.50 | 1.5 |",
        "| `ga` | 0.50 ± 0.00 | 1.00 | inf | 0.50 | 1.5 |",
    ]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ([0.45, 0.55, 0.35], True),  # .05 less on each batch
        ([0.48, 0.58, 0.38], False),  # .02 less, which is too little however sure
        ([0.1, 0.9, 0.2], False),  # .1 less on average, but .2 more on one
        ([0.5, 0.6, 0.4], False),
    ],
)
def test_a_difference_is_paired_by_batch_and_has_to_be_large_and_sure(
    second: list[float], told: bool
) -> None:
    first, other = (
        effect("wanda(sparsity=0.25)", [0.5, 0.6, 0.4], (1, 1, 0, 0)),
        effect("wanda(sparsity=0.35)", second, (1, 1, 0, 0)),
    )
    (difference,) = [d for d in differences(first, other) if d.criterion == "edit_locality"]
    assert difference.tells == told
    expected = "locality -0.05 ± 0.00" if told else "nothing"
    # with other settings a level is no neighbour
    owl = effect("wanda(sparsity=0.3, allocation='owl')", [0.0, 0.0, 0.0], (0, 0, 0, 0))
    expected_lines = [f"| `wanda` | 0.25, 0.35 | {expected} |"]
    assert neighbours_table([other, owl, first])[2:] == expected_lines


def test_what_is_the_same_on_all_batches_is_compared_by_items() -> None:
    first = effect("rtn(bits=2)", [0.5, 0.5], (1, 1, 1, 1, 1, 1, 1, 1))
    other = effect("rtn(bits=3)", [0.5, 0.5], (1, 1, 1, 1, 0, 0, 0, 0), ppl=5.5)
    by_name = {difference.criterion: difference for difference in differences(first, other)}
    assert "sparsity" not in by_name  # it is the level
    questions = by_name["mmlu"]
    assert (questions.mean, questions.error) == pytest.approx((-0.5, math.sqrt(2 / 7 / 8)))
    assert questions.tells
    assert by_name["wikitext_ppl"].mean == pytest.approx(math.log(1.1))
    assert not by_name["wikitext_ppl"].tells  # of one window no error is known


def test_a_destroyed_model_is_told_from_others_and_not_from_another_such() -> None:
    fine = effect("rtn(bits=3)", [0.5, 0.5], (1, 1))
    first, second = (effect(f"rtn(bits={b})", [0.5, 0.5], (1, 1), math.inf) for b in (2, 4))
    assert [d.criterion for d in differences(fine, first) if d.tells] == ["wikitext_ppl"]
    assert not [d for d in differences(first, second) if d.tells]


def test_a_batch_that_there_is_not_is_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidInput, match="edit_batch must be 0 to"):
        command.main(["--batches", "1000"])
    with pytest.raises(InvalidInput, match="batches and workers must be at least 1"):
        command.main(["--batches", "0"])
