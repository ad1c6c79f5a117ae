"""Both orders of one pair side by side: what each led to, and what tests say of the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException

from analysis import labels
from analysis.compared_merges import ComparedMerge, compared_merges
from analysis.inference.confidence import CONFIDENCE
from analysis.inference.intervals import intervals
from analysis.inference.recommend import MOST_ITEM_RUNS, advise
from analysis.labels import Labels
from analysis.metrics.columns import VARIANT
from analysis.metrics.composability import point
from analysis.metrics.measures import complete
from analysis.pair_links import level_views, pair_links
from analysis.report.claims import with_claims
from analysis.report.merges import merges_of_pairs
from interventions.errors import InvalidInput, shown
from tracking import query, schema, store
from tracking.catalogue import Catalogue
from tracking.saved_views import SavedView

_NAMES = " + "  # between the interventions of a pair
_MOST_KNOWN = 150  # characters of what there is


@dataclass(frozen=True)
class ComparedCriterion:
    """One criterion in both orders, after all steps.

    Attributes:
        name: of the criterion.
        better: "higher", "lower" or "neither".
        forward: its value in the first order, the mean over ``replicates``.
        backward: in the second.
        gain: how much better the first order is; NaN where neither direction is.
        low: lower end of the gain's interval; NaN where nothing is known.
        high: its upper end.
        basis: what the interval is over: "edit batches", "this batch only", …; "" for nothing.
        p_holm: of no difference, corrected over the pair's claims; NaN where nothing is tested.
        differs: whether it may be said that the orders differ.
    """

    name: str
    better: str
    forward: float
    backward: float
    gain: float
    low: float
    high: float
    basis: str
    p_holm: float
    differs: bool


@dataclass(frozen=True)
class ComparedLevel:
    """Both orders at one level of one setting.

    Attributes:
        title: the level, and the setting where there are several.
        forward: the first order, as "lora → wanda".
        backward: the second.
        forward_runs: ids of the runs of the first order, those that both have of seed and batch.
        backward_runs: of the second.
        replicates: how many seeds and edit batches both orders have.
        criteria: in their usual order.
    """

    title: str
    forward: str
    backward: str
    forward_runs: tuple[str, ...]
    backward_runs: tuple[str, ...]
    replicates: int
    criteria: tuple[ComparedCriterion, ...]


@dataclass(frozen=True)
class Comparison:
    """Both orders of one pair.

    Attributes:
        pair: "lora + wanda".
        levels: at each level and setting.
        advice: what the tests say of the two orders, a text per setting.
        links: by what they lead to: "both orders in charts", "lora → wanda".
        experiment_id: where the newest run is.
        merges: of the same steps, beside both orders, where any has run with their settings.
        views: of MLflow's runs page, with charts of a level's runs, by what a link to them is
            called; nobody has saved them yet.
    """

    pair: str
    levels: tuple[ComparedLevel, ...]
    advice: tuple[str, ...]
    links: Mapping[str, str]
    experiment_id: str = ""
    merges: tuple[ComparedMerge, ...] = ()
    views: Mapping[str, SavedView] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; what is not finite as text."""
        return {
            "pair": self.pair,
            "levels": [
                {
                    "title": level.title,
                    "forward": {"order": level.forward, "run_ids": list(level.forward_runs)},
                    "backward": {"order": level.backward, "run_ids": list(level.backward_runs)},
                    "replicates": level.replicates,
                    "criteria": {row.name: _numbers(row) for row in level.criteria},
                }
                for level in self.levels
            ],
            "merges": [merge.as_json() for merge in self.merges],
            "advice": list(self.advice),
            "links": dict(self.links),
        }


def compare_pair(pair: str, experiment: str, ui: str) -> Comparison:
    """Compare the orders of a pair over all finished runs of an experiment.

    Args:
        pair: "lora + wanda", either way round.
        experiment: where the runs are.
        ui: address of MLflow's UI, for links.

    Raises:
        InvalidInput: there is no such experiment or pair, or one order alone has run.
    """
    name = schema.pair_name(part.strip() for part in pair.split("+"))
    runs = query.compositions(experiment, "attributes.status = 'FINISHED'")
    of_pair = runs[runs.pair == name] if len(runs) else runs
    if of_pair.empty:
        pairs = sorted({str(text) for text in runs.pair if _NAMES in text}) if len(runs) else []
        raise InvalidInput(
            f"no finished run of {shown(experiment, 60)} is of the pair {shown(name, 60)}; there"
            f" are: {', '.join(pairs)[:_MOST_KNOWN] or 'none'}"
        )
    merges = merges_of_pairs(runs)
    of_merges = runs.loc[merges[merges.merged_pair == name].index]
    return _compare(of_pair.reset_index(drop=True), name, ui, of_merges)


def compare_runs(first: str, second: str, ui: str) -> Comparison:
    """Compare two runs, which are the two orders of one pair.

    Args:
        first: id of one.
        second: id of the other.
        ui: address of MLflow's UI, for links.

    Raises:
        InvalidInput: there is no such run, it has not finished, or the two differ in more than the
            order of their steps; says in what.
    """
    runs = pd.concat([_run(first), _run(second)], ignore_index=True)
    _check_same_steps(runs)
    try:
        return _compare(runs, str(runs.pair.unique().item()), ui)
    except InvalidInput as error:
        differing = _differing_settings(runs)
        if not differing:
            raise
        raise InvalidInput(
            f"the runs differ in more than the order of their steps: {', '.join(differing[:4])}"
        ) from error


