"""NPO: negative preference optimization, whose ascent slows down as a text is forgotten."""

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
from interventions.unlearning.text_losses import (
    TextLoss,
    suggest_forgetting,
    text_losses,
    train_to_forget,
)


@dataclass(frozen=True)
class NPO(Intervention, category="unlearning"):
    """Push hazardous texts below what the model gave them, ever less the further they have gone.

        minimize over the weights:  -(2 / beta) mean over texts of log sigmoid(-beta r)
                                    + retain_weight L(retain)
        r = log p(text) - log p0(text),   p0: the model as it was before the step
        L = mean over tokens of -log p(token | tokens before)

    by AdamW without weight decay, ``batch`` texts to forget and ``retain_batch`` to retain a step,
    both round and round, on the weights of the last ``last_layers`` blocks; routers do not learn.
    As beta goes to 0 the first term's gradient becomes that of ascent. ``per_token`` divides r by
    the text's tokens. log p0 is taken once, before the first step: no second model is held. Memory
    is that of GA.

    Departure: the authors train all weights. Here embeddings never learn, and the final norm and
    the head with ``head=True`` alone.

    Source: Zhang et al. 2024, "Negative Preference Optimization: From Catastrophic Collapse to
    Effective Unlearning", equation 3, with the retain loss of its section 4. Full scale has the
    values for WMDP of Fan et al. 2024, "Simplicity Prevails", whose code takes r per token.

    Example:
        >>> str(NPO(beta=0.5, steps=30))
        'npo(beta=0.5, steps=30)'
    """

    lr: float = hyperparameter(1e-3, "learning rate of AdamW", paper=5e-6, above=0, high=1e3)
    beta: float = hyperparameter(
        0.05, "how soon a text counts as forgotten", paper=0.0225, above=0, high=1e6
    )
    steps: int = hyperparameter(100, "gradient steps", paper=500, low=1, high=MOST_STEPS)
    retain_weight: float = hyperparameter(
        10.0, "weight of the retain loss", paper=1.0, low=0, high=1e6
    )
    batch: int = hyperparameter(4, "texts to forget per step", low=1, high=MOST_BATCH)
    retain_batch: int = hyperparameter(
        16, "texts to retain per step", paper=4, low=1, high=MOST_BATCH
    )
    last_layers: int = hyperparameter(6, "final blocks that are trained", paper=16, low=1)
    max_tokens: int = hyperparameter(
        64, "tokens of a text that are used", paper=1024, low=2, high=MOST_TOKENS
    )
    per_token: bool = hyperparameter(
        False, "divide a text's log-probability by its tokens", paper=True
    )
    head: bool = hyperparameter(
        False, "train the final norm and the output head too (tied: the embedding with it)"
    )
    master_weights: bool = hyperparameter(True, "train float32 copies of weights of less precision")
    reads = frozenset({"forget", "retain"})
    reports = True

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model has fewer blocks."""
        check_last_layers(model, self.last_layers, "npo.last_layers")

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how fast, how long, how soon to let go, and how firmly to hold the rest."""
        return suggest_forgetting(trial, tuning_context, cls, least_beta=0.01)

    def apply(self, lm: LM, data: Data) -> LM:
        """Train the last blocks in place."""
        read = data.forget[: self.steps * self.batch]
        before = text_losses(lm, read, self.batch, self.max_tokens)

        def losses(places: Sequence[int]) -> TextLoss:
            references = before[list(places)]
            return lambda sums, tokens, part: self.loss(sums, tokens, references[part])

        train_to_forget(self, lm, data, losses)
        return lm

    def loss(self, now: Tensor, tokens: Tensor, before: Tensor) -> Tensor:
        """Return the loss of each text: the first term of the equation, (n,).

        Args:
            now: -log p of each text in nats, (n,).
            tokens: of each that count, (n,).
            before: -log p0 of each, (n,).

        Example:
            >>> NPO(beta=2.0).loss(Tensor([3.0]), Tensor([4]), Tensor([3.0]))
            tensor([0.6931])
        """
        ratio = before - now
        if self.per_token:
            ratio = ratio / tokens
        return -2 / self.beta * F.logsigmoid(-self.beta * ratio)
