"""Perplexity, against one window at a time in float64."""

import dataclasses
import math
import statistics

import pytest
import torch
from torch.nn import functional as F

from interventions.criteria import perplexity
from interventions.criteria.base import Scores, measure
from interventions.criteria.perplexity import exp
from interventions.data.base import Data
from interventions.lm import LM


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
    monkeypatch.setattr(perplexity, "_BATCH", 1)
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
