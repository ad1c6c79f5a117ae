"""The whole of what MLflow's page reads of a saved view."""

from typing import Any

from tracking.saved_views import criteria_view, orders_view

LONG_NAME = "edit_generalization"
LINE: dict[str, Any] = {
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


def section(name: str, display: bool) -> dict[str, Any]:
    flags = {"isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": name, "name": name, "display": display, "columns": 3, **flags}


def chart(kind: str, name: str, section_name: str) -> dict[str, Any]:
    return {
        "uuid": f"{kind} {name}",
        "type": kind,
        "metricSectionId": section_name,
        "metricKey": name,
        "displayName": name,
        "runsCountToCompare": 100,
        "deleted": False,
        "isGenerated": False,
    }


def test_a_view_of_criteria_has_columns_as_wide_as_their_names() -> None:
    """A name of 19 characters takes 24 + 7 * 19 pixels; a short one the least, 90."""
    view = criteria_view("key", "a filter", ["mmlu", LONG_NAME], ["mmlu"])
    columns = [
        *("metrics.`mmlu`", "metrics.`edit_generalization`", "params.`pair`"),
        *("params.`edit_batch`", "params.`split`", "attributes.`Dataset`"),
    ]
    end, path = "After the last step", "Step by step: 0 is the base model"
    assert (view.key, view.title, view.tag) == ("key", "Criteria", "mlflow.sharedViewState.key")
    assert view.state == {
        "searchFilter": "a filter",
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", "runDateAndNestInfo", *columns, "duration"],
        "columnWidths": {
            "attributes.`Run Name`": 390,
            "metrics.`mmlu`": 90,
            "metrics.`edit_generalization`": 157,
        },
        "compareRunCharts": [chart("BAR", "mmlu", end), {**chart("LINE", "mmlu", path), **LINE}],
        "compareRunSections": [
            section(end, True),
            section(path, True),
            *(section(name, False) for name in ("Model metrics", "stderr", "cost")),
        ],
        "isAccordionReordered": True,
    }


def test_a_view_of_orders_hides_the_list_of_runs() -> None:
    view = orders_view("lora + wanda", "a filter", ["mmlu"])
    columns_and_charts = criteria_view("key", "a filter", ["mmlu"], ["mmlu"]).state
    hidden = {"runsHiddenMode": "SHOW_ALL", "runListHidden": True}
    assert view.title == "lora + wanda" and view.state == {**columns_and_charts, **hidden}
    # the first twelve digits of the filter's SHA-256
    assert view.key == "orders-9101c00a95f7"
