"""The page of a study, and which pictures it has."""

import re
from typing import Any

import optuna
import plotly.graph_objects as go
import pytest
from optuna.distributions import FloatDistribution

from sweeps.study import plots
from sweeps.study.objectives import Objective
from sweeps.study.plots import render_page

OBJECTIVES = [Objective(name, "minimize") for name in "abcd"]


def study_of(objectives: int, intermediate: bool = False) -> optuna.Study:
    """Return a study of three trials, the first of which may have intermediate values."""
    study = optuna.create_study(directions=["minimize"] * objectives)
    for number in range(3):
        trial = optuna.create_trial(
            values=[float(10 * objective + number) for objective in range(objectives)],
            params={"x": number / 4},
            distributions={"x": FloatDistribution(0, 1)},
            intermediate_values={1: 0.5} if intermediate and number == 0 else {},
        )
        study.add_trial(trial)
    return study


def pictures_of(count: int, intermediate: bool = False) -> dict[str, Any]:
    return plots._pictures(study_of(count, intermediate), OBJECTIVES[:count])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_up_to_three_objectives_have_a_front_and_every_one_its_own_pictures(count: int) -> None:
    front = ["Pareto front"] if count < 4 else []
    kinds = ("Importance for", "Slices of")
    expected = [*front, *(f"{kind} {name}" for name in "abcd"[:count] for kind in kinds)]
    assert list(pictures_of(count)) == expected


def test_one_objective_has_a_history_and_intermediate_values_if_a_trial_has_any() -> None:
    expected = ["History of a", "Importance for a", "Slices of a"]
    assert list(pictures_of(1)) == expected
    assert list(pictures_of(1, intermediate=True)) == [*expected, "Intermediate values"]


@pytest.mark.parametrize(
    ("count", "title", "values"),
    [
        (1, "History of a", (0, 1, 2)),
        (1, "Slices of a", (0, 1, 2)),
        (2, "Slices of b", (10, 11, 12)),
    ],
)
def test_a_picture_shows_the_values_of_its_objective_under_its_name(
    count: int, title: str, values: tuple[int, ...]
) -> None:
    figure = pictures_of(count)[title]()
    assert tuple(figure.data[0].y) == values
    assert figure.layout.yaxis.title.text == title[-1]


def test_a_page_shows_its_words_as_text_and_brings_plotlys_script_once() -> None:
    figures = {"First & <last>": go.Figure(), "Second": go.Figure()}
    page = render_page("mine: 'a' | b", "best: <script>alert(1)</script>\n  next line", figures)
    assert page.count("Plotly.newPlot(") >= 2 and page.count("plotly.js v") == 1
    assert page.index("plotly.js v") < page.index("Plotly.newPlot(")
    plain = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert re.sub(r"<div.*?</div>\s*</div>", "(a figure)", plain, flags=re.DOTALL) == (
        """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>mine: &#39;a&#39; | b</title></head>
<body style="font-family: sans-serif; max-width: 75em; margin: auto">
<h1>mine: &#39;a&#39; | b</h1>
<pre>best: &lt;script&gt;alert(1)&lt;/script&gt;
  next line</pre>
<h2>First &amp; &lt;last&gt;</h2>
(a figure)
<h2>Second</h2>
(a figure)
</body></html>
"""
    )
