"""SimNPO: NPO without a reference model, by the mean log-probability of a text's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from interventions.base import Intervention
from interventions.data.base import Data
from interventions.hyperparameters import MOST_BATCH, MOST_STEPS, MOST_TOKENS, hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext
from interventions.unlearning.ga import check_last_layers
from interventions.unlearning.text_losses import TextLoss, suggest_forgetting, train_to_forget


@dataclass(frozen=True)
class SimNPO(Intervention, category="unlearning"):
    """Make hazardous texts unlikely, ever less the less likely their tokens have become.

        minimize over the weights:  -(2 / beta) mean over texts of
                                    log sigmoid(-(beta / tokens) log p(text) - margin)
                                    + retain_weight L(retain)
        L = mean over tokens of -log p(token | tokens before)

    by AdamW without weight decay, ``batch`` texts to forget and ``retain_batch`` to retain a step,
    both round and round, on the weights of the last ``last_layers`` blocks; routers do not learn.
    Memory is that of GA.

    Departure: the authors train all weights. Here embeddings never learn, and the final norm and
    the head with ``head=True`` alone.

    Source: Fan et al. 2024, "Simplicity Prevails: Rethinking Negative Preference Optimization for
    LLM Unlearning", equation 4, with its retain loss; margin is its gamma. Full scale has the
    values of its code for WMDP (0.1 and 9.5e-6; its published model says 5.5 and 4e-6).

    Example:
        >>> str(SimNPO(beta=4.5, margin=0.125))
        'simnpo(beta=4.5, margin=0.125)'
    """

    lr: float = hyperparameter(1e-3, "learning rate of AdamW", paper=9.5e-6, above=0, high=1e3)
    beta: float = hyperparameter(
        0.5, "how soon a text counts as forgotten", paper=0.1, above=0, high=1e6
    )
    margin: float = hyperparameter(
        0.0, "how much further to go: gamma of the equation", low=-1e6, high=1e6
    )
    steps: int = hyperparameter(90, "gradient steps", paper=500, low=1, high=MOST_STEPS)
    retain_weight: float = hyperparameter(
        1.5, "weight of the retain loss", paper=1.0, low=0, high=1e6
    )
    batch: int = hyperparameter(4, "texts to forget per step", low=1, high=MOST_BATCH)
    retain_batch: int = hyperparameter(
        16, "texts to retain per step", paper=4, low=1, high=MOST_BATCH
    )
    last_layers: int = hyperparameter(6, "final blocks that are trained", paper=16, low=1)
    max_tokens: int = hyperparameter(
        64, "tokens of a text that are used", paper=1024, low=2, high=MOST_TOKENS
    )
    head: bool = hyperparameter(
        False, "train the final norm and the output head too (tied: the embedding with it)"
    )
    master_weights: bool = hyperparameter(True, "train float32 copies of weights of less precision")
    reads = frozenset({"forget", "retain"})
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model has fewer blocks."""
        check_last_layers(model, self.last_layers, "simnpo.last_layers")

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how fast, how long, how soon to let go, and how firmly to hold the rest."""
        return suggest_forgetting(trial, tuning_context, cls, least_beta=0.05)

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the last blocks in place."""

        def losses(places: Sequence[int]) -> TextLoss:
            return lambda sums, tokens, part: self.loss(sums, tokens)

        train_to_forget(self, lm, data, losses)
        return lm

    def loss(self, now: Tensor, tokens: Tensor) -> Tensor:
        """Return the loss of each text: the first term of the equation, (n,).

        Args:
            now: -log p of each text in nats, (n,).
            tokens: of each that count, (n,).

        Example:
            >>> SimNPO(beta=1.0).loss(Tensor([0.0]), Tensor([4]))  # log 4
            tensor([1.3863])
        """
        return -2 / self.beta * F.logsigmoid(self.beta * now / tokens - self.margin)
