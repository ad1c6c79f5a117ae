"""A study in pictures, by Optuna's own functions: one HTML page that opens offline."""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence
from typing import Any

from optuna import Study, visualization

from sweeps.study.objectives import Objective

PAGE = "study.html"
_MOST = 3  # objectives that a Pareto front is drawn of


def figures(study: Study, objectives: Sequence[Objective]) -> dict[str, Any]:
    """Title -> plotly figure; a picture that these trials do not suffice for is left out."""
    names = [one.name for one in objectives]
    wanted: dict[str, Any] = {}
    if 1 < len(names) <= _MOST:
        wanted["Pareto front"] = lambda: visualization.plot_pareto_front(study, target_names=names)
    for i, name in enumerate(names):
        target: Any = None if len(names) == 1 else (lambda trial, i=i: trial.values[i])
        common = {"target": target, "target_name": name}
        if len(names) == 1:
            wanted[f"History of {name}"] = lambda c=common: visualization.plot_optimization_history(
                study, **c
            )
        wanted[f"Importance for {name}"] = lambda c=common: visualization.plot_param_importances(
            study, **c
        )
        wanted[f"Slices of {name}"] = lambda c=common: visualization.plot_slice(study, **c)
    if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        wanted["Intermediate values"] = lambda: visualization.plot_intermediate_values(study)
    drawn = {}
    for title, draw in wanted.items():
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of too few trials, or of pictures that Optuna may yet change
            try:
                drawn[title] = draw()
            except (RuntimeError, ValueError):  # too few trials, or all values equal
                continue
    return drawn


def page(title: str, said: str, drawn: dict[str, Any]) -> str:
    """One HTML page with plotly's own script in it."""
    parts, script = [], True
    for name, figure in drawn.items():
        body = figure.to_html(full_html=False, include_plotlyjs=script)
        parts.append(f"<h2>{html.escape(name)}</h2>\n{body}")
        script = False
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>\n'
        '<body style="font-family: sans-serif; max-width: 75em; margin: auto">\n'
        f"<h1>{html.escape(title)}</h1>\n<pre>{html.escape(said)}</pre>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
