"""Figures show names letter by letter."""

import warnings
from pathlib import Path

import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure

from analysis.plots.figures import save_figure
from analysis.plots.literal import matplotlib_text, plotly_text

NAME = r'a $\frac{b}$ <i>c</i> %{x} _d "e"'


def test_matplotlib_draws_a_name_as_it_is(tmp_path: Path) -> None:
    figure = Figure()
    figure.suptitle(matplotlib_text(NAME))
    assert save_figure(figure, tmp_path / "figure.png").exists()
    figure.suptitle(NAME)
    with pytest.raises(ValueError, match="frac"):
        save_figure(figure, tmp_path / "figure.png")


def test_a_long_name_leaves_room_for_the_figure() -> None:
    assert len(matplotlib_text("a" * 500)) == 60 and matplotlib_text("a" * 60) == "a" * 60


def test_a_legend_has_names_that_begin_with_an_underscore() -> None:
    figure = Figure()
    line = figure.subplots().plot([1], label=matplotlib_text("_mine"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        legend = figure.legend(handles=line)
    assert [text.get_text() for text in legend.get_texts()] == [" _mine"]


def test_plotly_shows_a_name_as_it_is() -> None:
    assert plotly_text(NAME) == r'a $\frac{b}$ &lt;i&gt;c&lt;/i&gt; % {x} _d "e"'
    figure = go.Figure(go.Scatter(x=[1], y=[1], name=plotly_text("</script><script>")))
    assert "</script><script>" not in figure.to_html(include_plotlyjs=False)
