"""Tables of effects: means with intervals over batches of edits, and which levels differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from interventions.base import make
from interventions.composition import Composition
from interventions.criteria.base import Scores

# criterion -> the head of its column
COLUMNS = {
    "edit_success": "edit success",
    "edit_generalization": "generalization",
    "edit_locality": "locality",
    "edit_preservation": "preservation",
    "edit_portability": "portability",
    "facts_exact": "facts",
    "wmdp": "wmdp ↓",
    "mmlu": "mmlu",
    "wikitext_ppl": "perplexity ↓",
    "average_bits": "bits ↓",
    "sparsity": "sparsity",
}
LEAST = 0.03  # a difference below which two levels are not told apart, whatever its error
ERRORS = 2  # standard errors that a difference has to be of
_FORMATS = {"wikitext_ppl": ".3g", "average_bits": ".1f"}
# it is the level itself that these measure
_OF_THE_LEVEL = ("average_bits", "sparsity")
_COVERED = 0.95


@dataclass(frozen=True)
class Effect:
    """What one composition alone does.

    Attributes:
        spec: the composition.
        seconds: of processor time, of each application; one where it is the same for all batches.
        scores: criterion -> its scores on each batch; the same object on two batches where what it
            is measured on, and the model, are the same.
    """

    spec: str
    seconds: tuple[float, ...]
    scores: Mapping[str, tuple[Scores, ...]]

    def values(self, criterion: str) -> list[float]:
        """Return a criterion's values, one per batch on which it could differ."""
        distinct = {id(scores): scores.value for scores in self.scores[criterion]}
        return list(distinct.values())


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % t interval; NaN for fewer than two values.

    Example:
        >>> mean, half = mean_and_half_width([0.0, 1.0, 2.0])
        >>> mean, round(half, 3)
        (1.0, 2.484)
    """
    count = len(values)
    if count < 2 or not all(map(math.isfinite, values)):
        return float(np.mean(values)), math.nan
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return float(np.mean(values)), float(stats.t.ppf((1 + _COVERED) / 2, count - 1)) * error


def effects_table(effects: Iterable[Effect]) -> list[str]:
    """Return the lines of the table of effects, as Markdown."""
    effects = list(effects)
    names = [name for name in COLUMNS if all(name in effect.scores for effect in effects)]
    lines = [
        f"| alone | {' | '.join(COLUMNS[name] for name in names)} | seconds |",
        f"|---|{'---|' * (len(names) + 1)}",
    ]
    for effect in effects:
        cells = [_cell(name, effect.values(name)) for name in names]
        seconds = sum(effect.seconds) / len(effect.seconds)
        lines.append(f"| `{effect.spec}` | {' | '.join(cells)} | {seconds:.1f} |")
    return lines


def _cell(name: str, values: Sequence[float]) -> str:
    mean, half = mean_and_half_width(values)
    if math.isinf(mean):
        return "inf"
    text = format(mean, _FORMATS.get(name, ".2f"))
    if math.isnan(half) or name in _OF_THE_LEVEL:
        return text
    return f"{text} ± {format(half, '.2g' if name in _FORMATS else '.2f')}"


@dataclass(frozen=True)
class Difference:
    """A criterion at one level, less that at the next weaker one.

    Attributes:
        criterion: its name.
        mean: of the difference: over batches of edits where the criterion depends on them, else
            over items; of perplexity, that of its logarithm.
        error: the standard error of the mean; NaN where there is one batch.
    """

    criterion: str
    mean: float
    error: float

    @property
    def tells(self) -> bool:
        """Whether the two levels are told apart."""
        if math.isinf(self.mean):
            return True
        # of one batch the error is not known, and NaN is not less than anything
        return abs(self.mean) >= LEAST and ERRORS * self.error <= abs(self.mean)

    def __str__(self) -> str:
        return f"{COLUMNS[self.criterion].removesuffix(' ↓')} {self.mean:+.2f} ± {self.error:.2f}"


def differences(first: Effect, second: Effect) -> list[Difference]:
    """Return how the second effect differs from the first, in every criterion that may tell."""
    names = [name for name in COLUMNS if name in first.scores and name in second.scores]
    return [_difference(name, first, second) for name in names if name not in _OF_THE_LEVEL]


def _difference(name: str, first: Effect, second: Effect) -> Difference:
    if len(first.values(name)) > 1 or len(second.values(name)) > 1:
        pairs = zip(first.scores[name], second.scores[name], strict=True)
        values = [after.value - before.value for before, after in pairs]
    else:
        before, after = first.scores[name][0], second.scores[name][0]
        values = [after.items[item] - score for item, score in before.items.items()]
    if not all(map(math.isfinite, values)):
        # where both are infinite there is nothing to tell
        same = first.scores[name][0].value == second.scores[name][0].value
        return Difference(name, 0.0 if same else math.inf, math.nan)
    count = len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return Difference(name, float(np.mean(values)), error)


def neighbours_table(effects: Iterable[Effect]) -> list[str]:
    """Return the lines that say of each two neighbouring levels of a method what tells them apart.

    As Markdown. The levels of a method are those of the field that a sweep turns, all else by
    default.
    """
    by_method: dict[str, list[tuple[float, Effect]]] = {}
    for effect in effects:
        for step in Composition.parse(effect.spec):
            level: Any = getattr(step, step.strength) if step.strength else None
            # with another setting it is no neighbour
            if level is not None and step == make(step.name, **{str(step.strength): level}):
                by_method.setdefault(step.name, []).append((float(level), effect))
    lines = ["| method | levels | told apart by |", "|---|---|---|"]
    for method, levels in by_method.items():
        levels.sort(key=lambda entry: entry[0])
        for (low, first), (high, second) in pairwise(levels):
            told = [str(each) for each in differences(first, second) if each.tells]
            lines.append(f"| `{method}` | {low:g}, {high:g} | {', '.join(told) or 'nothing'} |")
    return lines
