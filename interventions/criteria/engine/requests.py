"""Answer the requests of lm-eval's tasks: the log-likelihoods of continuations of contexts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from interventions.anatomy import context_length
from interventions.criteria.engine.encoding import Encoded, Pair
from interventions.criteria.engine.likelihoods import TokenRow, log_likelihoods
from interventions.criteria.engine.stored_requests import encoded_requests
from interventions.errors import InvalidInput
from interventions.lm import LM

Answer = tuple[float, bool]  # log-likelihood in nats, and whether greedy decoding gives it


def answers(lm: LM, tasks: Sequence[Sequence[Pair]]) -> list[list[Answer]]:
    """Return the answers to the requests of tasks, as lm-eval's model classes give them.

    Requests that read the same tokens, as those of four letters after one context, share a pass.
    A context that is too long is cut on the left, with a warning.

    Args:
        lm: the model; not changed.
        tasks: of each the requests: a context, and a continuation of it.

    Raises:
        InvalidInput: a request has no token, or a continuation more than the model can read.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> lm = LM.load(MODEL)
        >>> pairs = [("The capital of Vesk is", " Orlo"), ("The capital of Vesk is", " a")]
        >>> [both] = answers(lm, [pairs])
        >>> len(both), all(likelihood < 0 for likelihood, _ in both)
        (2, True)
    """
    encoded = [encoded_requests(lm.tokenizer, pairs) for pairs in tasks]
    flat = _answers(lm, [request for requests in encoded for request in requests])
    results, start = [], 0
    for requests in encoded:
        results.append(flat[start : start + len(requests)])
        start += len(requests)
    return results


def _answers(lm: LM, requests: Sequence[Encoded]) -> list[Answer]:
    longest = most_tokens(lm)
    queries_of: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    places: list[tuple[tuple[int, ...], int]] = []  # of each request: its row, its first query
    cut = 0
    for request in requests:
        count = len(request.continuation)
        if count > longest:
            raise InvalidInput(
                f"an answer of a question has {count} tokens, but the model reads {longest} at once"
            )
        whole = (*request.context, *request.continuation)
        cut += len(whole) > longest + 1
        # nothing is asked of what follows the last token
        ids = whole[-(longest + 1) :][:-1]
        queries = queries_of.setdefault(ids, [])
        places.append((ids, len(queries)))
        queries += enumerate(request.continuation, start=len(ids) - count)
    if cut:
        warnings.warn(
            f"{cut} of {len(requests)} requests are longer than the {longest} tokens that the"
            " model reads at once: their contexts are cut on the left",
            stacklevel=2,
        )
    rows = [TokenRow(ids, queries) for ids, queries in queries_of.items()]
    scores = dict(zip(queries_of, log_likelihoods(lm, rows, "questions"), strict=True))
    results = []
    for (ids, first), request in zip(places, requests, strict=True):
        part = slice(first, first + len(request.continuation))
        likelihood = float(scores[ids].log_likelihoods[part].sum())
        results.append((likelihood, bool(scores[ids].greedy[part].all())))
    return results


def most_tokens(lm: LM) -> int:
    """Return how many tokens a request may have: what lm-eval says, but no more than are read."""
    from lm_eval.models.utils import resolve_max_length

    length: int = resolve_max_length(lm.model.config, lm.tokenizer)
    return min(length, context_length(lm.model) or length)