def _run(run_id: str) -> pd.DataFrame:
    """Return a run as a row of ``compositions``."""
    store.check_reachable(writing=False)
    client = store.client()
    try:
        run = client.get_run(run_id)
        experiment = client.get_experiment(run.info.experiment_id).name
    except MlflowException as error:
        raise InvalidInput(
            f"no run has the id {shown(run_id, 100)} in {store.shown_address()[:150]}"
        ) from error
    started = f"attributes.start_time = {run.info.start_time}"
    runs = query.compositions(experiment, started)
    row = runs[runs.run_id == run_id] if len(runs) else runs
    if row.empty:
        raise InvalidInput(f"run {shown(run_id, 60)} is no composition")
    if run.info.status != "FINISHED":
        raise InvalidInput(f"run {run_id} is {run.info.status}; runs that FINISHED are compared")
    return row


def _check_same_steps(runs: pd.DataFrame) -> None:
    """Check that two runs are two orders of the same steps."""
    steps = [schema.split_steps(str(text)) for text in runs.composition]
    if steps[0] == steps[1]:
        raise InvalidInput(f"both runs are of {shown(runs.composition[0], 100)}: the same order")
    if sorted(steps[0]) != sorted(steps[1]):
        first, second = (shown(text, 100) for text in runs.composition)
        raise InvalidInput(f"{first} and {second} are not two orders of the same steps")


def _differing_settings(runs: pd.DataFrame) -> list[str]:
    """Return the settings and hyperparameters of two runs that are not equal, with both values."""
    columns = [str(name) for name in runs]
    hyperparameters = {name for name in columns if "." in name and "/" not in name}
    names = (set(schema.SETTINGS) - query.BOOKKEEPING) | hyperparameters
    differing = []
    for name in sorted(names & set(columns)):
        first, second = (str(value)[:30] for value in runs[name])
        if first != second:
            differing.append(f"{name} ({first} and {second})")
    return differing


def _compare(
    runs: pd.DataFrame, pair: str, ui: str, merges: pd.DataFrame | None = None
) -> Comparison:
    runs = runs.sort_values("start_time", ascending=False, kind="stable", ignore_index=True)
    points = point(runs)
    whole = points[complete(points)].reset_index(drop=True)
    catalogue = Catalogue.from_runs(runs)
    with_merges = pd.concat([runs, merges], ignore_index=True) if merges is not None else runs
    items = query.items(with_merges, missing="skip") if len(with_merges) <= MOST_ITEM_RUNS else None
    compared = with_claims(intervals(runs, whole, items), catalogue, CONFIDENCE)
    several = compared.groupby([*VARIANT, "settings"]).ngroups > 1
    titles = Labels(catalogue)
    levels = [
        _level(of_point, several, list(catalogue.criteria))
        for _, of_point in compared.groupby("point")
    ]
    advice = [pair_advice.words for _, pair_advice in advise(runs, points, titles, items)]
    third_answers = compared_merges(with_merges, items, list(catalogue.criteria))
    if len(with_merges) > len(runs) and not third_answers:
        advice.append(
            f"{labels.counted(len(with_merges) - len(runs), 'merge')} of this pair ran with other"
            " settings or hyperparameters than its orders, and cannot be compared with them."
        )
    return Comparison(
        pair,
        tuple(levels),
        tuple(advice),
        pair_links(runs, pair, levels, ui),
        str(runs.experiment_id.iloc[0]),
        third_answers,
        level_views(runs, pair, levels),
    )


def _level(points: pd.DataFrame, several: bool, order: Sequence[str]) -> ComparedLevel:
    first = points.iloc[0]
    level = labels.levels_text(str(first.strength), [first.level]) if first.strength else ""
    variants = [str(first[name]) for name in VARIANT] if several else []
    title = "; ".join(dict.fromkeys(filter(None, [level, *variants])))
    places = {name: place for place, name in enumerate(order)}
    rows: Any = points.sort_values("criterion", key=lambda names: names.map(places)).itertuples()
    names = (str(first.intervention), str(first.partner))
    return ComparedLevel(
        title=title,
        forward=labels.ARROW.join(names),
        backward=labels.ARROW.join(reversed(names)),
        forward_runs=tuple(first.forward_runs),
        backward_runs=tuple(first.backward_runs),
        replicates=int(points.replicates.max()),
        criteria=tuple(
            ComparedCriterion(
                name=row.criterion,
                better=row.better,
                forward=float(row.forward),
                backward=float(row.backward),
                gain=float(row.gain),
                low=float(row.gain_low),
                high=float(row.gain_high),
                basis=str(row.basis),
                p_holm=float(row.p_holm),
                differs=bool(row.differs),
            )
            for row in rows
        ),
    )


def _numbers(criterion: ComparedCriterion) -> dict[str, Any]:
    values = {name: getattr(criterion, name) for name in ComparedCriterion.__annotations__}
    del values["name"]
    return {
        name: schema.json_number(value) if isinstance(value, float) else value
        for name, value in values.items()
    }
