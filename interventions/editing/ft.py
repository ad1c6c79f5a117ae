"""FT: fine-tuning of a few MLP down-projections on the new answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import BatchEncoding, PreTrainedModel

from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.hyperparameters import MOST_STEPS, hyperparameter
from interventions.lm import LM
from interventions.loops import iterations
from interventions.master_weights import master_weights
from interventions.search_space import Trial, TuningContext, consecutive
from interventions.training import PASS_TOKENS, check_writers, label_losses, row_slices, writers
from interventions.trunk import trunk_of

Average = Literal["tokens", "edits"]


@dataclass(frozen=True)
class FT(Intervention, category="editing", version=3):
    """Fine-tune the MLP down-projections of given layers on the new answers of a batch of edits.

        minimize over the weights:  mean over target tokens of -log p(token | prompt, tokens before)

    by Adam without weight decay, on all edits of the batch at once. Nothing holds the weights near
    what they were, as in the paper. With ``average="edits"`` the mean is over edits, of the means
    over each one's tokens, so that a long answer weighs no more than a short one. A step is not
    taken any more once the loss is below ``stop_below``.

    Where the model has less precision than float32, ``master_weights=True`` trains float32 copies
    of the down-projections, by passes in float32; the paper trains in bfloat16 (section C).

    Source: the FT baseline of Meng et al. 2023, "Mass-Editing Memory in a Transformer", as set in
    the paper, section C; mean and end as in EasyEdit's ``execute_ft``, which the paper's code runs.

    Example:
        >>> str(FT(layers=(1, 2), steps=10))
        'ft(layers=(1, 2), steps=10)'
    """

    layers: tuple[int, ...] = hyperparameter(
        (3, 4, 5), "blocks whose down-projection is trained", paper=(4, 5, 6, 7, 8)
    )
    steps: int = hyperparameter(70, "gradient steps", paper=25, low=1, high=MOST_STEPS)
    lr: float = hyperparameter(1e-3, "learning rate of Adam", paper=1e-5, above=0, high=1e3)
    average: Average = hyperparameter(
        "tokens", 'what the loss is the mean over: all target "tokens", or "edits"', paper="edits"
    )
    stop_below: float = hyperparameter(
        0.0, "loss, in nats, that ends the training; 0: none does", paper=1e-2, low=0, high=1e3
    )
    master_weights: bool = hyperparameter(
        True, "train float32 copies of weights of less precision", paper=False
    )
    reads = frozenset({"edits"})
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks a layer or a down-projection in it."""
        check_writers(model, self.layers, "ft.layers")

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest where to train, how fast, and how long."""
        return {
            "layers": consecutive(trial, tuning_context),
            "lr": tuning_context.around(trial, cls, "lr", 10, 10),
            "steps": tuning_context.around(trial, cls, "steps", 4, 2),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the down-projections in place."""
        train_on_answers(
            lm,
            [(edit.prompt, f" {edit.target}") for edit in data.edits],
            writers(lm.model, self.layers),
            steps=self.steps,
            lr=self.lr,
            average=self.average,
            stop_below=self.stop_below,
            copies=self.master_weights,
            after_step=lambda steps_done: report(self, steps_done, lm),
        )
        return lm


def train_on_answers(
    lm: LM,
    pairs: Sequence[tuple[str, str]],
    weights: Sequence[nn.Parameter],
    *,
    steps: int,
    lr: float,
    average: Average = "tokens",
    stop_below: float = 0.0,
    copies: bool = True,
    penalty: Callable[[], Tensor] | None = None,
    after_step: Callable[[int], None] = lambda steps_done: None,
) -> None:
    """Train weights on the answers of (prompt, answer) pairs, all of them in every step.

    A step's gradient is that of all pairs, added up over passes of at most ``PASS_TOKENS`` tokens.

    Args:
        lm: the model, changed in place.
        pairs: prompts, and the answers to learn.
        weights: those parameters of the model that learn.
        steps: of Adam.
        lr: its learning rate.
        average: what the loss is the mean over.
        stop_below: the loss, in nats, below which no step is taken any more.
        copies: whether float32 copies are trained in place of weights of less precision, by passes
            in float32.
        penalty: what is added to the loss; nothing by default.
        after_step: called after each step with how many were done.
    """
    encoded, labels = lm.encode_pairs(pairs)
    parts = row_slices(encoded["attention_mask"].sum(1).tolist(), PASS_TOKENS)
    shares = _shares(labels, parts, average)
    trunk_of(lm, encoded["input_ids"][0].tolist())  # tried before the passes are in float32
    with master_weights(weights, copies=copies) as masters:
        optimizer = torch.optim.Adam(masters.tensors, lr=lr)
        for steps_done in iterations(range(1, steps + 1)):
            optimizer.zero_grad()
            loss = torch.zeros((), device=lm.device)
            for rows, share in zip(parts, shares, strict=True):
                with masters.passes(lm.model):
                    losses, counted = label_losses(lm, *_rows(encoded, labels, rows))
                part_loss = share * answer_loss(losses, counted, average)
                part_loss.backward()
                loss += part_loss.detach()
            if penalty is not None:
                penalty_loss = penalty()
                penalty_loss.backward()
                loss += penalty_loss.detach()
            # nothing is compared where nothing is asked for: on a GPU it would wait for the loss
            if stop_below > 0 and loss.item() < stop_below:
                break
            optimizer.step()
            masters.round()
            after_step(steps_done)


def _rows(encoded: BatchEncoding, labels: Tensor, rows: slice) -> tuple[BatchEncoding, Tensor]:
    """Return some rows of a batch, without the columns that are padding in all of them."""
    real = encoded["attention_mask"][rows].any(0).nonzero()
    # padding stands on the right
    width = int(real[-1]) + 1
    part = {key: value[rows, :width] for key, value in encoded.items()}
    return BatchEncoding(part), labels[rows, :width]


def _shares(labels: Tensor, parts: Sequence[slice], average: Average) -> list[float]:
    """Return how much the mean loss of each part counts in that of all: they add up to 1."""
    counted = labels[:, 1:] != -100
    sizes = [
        int(counted[rows].sum()) if average == "tokens" else len(labels[rows]) for rows in parts
    ]
    return [size / sum(sizes) for size in sizes]


def answer_loss(losses: Tensor, counted: Tensor, average: Average) -> Tensor:
    """Return the mean of losses over tokens, or over edits of the means over each one's tokens.

    Args:
        losses: (edits, tokens), in nats; 0 where a token does not count.
        counted: (edits, tokens), whether a token counts.
        average: "tokens" or "edits".

    Example:
        >>> losses = torch.tensor([[3.0, 1.0], [5.0, 0.0]])
        >>> counted = losses > 0
        >>> [answer_loss(losses, counted, average).item() for average in ("tokens", "edits")]
        [3.0, 3.5]
    """
    if average == "tokens":
        return losses.sum() / counted.sum()
    return (losses.sum(1) / counted.sum(1)).mean()
