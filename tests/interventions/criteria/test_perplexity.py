"""Perplexity, against one window at a time in float64."""

import dataclasses
import math
import statistics
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from interventions.criteria.base import CRITERIA, Scores, measure
from interventions.criteria.engine import batching
from interventions.criteria.perplexity import exp, windows
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM


def plain_windows(
    ids: list[int], window: int, stride: int, tail: str
) -> list[tuple[int, int, int]]:
    """(start, end, first token that counts) of every window; the text's rules, written plainly."""
    spans: list[tuple[int, int, int]] = []
    counted = {0}  # nothing predicts the first token
    start = 0
    while True:
        end = start + window
        if end > len(ids) and tail == "drop":
            return spans
        fresh = [place for place in range(start + 1, min(end, len(ids))) if place not in counted]
        if fresh:
            spans.append((start, fresh[-1] + 1, fresh[0]))
        counted.update(range(min(end, len(ids))))
        if end >= len(ids):
            return spans
        start += stride or window


def overlapping_losses(lm: LM, data: Data) -> list[tuple[float, int]]:
    """(sum of the token losses in nats, tokens that count) of every window, in float64."""
    losses = []
    for text in data.test_text:
        ids = lm.tokenizer.encode(text)
        for start, end, first in plain_windows(ids, data.window, data.stride, data.tail):
            with torch.no_grad():
                logits = lm.model(torch.tensor([ids[start:end]])).logits[0].double()
            logs = logits.log_softmax(-1)
            loss = -sum(float(logs[place - start - 1, ids[place]]) for place in range(first, end))
            losses.append((loss, end - first))
    return losses


def window_losses(lm: LM, data: Data) -> list[tuple[float, int]]:
    """(sum of the token losses in nats, tokens that are predicted) of every window."""
    losses = []
    for text in data.test_text:
        ids = lm.tokenizer.encode(text)
        for start in range(0, len(ids), data.window):
            window = torch.tensor([ids[start : start + data.window]])
            if window.shape[1] > 1:
                with torch.no_grad():
                    logits = lm.model(window).logits[0, :-1].double()
                loss = float(F.cross_entropy(logits, window[0, 1:], reduction="sum"))
                losses.append((loss, window.shape[1] - 1))
    return losses


def ppl(lm: LM, data: Data) -> Scores:
    return measure(lm, data, ["wikitext_ppl"])["wikitext_ppl"]


@pytest.fixture
def windowed(small: Data) -> Data:
    """Texts that are cut into several windows, the last of another length."""
    return dataclasses.replace(small, window=24)


def test_perplexity_is_exp_of_the_mean_token_loss(lm: LM, windowed: Data) -> None:
    losses = window_losses(lm, windowed)
    assert len({tokens for _, tokens in losses}) > 2  # so that tokens and windows weigh differently
    mean = sum(loss for loss, _ in losses) / sum(tokens for _, tokens in losses)
    assert ppl(lm, windowed).value == pytest.approx(math.exp(mean), 1e-4)


def test_an_item_is_a_window_with_its_mean_loss(lm: LM, windowed: Data) -> None:
    expected = [loss / tokens for loss, tokens in window_losses(lm, windowed)]
    scores = ppl(lm, windowed)
    assert list(scores.items) == [str(index) for index in range(len(expected))]
    assert list(scores.items.values()) == pytest.approx(expected, 1e-4)


def test_the_standard_error_is_that_of_the_exponent_times_the_value(lm: LM, windowed: Data) -> None:
    """Delta method: the standard error of exp(x) is exp(x) times that of x."""
    means = [loss / tokens for loss, tokens in window_losses(lm, windowed)]
    error_of_the_mean = statistics.stdev(means) / math.sqrt(len(means))
    scores = ppl(lm, windowed)
    assert scores.stderr == pytest.approx(scores.value * error_of_the_mean, 1e-4)


def test_a_window_of_one_token_predicts_nothing_and_is_no_item(lm: LM, small: Data) -> None:
    length = len(lm.tokenizer.encode(small.test_text[0]))
    data = dataclasses.replace(small, test_text=small.test_text[:1], window=length - 1)
    assert list(ppl(lm, data).items) == ["0"]


