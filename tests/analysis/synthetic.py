"""Runs as `tracking.query.compositions` gives them, made up, for tests of the arithmetic."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tracking.catalogue import CriterionFacts, InterventionFacts, as_tag, house_interventions

STARTED = pd.Timestamp("2026-01-01", tz="UTC")
_ids = itertools.count()


def run(steps: str, /, **columns: Any) -> dict[str, Any]:
    """One run: ``run("ft | wanda", level=0.5, edit_success=0.9)``.

    ``level``: of the step that has one. ``minutes``: after the start of the first run.
    """
    minutes = columns.pop("minutes", 0)
    level = columns.pop("level", None)
    names = [name.strip() for name in steps.split("|") if name.strip() != "none"]
    levels = {}
    for name in names:
        facts = house_interventions().get(name)
        if level is not None and facts is not None and facts.strength:
            levels[f"{name}.{facts.strength}"] = level
    return {
        "run_id": f"{next(_ids):032x}",
        "run_name": " → ".join(names) or "base model",
        "experiment_id": "1",
        "experiment": "made up",
        "status": "FINISHED",
        "start_time": STARTED + pd.Timedelta(minutes=minutes),
        "artifact_uri": "",
        "composition": steps,
        "pair": " + ".join(sorted(names)) or "none",
        **{f"step{number}": name for number, name in enumerate(names, start=1)},
        "model": "m",
        "data": "d",
        "seed": 0,
        "edit_batch": 0,
        **levels,
        **columns,
    }


def frame(runs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The newest first, as the query gives them."""
    return pd.DataFrame(list(runs)).sort_values(
        "start_time", ascending=False, kind="stable", ignore_index=True
    )


def curve(
    intervention: str,
    partner: str,
    levels: Iterable[float],
    forward: Iterable[float],
    backward: Iterable[float],
    **columns: Any,
) -> list[dict[str, Any]]:
    """Both orders of a pair at some levels.

    ``criterion`` names what the values are of, edit success by default.
    """
    criterion = columns.pop("criterion", "edit_success")
    runs = []
    for level, first, second in zip(levels, forward, backward, strict=True):
        values = ((f"{intervention} | {partner}", first), (f"{partner} | {intervention}", second))
        runs += [run(steps, level=level, **{criterion: v}, **columns) for steps, v in values]
    return runs


def third_party(**columns: Any) -> dict[str, Any]:
    """Tags of an intervention and a criterion that only the runs describe, and more columns."""
    shrink = InterventionFacts("Shrink", "compression", "ratio")
    return {
        "about_interventions": as_tag({"shrink": shrink}),
        "about_criteria": as_tag({"toxicity": CriterionFacts("lower", "share")}),
        **columns,
    }


def only(points: pd.DataFrame) -> Any:
    """The single row."""
    assert len(points) == 1
    return points.iloc[0]
