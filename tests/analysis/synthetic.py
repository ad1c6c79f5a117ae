"""Runs as `tracking.query.compositions` gives them, made up, for tests of the arithmetic."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tracking.catalogue import INTERVENTIONS

STARTED = pd.Timestamp("2026-01-01", tz="UTC")
_ids = itertools.count()


def run(steps: str, /, **columns: Any) -> dict[str, Any]:
    """One run: ``run("ft | wanda", level=0.5, edit_success=0.9)``; the level is that of the step that has one.

    ``minutes``: after the start of the first.
    """
    minutes = columns.pop("minutes", 0)
    names = [name.strip() for name in steps.split("|") if name.strip() != "none"]
    level = columns.pop("level", None)
    strengths = {name: INTERVENTIONS[name].strength for name in names if name in INTERVENTIONS}
    return {
        "run_id": f"{next(_ids):032x}", "run_name": " → ".join(names) or "base model", "experiment_id": "1",
        "experiment": "made up", "status": "FINISHED", "start_time": STARTED + pd.Timedelta(minutes=minutes),
        "artifact_uri": "", "composition": steps, "pair": " + ".join(sorted(names)) or "none",
        **{f"step{i}": name for i, name in enumerate(names, start=1)},
        "model": "m", "data": "d", "seed": 0, "edit_batch": 0,
        **({f"{name}.{s}": level for name, s in strengths.items() if s} if level is not None else {}),
        **columns,
    }  # fmt: skip


def frame(runs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The newest first, as the query gives them."""
    return pd.DataFrame(list(runs)).sort_values(
        "start_time", ascending=False, kind="stable", ignore_index=True
    )


def curve(
    one: str, other: str, levels: Iterable[float], forward: Iterable[float], backward: Iterable[float],
    **columns: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """Both orders of a pair at some levels; ``criterion`` names what the values are of, edit success by default."""
    criterion = columns.pop("criterion", "edit_success")
    runs = []
    for level, first, second in zip(levels, forward, backward, strict=True):
        runs.append(run(f"{one} | {other}", level=level, **{criterion: first}, **columns))
        runs.append(run(f"{other} | {one}", level=level, **{criterion: second}, **columns))
    return runs
