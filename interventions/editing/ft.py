"""FT: fine-tuning of a few MLP down-projections on the new answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from interventions.anatomy import blocks, check_layers, down_projection
from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext, consecutive


@dataclass(frozen=True)
class FT(Intervention, category="editing"):
    """Fine-tune the MLP down-projections of given layers on the new answers of a batch of edits.

        minimize over the weights:  mean over target tokens of -log p(token | prompt, tokens before)

    by Adam without weight decay, on all edits of the batch at once. Nothing holds the weights near
    what they were, as in the paper.

    Source: the FT baseline of Meng et al. 2023, "Mass-Editing Memory in a Transformer", as set in
    the paper, section C.

    Example:
        >>> str(FT(layers=(1, 2), steps=10))
        'ft(layers=(1, 2), steps=10)'
    """

    layers: tuple[int, ...] = hyperparameter(
        (3, 4, 5), "blocks whose down-projection is trained", paper=(4, 5, 6, 7, 8)
    )
    steps: int = hyperparameter(40, "gradient steps", paper=25, low=1)
    lr: float = hyperparameter(3e-3, "learning rate of Adam", paper=1e-5, above=0)
    reads = frozenset({"edits"})
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks a layer, or one is named twice."""
        check_layers(model, self.layers, "ft.layers")

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest where to train, how fast, and how long."""
        return {
            "layers": consecutive(trial, tuning_context),
            "lr": tuning_context.around(trial, cls, "lr", 10, 10),
            "steps": tuning_context.around(trial, cls, "steps", 4, 2),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the down-projections in place, in their dtype."""
        weights = [down_projection(blocks(lm.model)[layer]).weight for layer in self.layers]
        pairs = [(edit.prompt, f" {edit.target}") for edit in data.edits]
        train_on_answers(
            lm,
            pairs,
            weights,
            steps=self.steps,
            lr=self.lr,
            after_step=lambda steps_done: report(self, steps_done, lm),
        )
        return lm


def train_on_answers(
    lm: LM,
    pairs: list[tuple[str, str]],
    weights: list[torch.Tensor],
    *,
    steps: int,
    lr: float,
    after_step: Callable[[int], None] = lambda steps_done: None,
) -> None:
    """Train weights on the answers of (prompt, answer) pairs; the loss is the mean over tokens.

    Args:
        lm: the model, changed in place.
        pairs: prompts, and the answers to learn.
        weights: those parameters of the model that learn.
        steps: of Adam.
        lr: its learning rate.
        after_step: called after each step with how many were done.
    """
    encoded, labels = lm.encode_pairs(pairs)
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, lr=lr)
    for steps_done in range(1, steps + 1):
        losses, counted = lm.token_losses(encoded, labels)
        # per token, not per edit: an edit with a long answer weighs more
        loss = losses.sum() / counted.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after_step(steps_done)
    for weight in weights:
        weight.requires_grad_(False)
