"""Perplexity on held-out text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from interventions.anatomy import context_length
from interventions.criteria.base import Scores, criterion, standard_error
from interventions.criteria.engine.likelihoods import TokenRow, log_likelihoods
from interventions.data.base import Data
from interventions.data.sampling import sample
from interventions.errors import InvalidInput, one_of, whole_number
from interventions.lm import LM
from interventions.options import DROP, TAILS

_MOST_STRIDE = 2**20  # tokens; models that read more are not known


@criterion(
    better="lower",
    unit="perplexity",
    reads=("test_text", "window"),
    version=3,
    title="WikiText perplexity",
    judges=("compression",),
    items="crossed",
)
def wikitext_ppl(lm: LM, data: Data) -> Scores:
    """Measure exp of the mean negative log-likelihood per token of the test split.

    Texts are cut into windows of ``data.window`` tokens, or of as many as the model can read, if
    that is less. They do not overlap, unless ``data.stride`` says after how many tokens the next
    one begins: then a window's first tokens are read only, and each token counts once.
    ``data.tail`` says whether the last, shorter window of a text counts. An item is a window; its
    score is its mean negative log-likelihood in nats, and the standard error follows from these by
    the delta method.

    Source: paper, section 3.1; Merity et al. 2017.

    Raises:
        InvalidInput: no text has a window whose tokens count.
    """
    window = min(data.window, context_length(lm.model) or data.window)
    rows: list[TokenRow] = []
    for text in data.test_text:
        # texts are cut below: no warning that one is longer than the model reads
        ids = lm.tokenizer(text, verbose=False)["input_ids"]
        rows += windows(ids, window, data.stride, data.tail)
    if not rows:
        raise InvalidInput(
            f"no text has a window of {window} tokens (tail={data.tail}): there is nothing to"
            " measure perplexity on"
        )
    scored = log_likelihoods(lm, sample(rows, data.limit), "perplexity")
    losses = [-float(row.log_likelihoods.sum()) for row in scored]
    counts = [len(row.log_likelihoods) for row in scored]
    items = {
        str(index): loss / count if math.isfinite(loss) else math.inf
        for index, (loss, count) in enumerate(zip(losses, counts, strict=True))
    }
    value = exp(sum(losses) / sum(counts))
    # delta method: exp'(x) = exp(x), so the error of the exponent is multiplied by the value
    stderr = value * standard_error(list(items.values())) if value < math.inf else math.nan
    return Scores(value, stderr, items)


def windows(ids: Sequence[int], window: int, stride: int, tail: str) -> list[TokenRow]:
    """Return the windows of a text's tokens, each with the tokens in it that count.

    Args:
        ids: of the text.
        window: tokens of a window, at least 2.
        stride: tokens after which the next window begins; 0, or more than ``window``: ``window``.
        tail: "keep" or "drop" a window that is shorter because the text ends.

    Raises:
        InvalidInput: there is no such tail, or the stride is no number of tokens.

    Source: transformers' guide "Perplexity of fixed-length models", for windows that overlap.

    Example:
        >>> for row in windows([5, 6, 7, 8, 9], window=4, stride=2, tail="keep"):
        ...     print(list(row.ids), [token for _, token in row.queries])
        [5, 6, 7, 8] [6, 7, 8]
        [7, 8, 9] [9]
    """
    whole_number("stride", stride, 0, _MOST_STRIDE)
    one_of("tail", tail, TAILS)
    rows, scored_end = [], 0
    for start in range(0, len(ids), min(stride or window, window)):
        end = min(start + window, len(ids))
        if tail == DROP and end < start + window:
            break
        # nothing predicts a window's first token
        first = max(scored_end, start + 1)
        if first < end:
            queries = [(place - start - 1, ids[place]) for place in range(first, end)]
            rows.append(TokenRow(ids[start:end], queries))
        scored_end = end
    return rows


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
