"""What NPO and SimNPO share: losses of whole texts, and the steps that forget and retain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import BatchEncoding

from interventions.callbacks import report
from interventions.data.base import Data
from interventions.lm import LM
from interventions.loops import iterations
from interventions.master_weights import master_weights
from interventions.training import (
    PASS_TOKENS,
    add_gradients,
    characters,
    label_losses,
    readable,
)
from interventions.unlearning.ga import last_weights

if TYPE_CHECKING:
    from interventions.search_space import Trial, TuningContext
    from interventions.unlearning.npo import NPO
    from interventions.unlearning.simnpo import SimNPO

# -log p of n texts in nats, the tokens of each, and which of the batch they are -> n losses
TextLoss = Callable[[Tensor, Tensor, slice], Tensor]


def suggest_forgetting(
    trial: Trial, tuning_context: TuningContext, cls: type[NPO | SimNPO], least_beta: float
) -> dict[str, Any]:
    """Suggest how fast, how long, how soon to let go, and how firmly to hold the rest."""
    return {
        "lr": tuning_context.around(trial, cls, "lr", 30, 10),
        "beta": trial.suggest_float("beta", least_beta, 10.0, log=True),
        "steps": tuning_context.around(trial, cls, "steps", 4, 4),
        "retain_weight": trial.suggest_float("retain_weight", 0.1, 100.0, log=True),
        "last_layers": trial.suggest_int("last_layers", 1, tuning_context.layers),
    }


def train_to_forget(
    step: NPO | SimNPO, lm: LM, data: Data, losses: Callable[[Sequence[int]], TextLoss]
) -> None:
    """Train the last blocks in place, on a batch to forget and one to retain at a time.

        loss of a step = mean over the texts to forget of their losses + retain_weight L(retain)

    Args:
        step: its hyperparameters.
        lm: the model.
        data: texts to forget and to retain, both taken in order, round and round.
        losses: the places of a batch's texts in ``data.forget`` -> their loss.
    """
    weights = last_weights(lm, step.last_layers, step.head)
    places = cycle(range(len(data.forget)))
    retained = cycle(data.retain)
    batches = [
        (list(islice(places, step.batch)), list(islice(retained, step.retain_batch)))
        for _ in range(step.steps)
    ]

    def size(batch: tuple[list[int], list[str]]) -> int:
        return characters([data.forget[place] for place in batch[0]]) + characters(batch[1])

    progress = tqdm(batches, desc=step.name, unit="step", delay=5)
    with master_weights(weights, copies=step.master_weights) as masters:
        # without temporary copies of all weights, which would not fit beside an 8B model
        optimizer = torch.optim.AdamW(masters.tensors, lr=step.lr, weight_decay=0.0, foreach=False)
        for steps_done, (forgotten, to_retain) in enumerate(iterations(progress, size), start=1):
            optimizer.zero_grad()
            # each half is backpropagated by itself: only one graph is in memory
            texts = [data.forget[place] for place in forgotten]
            for part, sums, tokens in text_passes(lm, texts, step.max_tokens):
                (losses(forgotten)(sums, tokens, part).sum() / len(texts)).backward()
            if step.retain_weight:
                add_gradients(lm, to_retain, step.max_tokens, step.retain_weight)
            optimizer.step()
            masters.round()
            report(step, steps_done, lm)


def text_passes(
    lm: LM, texts: Sequence[str], max_tokens: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield -log p of the texts of a batch, a pass of the model at a time.

    The first token of a text, which nothing predicts, and padding do not count.

    Args:
        lm: the model.
        texts: one batch.
        max_tokens: tokens of a text that are used, of those that the model reads at once.

    Yields:
        Which texts, their -log p in nats with its gradient, (n,), and how many tokens of each
        count, (n,): one at least, also of a text of one token, whose -log p is 0.
    """
    encoded = lm.encode(texts, readable(lm.model, max_tokens))
    labels = lm.text_labels(encoded)
    rows = max(1, PASS_TOKENS // labels.shape[1])
    for start in range(0, len(labels), rows):
        part = slice(start, start + rows)
        texts_of_pass = BatchEncoding({key: value[part] for key, value in encoded.items()})
        losses, counted = label_losses(lm, texts_of_pass, labels[part])
        yield part, losses.sum(1), counted.sum(1).clamp(min=1)


@torch.no_grad()
def text_losses(lm: LM, texts: Sequence[str], batch: int, max_tokens: int) -> Tensor:
    """Return -log p of every text in nats, (texts,), ``batch`` of them at a time.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> text_losses(LM.load(MODEL), ["An old ship.", "A new one."], 2, 64).shape
        torch.Size([2])
    """
    sums = torch.zeros(len(texts), device=lm.device)
    starts = range(0, len(texts), batch)
    for start in iterations(starts, lambda start: characters(texts[start : start + batch])):
        for part, losses, _ in text_passes(lm, texts[start : start + batch], max_tokens):
            sums[start + part.start : start + part.start + len(losses)] = losses
    return sums
