"""Saved views of MLflow's runs page: which columns and charts it opens with.

MLflow keeps a view as a tag of the experiment, and a link names it by its key. Its own charts stand
in the alphabet's order, costs first, and its runs table shows no metric. Imports no torch.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracking import schema

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TAG = "mlflow.sharedViewState."
_COMPRESSED = "deflate;"
_RUN_NAME = "attributes.`Run Name`"
_DATASET = "attributes.`Dataset`"
_SECTION_OF_OTHERS = "Model metrics"  # MLflow's own, of metrics without a slash
_PIXELS_OF_NAME = 390  # the column of a run's name: that of a pair with one step applied again
_LEAST_PIXELS, _PIXELS_OF_CHARACTER, _PIXELS_OF_EDGES = 90, 7, 24  # the column of a criterion
_ALL_RUNS = "SHOW_ALL"  # MLflow draws ten runs unless told


@dataclass(frozen=True)
class SavedView:
    """A view of the runs page.

    Attributes:
        key: by which a link names it.
        title: in the page's menu of views.
        state: what MLflow's page keeps of its table and charts.
    """

    key: str
    title: str
    state: Mapping[str, Any]

    @property
    def tag(self) -> str:
        """The experiment's tag that holds it."""
        return f"{_TAG}{self.key}"

    def text(self) -> str:
        """Return the tag's value: equal views have equal ones.

        MLflow's page writes and reads states compressed like this; a server may refuse a tag of
        over 5,000 characters.
        """
        compressed = zlib.compress(json.dumps(self.state).encode(), level=9)
        state = f"{_COMPRESSED}{base64.b64encode(compressed).decode()}"
        return json.dumps({"name": self.title, "createdAt": 0, "updatedAt": 0, "state": state})


def criteria_view(
    key: str, filter: str, columns: Sequence[str], criteria: Sequence[str]
) -> SavedView:
    """Return a view of all runs: criteria as columns, and their charts before those of costs.

    Args:
        key: by which links name it.
        filter: MLflow's search syntax.
        columns: the criteria that are columns of the table.
        criteria: that have charts, in the order of the charts.
    """
    state = {"searchFilter": filter, **_table(columns), **_charts(criteria)}
    return SavedView(key, "Criteria", state)


def orders_view(
    title: str, filter: str, criteria: Sequence[str], has_replicates: bool = False
) -> SavedView:
    """Return a view that compares runs: bars of each criterion at the end, then paths to it.

    Args:
        title: in the menu of views: "lora + wanda".
        filter: says which runs, in MLflow's search syntax.
        criteria: that have charts, in the order of the charts.
        has_replicates: whether several runs are of one composition: their mean is drawn.
    """
    key = f"orders-{hashlib.sha256(filter.encode()).hexdigest()[:12]}"
    state = {"searchFilter": filter, **_table(criteria), **_charts(criteria)}
    # the list of runs would take the place of every second chart: charts have legends
    state |= {"runsHiddenMode": _ALL_RUNS, "runListHidden": True}
    if has_replicates:
        by_composition = {"mode": "param", "groupByData": schema.COMPOSITION}
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": [by_composition]}
    return SavedView(key, title, state)


def save_view(client: MlflowClient, experiment_id: str, view: SavedView) -> bool:
    """Store a view with its experiment; return whether it is there.

    It may not be: a server's user may have no right to write to the experiment.
    """
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):
        text = view.text()
        if client.get_experiment(experiment_id).tags.get(view.tag) != text:
            client.set_experiment_tag(experiment_id, view.tag, text)
        return True
    return False


def _table(criteria: Sequence[str]) -> dict[str, Any]:
    columns = [
        *(f"metrics.`{criterion}`" for criterion in criteria),
        f"params.`{schema.PAIR}`",
        "params.`edit_batch`",
        "params.`split`",
        _DATASET,
    ]
    widths = {
        f"metrics.`{name}`": max(_LEAST_PIXELS, _PIXELS_OF_EDGES + _PIXELS_OF_CHARACTER * len(name))
        for name in criteria
    }
    return {
        "selectedColumns": columns,
        "columnOrder": [_RUN_NAME, "runDateAndNestInfo", *columns, "duration"],
        "columnWidths": {_RUN_NAME: _PIXELS_OF_NAME, **widths},
    }


def _charts(criteria: Sequence[str]) -> dict[str, Any]:
    """Return charts of the criteria; those of costs and errors are closed, below."""
    # a name holds the place of a section's id, so that equal views are equal texts
    open_sections = ["After the last step", "Step by step: 0 is the base model"]
    sections = [
        {"uuid": name, "name": name, "display": name in open_sections, "columns": 3}
        for name in (*open_sections, _SECTION_OF_OTHERS, "stderr", "cost")
    ]
    charts = []
    for section, kind in zip(open_sections, ("BAR", "LINE"), strict=True):
        for name in criteria:
            chart = {
                "uuid": f"{kind} {name}",
                "type": kind,
                "metricSectionId": section,
                "metricKey": name,
                "displayName": name,
                "runsCountToCompare": 100,
                "deleted": False,
                "isGenerated": False,
            }
            charts.append({**chart, **(_LINE if kind == "LINE" else {})})
    return {
        "compareRunCharts": charts,
        "compareRunSections": [
            {**section, "isReordered": True, "deleted": False, "isGenerated": False}
            for section in sections
        ],
        # MLflow would sort the sections by name
        "isAccordionReordered": True,
    }


_LINE: dict[str, Any] = {
    "selectedMetricKeys": None,
    "lineSmoothness": 0,
    "xAxisKey": "step",
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "displayPoints": True,
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
    "ignoreOutliers": False,
    "selectedXAxisMetricKey": "",
}
