"""A study in pictures, by Optuna's own functions: one HTML page that opens offline."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from optuna import Study, visualization
from optuna.trial import FrozenTrial

from sweeps.study.objectives import Objective

PAGE = "study.html"
_TEMPLATE = Path(__file__).with_name("study.html.j2")
_FRONT_AXES = 3  # more objectives than these make no picture of a Pareto front

Target = Callable[[FrozenTrial], float]


def draw_figures(study: Study, objectives: Sequence[Objective]) -> dict[str, Any]:
    """Return title -> plotly figure; a picture for which the trials do not suffice is left out."""
    drawn = {}
    for title, draw in _pictures(study, objectives).items():
        with warnings.catch_warnings():
            # of too few trials, or of pictures that Optuna may yet change
            warnings.simplefilter("ignore")
            try:
                drawn[title] = draw()
            except (RuntimeError, ValueError):  # too few trials, or all values equal
                continue
    return drawn


def _pictures(study: Study, objectives: Sequence[Objective]) -> dict[str, Callable[[], Any]]:
    """Return title -> function that draws the picture."""
    names = [objective.name for objective in objectives]
    is_single = len(names) == 1
    pictures: dict[str, Callable[[], Any]] = {}
    if 1 < len(names) <= _FRONT_AXES:
        pictures["Pareto front"] = partial(
            visualization.plot_pareto_front, study, target_names=names
        )
    for objective_index, name in enumerate(names):
        target = None if is_single else _target(objective_index)
        options: dict[str, Any] = {"target": target, "target_name": name}
        if is_single:
            pictures[f"History of {name}"] = partial(
                visualization.plot_optimization_history, study, **options
            )
        pictures[f"Importance for {name}"] = partial(
            visualization.plot_param_importances, study, **options
        )
        pictures[f"Slices of {name}"] = partial(visualization.plot_slice, study, **options)
    if any(trial.intermediate_values for trial in study.trials):
        pictures["Intermediate values"] = partial(visualization.plot_intermediate_values, study)
    return pictures


def _target(objective_index: int) -> Target:
    return lambda trial: float(trial.values[objective_index])


def render_page(title: str, words: str, figures: Mapping[str, Any]) -> str:
    """Return one HTML page with plotly's own script in it.

    Args:
        title: of the page.
        words: what came of the study, in lines.
        figures: title -> plotly figure.
    """
    environment = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string(_TEMPLATE.read_text())
    embedded: list[tuple[str, Markup]] = []
    for name, figure in figures.items():
        # the first brings the script, megabytes of it
        html = figure.to_html(full_html=False, include_plotlyjs=not embedded)
        embedded.append((name, Markup(html)))
    return template.render(title=title, words=words, figures=embedded)
