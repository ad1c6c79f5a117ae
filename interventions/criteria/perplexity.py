"""Perplexity on held-out text."""

from __future__ import annotations

import math
from itertools import chain

import torch

from interventions.anatomy import context_length
from interventions.criteria.base import Scores, criterion, standard_error
from interventions.data.base import Data
from interventions.data.sampling import sample
from interventions.lm import LM, batches
from interventions.padding import unpadded

_BATCH = 2048  # tokens


@criterion(
    better="lower",
    unit="perplexity",
    reads=("test_text", "window"),
    version=2,
    title="WikiText perplexity",
    judges=("compression",),
    items="crossed",
)
def wikitext_ppl(lm: LM, data: Data) -> Scores:
    """Measure exp of the mean negative log-likelihood per token of the test split.

    Texts are cut into windows of ``data.window`` tokens that do not overlap, or of as many as the
    model can read, if that is less. An item is a window; its score is its mean negative
    log-likelihood in nats, and the standard error follows from these by the delta method.

    Source: paper, section 3.1; Merity et al. 2017.
    """
    total_loss, token_count = 0.0, 0
    items: dict[str, float] = {}
    window = min(data.window, context_length(lm.model) or data.window)
    texts_in_windows = sample(_windows(lm, data, window), data.limit)
    windows = batches(texts_in_windows, max(1, _BATCH // window))
    for batch in chain.from_iterable(unpadded(lm, together) for together in windows):
        encoded = lm.tokenizer.pad(
            {"input_ids": batch}, return_tensors="pt", padding_side="right"
        ).to(lm.device)
        with torch.inference_mode():
            losses, counted = lm.token_losses(encoded, lm.text_labels(encoded))
        window_losses = torch.where(counted, losses, 0.0).double().sum(1)
        lengths = counted.sum(1)
        for loss, length in zip(window_losses.tolist(), lengths.tolist(), strict=True):
            items[str(len(items))] = loss / length if math.isfinite(loss) else math.inf
        total_loss += float(window_losses.sum())
        token_count += int(lengths.sum())
    value = exp(total_loss / token_count)
    # delta method: exp'(x) = exp(x), so the error of the exponent is multiplied by the value
    stderr = value * standard_error(list(items.values())) if value < math.inf else math.nan
    return Scores(value, stderr, items)


def exp(mean_loss: float) -> float:
    """Return exp, or +inf where it overflows or the loss is NaN.

    Example:
        >>> exp(0.0), exp(1000.0)
        (1.0, inf)
    """
    # a model whose loss is NaN has no finite perplexity either
    if math.isnan(mean_loss):
        return math.inf
    try:
        return math.exp(mean_loss)
    except OverflowError:
        return math.inf


def _windows(lm: LM, data: Data, window: int) -> list[list[int]]:
    windows = []
    for text in data.test_text:
        # texts are cut below: no warning that one is longer than the model reads
        ids = lm.tokenizer(text, verbose=False)["input_ids"]
        windows += [ids[start : start + window] for start in range(0, len(ids), window)]
    # nothing predicts a window's first token
    return [ids for ids in windows if len(ids) > 1]