def test_perplexity_is_the_same_in_batches_of_any_size(
    lm: LM, windowed: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ppl(lm, windowed).value
    monkeypatch.setattr(batching, "CPU_BYTES", 1)
    assert ppl(lm, windowed).value == pytest.approx(expected, 1e-5)


def test_an_overflowing_or_undefined_perplexity_is_infinite() -> None:
    assert exp(1000.0) == exp(math.nan) == math.inf
    assert exp(1.0) == math.e


def test_a_broken_models_perplexity_and_items_are_infinite_and_its_error_is_undefined(
    lm: LM, windowed: Data
) -> None:
    with torch.no_grad():
        next(lm.model.parameters()).fill_(math.nan)
    scores = ppl(lm, windowed)
    assert scores.value == math.inf and math.isnan(scores.stderr)
    assert set(scores.items.values()) == {math.inf}


@pytest.mark.parametrize(
    ("stride", "tail"),
    [(0, "keep"), (0, "drop"), (8, "keep"), (8, "drop"), (24, "keep"), (1, "keep")],
)
def test_windows_overlap_by_the_stride_and_end_as_the_tail_says(
    stride: int, tail: str, lm: LM, windowed: Data
) -> None:
    data = dataclasses.replace(windowed, stride=stride, tail=tail)
    losses = overlapping_losses(lm, data)
    scores = ppl(lm, data)
    means = [loss / tokens for loss, tokens in losses]
    assert list(scores.items.values()) == pytest.approx(means, rel=1e-5, abs=1e-5)
    mean = sum(loss for loss, _ in losses) / sum(tokens for _, tokens in losses)
    assert scores.value == pytest.approx(math.exp(mean), 1e-5)


def test_with_a_stride_every_token_but_a_texts_first_counts_once() -> None:
    for length in range(1, 40):
        ids = list(range(length))
        for stride in (1, 3, 7):
            rows = windows(ids, 8, stride, "keep")
            assert [token for row in rows for _, token in row.queries] == ids[1:]
            assert all(len(row.ids) <= 8 for row in rows)
            # what a window reads stands right before what counts in it
            assert all(row.ids[place] == token - 1 for row in rows for place, token in row.queries)


def test_a_tail_that_is_dropped_is_a_window_that_is_not_full() -> None:
    ids = list(range(20))
    assert [len(row.ids) for row in windows(ids, 8, 0, "drop")] == [8, 8]
    assert [len(row.ids) for row in windows(ids, 8, 0, "keep")] == [8, 8, 4]
    assert windows(ids, 10, 0, "drop") == windows(ids, 10, 0, "keep")
    assert windows(ids, 21, 0, "drop") == []
    # as where a model reads less than the stride
    assert windows(ids, 8, 9, "keep") == windows(ids, 8, 0, "keep")


def test_texts_without_a_window_that_counts_are_refused(lm: LM, windowed: Data) -> None:
    with pytest.raises(InvalidInput, match=r"no text has a window of 256 tokens \(tail=drop\)"):
        ppl(lm, dataclasses.replace(windowed, window=256, tail="drop"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tail": "dorp"}, "tail must be keep or drop, but got 'dorp'"),
        ({"stride": -1}, "stride must be .*, but got -1"),
        ({"stride": 1.5}, "stride must be .*, but got 1.5"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    changed: dict[str, Any], message: str, lm: LM, windowed: Data
) -> None:
    with pytest.raises(InvalidInput, match=message):
        ppl(lm, dataclasses.replace(windowed, **changed))


def test_windows_are_part_of_a_scores_identity_where_they_are_not_the_usual_ones() -> None:
    criterion = CRITERIA.get("wikitext_ppl")
    usual = Data("one", test_text=("a text",), window=64)
    changed: list[dict[str, Any]] = [
        {"stride": 8},
        {"stride": 16},
        {"tail": "drop"},
        {"stride": 8, "tail": "drop"},
    ]
    identities = [criterion.identity(dataclasses.replace(usual, **each)) for each in changed]
    assert [each for each in identities if identities.count(each) > 1] == []
    assert criterion.identity(usual) not in identities
    # windows that do not overlap, said in other words
    assert criterion.identity(dataclasses.replace(usual, stride=64)) == criterion.identity(usual)
    assert len(criterion.identity(usual)) == 3
    success = CRITERIA.get("sparsity")
    assert success.identity(dataclasses.replace(usual, stride=8)) == success.identity(usual)


def test_perplexity_is_exact_to_the_sixth_digit(lm: LM, small: Data) -> None:
    """PyTorch's cross-entropy over a strided axis is not: it was off by 7e-6."""
    losses = window_losses(lm, small)
    mean = sum(loss for loss, _ in losses) / sum(tokens for _, tokens in losses)
    assert ppl(lm, small).value == pytest.approx(math.exp(mean), 1e-6)
