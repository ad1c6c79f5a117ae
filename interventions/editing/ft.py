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
    """Fine-tune the MLP down-projections of given layers on the new answers, all edits of a batch at once.

    minimize  -log p(target | prompt)  per target token, by Adam without weight decay.

    Source: the FT baseline of Meng et al. 2022, "Mass-Editing Memory in a Transformer", as set in the paper, section C.
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
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """Where, how fast, how long."""
        return {
            "layers": consecutive(trial, room),
            "lr": room.around(trial, cls, "lr", 10, 10),
            "steps": room.around(trial, cls, "steps", 4, 2),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train in float32 and cast back."""
        weights = [down_projection(blocks(lm.model)[layer]).weight for layer in self.layers]
        pairs = [(edit.prompt, f" {edit.target}") for edit in data.edits]
        fit(lm, pairs, weights, self.steps, self.lr, lambda done: report(self, done, lm))
        return lm


def fit(
    lm: LM,
    pairs: list[tuple[str, str]],
    weights: list[torch.Tensor],
    steps: int,
    lr: float,
    trained: Callable[[int], None] = lambda done: None,
) -> None:
    """Train ``weights`` on the answers of (prompt, answer); the loss is the mean over answer tokens.

    Args:
        lm: the model, changed in place.
        pairs: prompts, and what is to be answered.
        weights: what learns.
        steps: of Adam.
        lr: its learning rate.
        trained: called after each step with how many were done.
    """
    encoded, labels = lm.encode_pairs(pairs)
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, lr=lr)
    for done in range(1, steps + 1):
        losses, counted = lm.token_losses(encoded, labels)
        loss = losses.sum() / counted.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trained(done)
    for weight in weights:
        weight.requires_grad_(False)
