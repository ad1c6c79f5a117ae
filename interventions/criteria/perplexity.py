"""Perplexity on held-out text."""

from __future__ import annotations

import math

import torch

from interventions.criteria.base import Scores, criterion, standard_error
from interventions.data.base import Data
from interventions.lm import LM, batches

_BATCH = 2048  # tokens


@criterion(better="lower", unit="perplexity", reads=("test_text", "window"))
def wikitext_ppl(lm: LM, data: Data) -> Scores:
    """Exp of the mean negative log-likelihood per token of the *test* split (paper, section 3.1; Merity et al. 2017).

    Texts are cut into windows of ``data.window`` tokens that do not overlap. An item is a window, its score the
    mean negative log-likelihood in nats; the standard error follows from theirs by the delta method.
    """
    total, count = 0.0, 0
    items: dict[str, float] = {}
    for batch in batches(_windows(lm, data), max(1, _BATCH // data.window)):
        encoded = lm.tokenizer.pad(
            {"input_ids": batch}, return_tensors="pt", padding_side="right"
        ).to(lm.device)
        with torch.inference_mode():
            losses, counted = lm.token_losses(encoded, lm.text_labels(encoded))
        sums = torch.where(counted, losses, 0.0).double().sum(1)
        lengths = counted.sum(1)
        for loss, length in zip(sums.tolist(), lengths.tolist(), strict=True):
            items[str(len(items))] = loss / length if math.isfinite(loss) else math.inf
        total += float(sums.sum())
        count += int(lengths.sum())
    value = exp(total / count)
    return Scores(
        value, value * standard_error(list(items.values())) if value < math.inf else math.nan, items
    )


def exp(mean_loss: float) -> float:
    """Exp that overflows to +inf; a model whose loss is NaN has no finite perplexity either."""
    if math.isnan(mean_loss):
        return math.inf
    try:
        return math.exp(mean_loss)
    except OverflowError:
        return math.inf


def _windows(lm: LM, data: Data) -> list[list[int]]:
    windows = []
    for text in data.test_text:
        ids = lm.tokenizer.encode(text)
        windows += [ids[start : start + data.window] for start in range(0, len(ids), data.window)]
    return [window for window in windows if len(window) > 1]
