"""What a figure shows and how, as plain data, held against files in tests/data/figures.

``python -m tests.analysis.plots.golden`` writes the files anew, after a wanted change of a figure;
read what git then says of them.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import to_hex

from analysis.plots.figures import draw
from analysis.plots.front_figure import draw_fronts
from analysis.plots.heat_figure import draw_heat
from analysis.plots.interactive import draw_curves
from analysis.plots.interactive_fronts import draw_front_panels
from analysis.plots.interactive_heat import draw_heat_map
from analysis.plots.ranking_figure import draw_ranking
from tests.analysis.plots.hand_made import TITLES, front_grid, heat, panel_grid, ranked_pairs
from tests.quality.plain_words import ROOT

FOLDER = ROOT / "tests" / "data" / "figures"
FIGURES: dict[str, Callable[[], Any]] = {
    "figures": lambda: draw(panel_grid(), TITLES),
    "interactive": lambda: draw_curves(panel_grid(), TITLES),
    "front_figure": lambda: draw_fronts(front_grid(), TITLES),
    "interactive_fronts": lambda: draw_front_panels(front_grid(), TITLES),
    "heat_figure": lambda: draw_heat(heat(), TITLES),
    "ranking_figure": lambda: draw_ranking(ranked_pairs()),
    "interactive_heat": lambda: draw_heat_map(
        replace(heat(), criteria=heat().criteria[:3]), TITLES
    ),
}


def described(name: str) -> Any:
    """Return a figure as plain data."""
    figure = FIGURES[name]()
    return _plain(_of_plotly(figure) if isinstance(figure, go.Figure) else _of_matplotlib(figure))


def stored(name: str) -> Any:
    """Return the plain data that a figure should be."""
    return json.loads(_path(name).read_text())


def _path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def _plain(value: Any) -> Any:
    """Return numbers of six digits, lists and texts only."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | list | tuple | range):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(f"{float(value):.6g}") if np.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool) else str(value)


def _of_plotly(figure: Any) -> Any:
    parts = json.loads(figure.to_json())
    parts["template"] = parts["layout"].pop("template")["layout"]["plot_bgcolor"]
    return _decoded(parts)


def _decoded(value: Any) -> Any:
    """Return lists in place of the arrays that plotly writes in base 64."""
    if isinstance(value, dict) and "bdata" in value:
        return np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
    if isinstance(value, dict):
        return {key: _decoded(entry) for key, entry in value.items()}
    return [_decoded(entry) for entry in value] if isinstance(value, list) else value


def _of_matplotlib(figure: Any) -> Any:
    return {
        "inches": figure.get_size_inches(),
        "caption": figure.get_suptitle(),
        "legends": [_legend(legend) for legend in figure.legends],
        "axes": [_axis(axis) for axis in figure.axes],
    }


def _axis(axis: Any) -> Any:
    lines = [*axis.xaxis.get_gridlines()[:1], *axis.yaxis.get_gridlines()[:1]]
    return {
        "texts": [_text(text) for text in (axis.title, axis.xaxis.label, axis.yaxis.label)],
        "limits": [axis.get_xlim(), axis.get_ylim()],
        "scales": [axis.get_xscale(), axis.get_yscale()],
        "tick labels": [[text.get_text() for text in side.get_ticklabels()] for side in
                        (axis.xaxis, axis.yaxis)],
        "spines": [spine.get_visible() for spine in axis.spines.values()],
        "grid": [[line.get_visible(), line.get_alpha()] for line in lines],
        "lines": [_line(line) for line in axis.lines],
        "bars": [_bar(bar) for bar in axis.patches],
        "areas": [_area(area) for area in axis.collections if axis.get_label() != "<colorbar>"],
        "images": [
            [image.get_array().filled(-1), image.get_clim(), to_hex(image.cmap.get_bad())]
            for image in axis.images
        ],
        "numbers": [
            [*text.get_position(), *_text(text), text.get_color(), text.get_ha(), text.get_va()]
            for text in axis.texts
        ],
        "legend": _legend(axis.get_legend()) if axis.get_legend() else None,
    }  # fmt: skip


def _text(text: Any) -> Any:
    return [text.get_text(), text.get_fontsize()]


def _line(line: Any) -> Any:
    return [
        line.get_xydata(),
        *(line.get_linestyle(), line._unscaled_dash_pattern, line.get_linewidth()),
        *(line.get_color(), line.get_marker(), line.get_markersize(), line.get_markerfacecolor()),
        *(line.get_zorder(), line.get_transform() == line.axes.transData if line.axes else None),
    ]


def _area(area: Any) -> Any:
    vertices = [path.vertices for path in area.get_paths()]
    colours = [to_hex(colour, keep_alpha=True) for colour in area.get_facecolor()]
    return [vertices, colours, area.get_linewidth()]


def _bar(bar: Any) -> Any:
    corner_and_size = bar.get_x(), bar.get_y(), bar.get_width(), bar.get_height()
    return [*corner_and_size, to_hex(bar.get_facecolor())]


def _legend(legend: Any) -> Any:
    handles = [
        _line(handle) if hasattr(handle, "get_marker") else to_hex(handle.get_facecolor())
        for handle in legend.legend_handles
    ]
    return [legend._loc, legend._ncols, [_text(text) for text in legend.texts], handles]


def _write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in FIGURES:
        _path(name).write_text(_lines(described(name)) + "\n")


def _lines(value: Any, depth: int = 0) -> str:
    """Return JSON with a line for each entry of the outer three levels."""
    if depth == 3 or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False)
    pad = "\n" + " " * (depth + 1)
    if isinstance(value, dict):
        entries = [f"{json.dumps(key)}: {_lines(entry, depth + 1)}" for key, entry in value.items()]
        return "{" + pad + f",{pad}".join(entries) + pad[:-1] + "}"
    return "[" + pad + f",{pad}".join(_lines(entry, depth + 1) for entry in value) + pad[:-1] + "]"


if __name__ == "__main__":
    _write()
