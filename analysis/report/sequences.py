"""Sequences of three and more interventions: all orders of one set of steps, side by side.

Three questions, each answered by a paired t test over replicates (batches of edits, seeds) that all
orders have: does it matter where an intervention stands; does one order beat every other; and does
an order of two steps that was measured for the pair alone hold within the sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.corrections import holm
from analysis.labels import ARROW
from analysis.metrics.align import finished
from analysis.metrics.columns import REPLICATE
from analysis.metrics.repeats import without_repeats
from analysis.metrics.settings import settings_of
from analysis.metrics.usable import as_numbers, usable
from analysis.report.paired import PairedTest, paired_test
from tracking import schema
from tracking.catalogue import Catalogue

LEVEL = 0.05  # of the tests, corrected over all sequences
_FEWEST_STEPS = 3  # two are a pair


@dataclass(frozen=True)
class SequenceTest:
    """One question about the orders of a set of steps.

    Attributes:
        steps: the set, as text.
        criterion: that the effect is of.
        question: "position", "best order" or "pair".
        subject: which intervention, order or pair of steps it is about.
        predicted: the gain that the pair alone has; NaN where that is no question or not known.
        test: of the effect, in the good direction of the criterion.
        p_holm: corrected over all questions; NaN where it was not tested.
        runs: ids of the runs.
    """

    steps: str
    criterion: str
    question: str
    subject: str
    predicted: float
    test: PairedTest
    p_holm: float = np.nan
    runs: tuple[str, ...] = ()


def sequence_tests(
    runs: pd.DataFrame, criteria: dict[str, str], points: pd.DataFrame
) -> list[SequenceTest]:
    """Return what can be asked of every set of three and more steps that was run in several orders.

    Args:
        runs: rows of ``tracking.query.compositions``.
        criteria: of claims, each with the category that it judges.
        points: rows of ``intervals``, of the pairs alone.
    """
    readable, _ = usable(runs)
    catalogue = Catalogue.from_runs(readable)
    ended = finished(as_numbers(readable, catalogue))
    if not len(ended) or "composition" not in ended:
        return []
    specs = ended.composition.map(lambda text: schema.split_steps(str(text)))
    is_long = specs.map(lambda steps: len(steps) >= _FEWEST_STEPS and len(set(steps)) == len(steps))
    long = ended[is_long.astype(bool)]
    if not len(long):
        return []
    long = long.assign(steps=specs[long.index].map(lambda steps: " + ".join(sorted(steps))))
    settings = [name for name in settings_of(long, catalogue) if "." not in name]
    keys = long[[*settings, "steps"]].fillna("").astype(str)
    hyperparameters = [name for name in map(str, readable) if "." in name]
    set_up = readable.set_index("run_id")[[*settings, *hyperparameters]].astype(object)
    predictor = _Predictor(points, set_up.where(set_up.notna(), "").astype(str), settings)
    tests: list[SequenceTest] = []
    for _, group in long.groupby([keys[name] for name in keys], sort=False):
        for name in criteria:
            better = catalogue.criteria[name].better
            if name in group and group[name].notna().any():
                tests += _tests_of_set(group, name, 1.0 if better == "higher" else -1.0, predictor)
    corrected = holm(np.array([entry.test.p for entry in tests], float))
    return [
        SequenceTest(**{**vars(entry), "p_holm": float(p_holm)})
        for entry, p_holm in zip(tests, corrected, strict=True)
    ]


@dataclass(frozen=True)
class _Predictor:
    """Gains of pairs that were run alone.

    Attributes:
        points: rows of ``intervals``, of the pairs.
        set_up: settings and hyperparameters of every run as text, by the run's id.
        settings: the columns of ``set_up`` that are no hyperparameters.
    """

    points: pd.DataFrame
    set_up: pd.DataFrame
    settings: list[str]

    def gain(
        self, pair: tuple[str, str], sequence: list[str], criterion: str, run_id: str
    ) -> float:
        """Return what the first of two steps gains by standing before the second.

        NaN where the pair was not run alone with the sequence's settings, and where a method of it
        stands in the sequence twice: which of the hyperparameters are whose is not looked up.

        Args:
            pair: two steps with their hyperparameters, as text.
            sequence: all steps, likewise.
            criterion: that the gain is of.
            run_id: of a run of the sequence. The pair's settings, and the hyperparameters of both
                steps, must be that run's.
        """
        methods = [_method(spec) for spec in sequence]
        names = [_method(spec) for spec in pair]
        if any(methods.count(name) > 1 for name in names):
            return np.nan
        of_steps = [name for name in map(str, self.set_up) if name.partition(".")[0] in names]
        columns = [*self.settings, *of_steps]
        wanted = self.set_up.loc[run_id, columns]
        measured = self.points[self.points.criterion == criterion]
        for sign, (intervention, partner) in ((1, names), (-1, names[::-1])):
            is_pair = (measured.intervention == intervention) & (measured.partner == partner)
            rows = measured[is_pair]
            for gain, run_ids in zip(rows.gain, rows.forward_runs, strict=True):
                if run_ids and self.set_up.loc[run_ids[0], columns].equals(wanted):
                    return float(sign * gain)
        return np.nan


def _method(spec: str) -> str:
    return spec.partition("(")[0]


def _tests_of_set(
    runs: pd.DataFrame, criterion: str, sign: float, predictor: _Predictor
) -> Iterator[SequenceTest]:
    """Yield the tests of one set of steps and one criterion."""
    replicates = [name for name in REPLICATE if name in runs]
    once = without_repeats(runs, ["composition", *replicates], [criterion])
    wide = once.pivot_table(
        index=replicates or once.steps, columns="composition", values=criterion, dropna=False
    ).dropna()
    # replicates that are equal in every order have equal weights: they are one
    wide = wide.round(12).drop_duplicates()
    orders = [schema.split_steps(str(name)) for name in wide.columns]
    values = sign * wide.to_numpy(float)  # (replicates, orders)
    if len(orders) < 2 or not len(values):
        return
    about: dict[str, Any] = {
        "steps": str(runs.steps.iloc[0]),
        "criterion": criterion,
        "runs": tuple(once.run_id),
    }
    for subject, differences in _position_effects(orders, values):
        yield SequenceTest(
            question="position", subject=subject, predicted=np.nan, test=paired_test(differences),
            **about,
        )  # fmt: skip
    best, lead = _best_order(orders, values)
    yield SequenceTest(question="best order", subject=best, predicted=np.nan, test=lead, **about)
    for first, second, differences in _pair_effects(orders, values):
        yield SequenceTest(
            question="pair",
            subject=f"{first}{ARROW}{second}",
            predicted=predictor.gain((first, second), orders[0], criterion, once.run_id.iloc[0]),
            test=paired_test(differences),
            **about,
        )


def _position_effects(
    orders: list[list[str]], values: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each step with what it gains by standing first rather than last, per replicate."""
    for step in sorted(orders[0]):
        is_first = np.array([order[0] == step for order in orders])
        is_last = np.array([order[-1] == step for order in orders])
        if is_first.any() and is_last.any():
            yield step, values[:, is_first].mean(1) - values[:, is_last].mean(1)


def _best_order(orders: list[list[str]], values: np.ndarray) -> tuple[str, PairedTest]:
    """Return the order with the highest mean, and the test against its closest rival.

    It is chosen on all replicates together, and must beat every rival: the largest p value counts.
    """
    first = int(values.mean(0).argmax())
    tests = [
        paired_test(values[:, first] - values[:, rival])
        for rival in range(len(orders))
        if rival != first
    ]
    untested = [test for test in tests if np.isnan(test.p)]
    closest = untested[0] if untested else max(tests, key=lambda test: test.p)
    return ARROW.join(orders[first]), closest


def _pair_effects(
    orders: list[list[str]], values: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield two steps with what the first gains by standing before the other, per replicate."""
    for first, second in combinations(sorted(orders[0]), 2):
        is_before = np.array([order.index(first) < order.index(second) for order in orders])
        if is_before.any() and not is_before.all():
            yield first, second, values[:, is_before].mean(1) - values[:, ~is_before].mean(1)
