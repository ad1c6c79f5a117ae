"""Log-likelihoods of tokens: the logits of the positions that are asked for, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from interventions.criteria.engine.batching import budget, run_in_batches
from interventions.lm import LM
from interventions.padding import pads_harmlessly
from interventions.text_model import length_borders, text_config
from interventions.trunk import trunk_of, trunk_pass

_CHUNK_BYTES = 2**26  # of the logits that are in memory at once, in float32


@dataclass(frozen=True)
class TokenRow:
    """Tokens that a model reads, and the tokens whose likelihoods are wanted.

    Attributes:
        ids: tokens, at least one.
        queries: (position, token): how likely the token is after those up to the position;
            positions ascend.
    """

    ids: Sequence[int]
    queries: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class RowScores:
    """What a model says to the queries of a row, in their order.

    Attributes:
        log_likelihoods: in nats, (queries,), float64, on the CPU.
        greedy: whether the token is the likeliest one, (queries,).
    """

    log_likelihoods: Tensor
    greedy: Tensor


def log_likelihoods(lm: LM, rows: Sequence[TokenRow], what: str) -> list[RowScores]:
    """Return the log-likelihoods that rows ask for.

    Rows are read in batches by length, padded on the right where that leaves the predictions as
    they are. Softmax is taken in float32, also of a model that is held in less.

    Args:
        lm: the model; not changed.
        rows: to read, in any order.
        what: they are, for the progress bar, which is shown after five seconds.

    Raises:
        torch.OutOfMemoryError: a single row takes more memory than there is.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> lm = LM.load(MODEL)
        >>> ids = lm.tokenizer("The capital of Vesk is")["input_ids"]
        >>> (scores,) = log_likelihoods(lm, [TokenRow(ids, [(3, ids[4]), (3, ids[0])])], "example")
        >>> (scores.log_likelihoods < 0).tolist()
        [True, True]
    """
    if not rows:
        return []
    results: list[RowScores | None] = [None] * len(rows)
    ids = [row.ids for row in rows]
    trunk = trunk_of(lm, max(ids, key=len))
    total = sum(len(row) for row in ids)

    with tqdm(total=total, desc=what, unit="token", unit_scale=True, delay=5) as progress:

        def compute(batch: list[int]) -> None:
            together = [rows[index] for index in batch]
            for index, scores in zip(batch, _batch_scores(lm, trunk, together), strict=True):
                results[index] = scores
            progress.update(sum(len(row.ids) for row in together))

        run_in_batches(
            [len(row) for row in ids],
            budget(lm.model, logits_too=trunk is None),
            compute,
            padded=pads_harmlessly(lm, ids),
            borders=length_borders(lm.model),
        )
    return [scores for scores in results if scores is not None]


@torch.inference_mode()
def _batch_scores(lm: LM, trunk: nn.Module | None, rows: Sequence[TokenRow]) -> list[RowScores]:
    """Return the scores of one batch of rows."""
    places, tokens = _queries(rows, lm.device)
    # several tokens are asked for at one position: its logits are computed once
    positions, of_query = torch.unique_consecutive(places, dim=0, return_inverse=True)
    logits_at = _logits(lm, trunk, _padded(lm, [row.ids for row in rows]))
    chunk = max(1, _CHUNK_BYTES // (4 * text_config(lm.model).vocab_size))
    values, greedy = [], []
    for start in range(0, len(positions), chunk):
        row_index, position = positions[start : start + chunk].T
        logits = logits_at(row_index, position).float()
        inside = (of_query >= start) & (of_query < start + chunk)
        place, token = of_query[inside] - start, tokens[inside]
        greedy.append(logits.argmax(-1)[place] == token)
        values.append(_log_softmax_at(logits, place, token))
    counts = [len(row.queries) for row in rows]
    of_rows = zip(
        torch.cat(values).double().cpu().split(counts),
        torch.cat(greedy).cpu().split(counts),
        strict=True,
    )
    return [RowScores(row_values, row_greedy) for row_values, row_greedy in of_rows]


def _log_softmax_at(logits: Tensor, place: Tensor, token: Tensor) -> Tensor:
    """Return the log-softmax of logits (k, vocabulary) at (place, token), each (queries,).

    The largest logit is taken off first: of a sure token, the logit less logsumexp would be
    rounding only. PyTorch's log_softmax adds up with less care: it is off by 5e-7.
    """
    logits = logits - logits.amax(-1, keepdim=True)
    return logits[place, token] - logits.exp().sum(-1).log()[place]


def _logits(
    lm: LM, trunk: nn.Module | None, inputs: Mapping[str, Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of (rows, positions) that gives their logits, in the model's precision."""
    if trunk is not None:
        return trunk_pass(lm.model, trunk, inputs).logits
    logits: Tensor = lm.model(**inputs, use_cache=False).logits
    return lambda rows, positions: logits[rows, positions]


def _padded(lm: LM, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Return token ids and mask (n, tokens), padded on the right."""
    lengths = torch.tensor([len(ids) for ids in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens = torch.full(mask.shape, int(lm.tokenizer.pad_token_id or 0))
    tokens[mask] = torch.tensor([token for ids in rows for token in ids])
    inputs = {"input_ids": tokens, "attention_mask": mask.long()}
    return {name: tensor.to(lm.device) for name, tensor in inputs.items()}


def _queries(rows: Sequence[TokenRow], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (row, position) of all queries (q, 2), and their tokens (q,)."""
    places = [(index, query[0]) for index, row in enumerate(rows) for query in row.queries]
    tokens = [token for row in rows for _, token in row.queries]
    return torch.tensor(places, device=device).view(-1, 2), torch.tensor(tokens, device=device)
