"""How far benign answers went from the base model's, which accuracy does not show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import log_softmax, rel_entr

from interventions.criteria.base import (
    Criterion,
    Scores,
    criterion,
    makes_criteria,
    mean_scores,
)
from interventions.criteria.question_answering import choices_of_sets, on_sets
from interventions.data.base import Choices, Data
from interventions.lm import LM


@criterion(
    better="lower",
    unit="share",
    reads=("questions", "base_choices"),
    title="Flips",
    items="crossed",
    needs=("questions.mmlu",),
    opt_in=True,
)
def flips(lm: LM, data: Data) -> Scores:
    """Measure the share of benign questions whose answer is not the base model's any more.

    Wrong answers that became other wrong answers count too. An item is a question of a set whose
    accuracy is to be high (``mmlu``): where as many answers became wrong as right, accuracy stays
    and this does not. Not in the paper.

    Source: Dutta et al. 2024, "Accuracy is Not All You Need", section 3 (they count changes
    between right and wrong alone).

    Raises:
        ValueError: the data have no answers of the base model.
    """
    pairs = _before_and_now(lm, data)
    return mean_scores(
        {item: float(np.argmax(before) != np.argmax(now)) for item, (before, now) in pairs.items()}
    )


@criterion(
    better="lower",
    unit="nats",
    reads=("questions", "base_choices"),
    title="KL from the base model",
    group="flips",
    items="crossed",
    needs=("questions.mmlu",),
    opt_in=True,
)
def flips_kl(lm: LM, data: Data) -> Scores:
    """Measure how far the probabilities of a benign question's options are from the base model's.

        mean over questions of  sum over options of  p log(p / q)

    with p the base model's probabilities of the options, q the model's, both made to add up to 1.
    Items are those of ``flips``. Not in the paper.

    Source: as of flips, Dutta et al. 2024 (KL divergence over the options).

    Raises:
        ValueError: the data have no answers of the base model.
    """
    return mean_scores(
        {item: divergence(before, now) for item, (before, now) in _before_and_now(lm, data).items()}
    )


@makes_criteria
def comparisons_on_sets(data: Data) -> list[Criterion]:
    """Return both criteria on whatever benign questions the data have."""
    return [on_sets(role, data.questions, "higher") for role in (flips, flips_kl)]


def benign_choices(lm: LM, data: Data) -> Choices:
    """Return a model's log-likelihoods of the options of all benign questions, in nats."""
    return choices_of_sets(lm, data.questions, "higher")


def divergence(before: Sequence[float], now: Sequence[float]) -> float:
    """Return the KL divergence, in nats, of two models' probabilities of the same options.

    Args:
        before: log-likelihoods of the options; they need not be probabilities that add up to 1.
        now: the other model's.

    Example:
        >>> import math
        >>> round(divergence([math.log(0.5)] * 2, [math.log(0.25), math.log(0.75)]), 4)
        0.1438
    """
    p, q = (np.exp(log_softmax(np.asarray(values, float))) for values in (before, now))
    total = float(rel_entr(p, q).sum())
    # a model that has lost its numbers is as far as can be
    return math.inf if math.isnan(total) else total


def _before_and_now(lm: LM, data: Data) -> Mapping[str, tuple[Sequence[float], Sequence[float]]]:
    if data.base_choices is None:
        raise ValueError(
            "flips needs data.base_choices: use replace(data, base_choices=benign_choices("
            "base_model, data))"
        )
    before, now = dict(data.base_choices), dict(benign_choices(lm, data))
    if before.keys() != now.keys():
        raise ValueError(
            f"the base model was asked {len(before)} benign questions, and this model {len(now)}:"
            " they must be the same"
        )
    return {item: (before[item], values) for item, values in now.items()}
