"""MLflow's pages, as a browser shows them at 1440 pixels: both orders' values are the store's."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from benchmarks import ui_pages
from benchmarks.server import server
from tracking import schema
from tracking.checkpoints.store import Checkpoints

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ui_pages.browser(), reason="no Chromium is on PATH, and CHROMIUM names none"
    ),
]
Shown = Mapping[str, Mapping[str, Any]]
NAMES = ["magnitude(sparsity=0.5) → rtn(bits=4)", "rtn(bits=4) → magnitude(sparsity=0.5)"]


@pytest.fixture(scope="module")
def run_ids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    folder = tmp_path_factory.mktemp("ui")
    with server(folder / "server") as ui, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", ui)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        mlflow.set_tracking_uri(ui)
        yield ui_pages.run_orders(cache=Checkpoints(folder / "cache"))


@pytest.fixture(scope="module")
def shown(run_ids: list[str], tmp_path_factory: pytest.TempPathFactory) -> Shown:
    pages = ui_pages.comparing_pages(mlflow.get_tracking_uri(), run_ids)
    return ui_pages.visit(pages, tmp_path_factory.mktemp("pictures"))


def values(run_id: str) -> dict[str, float]:
    """Return a run's criteria after its last step, as the store has them."""
    metrics = MlflowClient().get_run(run_id).data.metrics
    return {name: value for name, value in metrics.items() if "/" not in name}


def test_the_table_has_both_orders_with_their_criteria(run_ids: list[str], shown: Shown) -> None:
    text = shown["ui-runs"]["text"]
    numbers = [float(line) for line in text.split() if re.fullmatch(r"\d+(\.\d+)?", line)]
    assert "Model training" in text and "Exit shared view" in text
    for run_id in run_ids:
        run = MlflowClient().get_run(run_id)
        assert run.info.run_name in text
        for name in ("edit_success", "edit_generalization", "edit_locality"):
            assert name in text
            value = run.data.metrics[name]
            assert any(number == pytest.approx(value, rel=1e-12) for number in numbers), name


def test_the_runs_page_has_its_description_data_sets_and_every_criterion(
    run_ids: list[str], shown: Shown
) -> None:
    text = shown["ui-run"]["text"]
    assert "testbed/" in text and "magnitude(sparsity=0.5) → rtn(bits=4)" in text
    assert "Both orders of magnitude + rtn in charts" in text
    for name, value in values(run_ids[0]).items():
        (printed,) = re.findall(rf"^{name}\n([\d.]+)$", text, re.MULTILINE)
        assert float(printed) == pytest.approx(value, rel=1e-12)
    listed = re.findall(r"^(\w+|stderr/\w+|cost/\w+)\n[\d.e-]+$", text, re.MULTILINE)
    kinds = [name.partition("/")[0] if "/" in name else "" for name in listed]
    assert kinds.index("cost") > kinds.index("stderr") > kinds.index("") == 0


def test_the_models_tab_has_every_checkpoint_with_its_run(run_ids: list[str], shown: Shown) -> None:
    text = shown["ui-models"]["text"]
    for run_id in run_ids:
        run = MlflowClient().get_run(run_id)
        steps = schema.step_names(run.data.params)
        assert run.info.run_name in text
        for number, name in enumerate(steps, start=1):
            assert schema.checkpoint_name(number, name) in text


def test_the_charts_have_both_orders_values_criteria_first(
    run_ids: list[str], shown: Shown
) -> None:
    first = shown["ui-charts"]["charts"]
    assert [chart["title"] for chart in first[:3]] == [
        "edit_success", "edit_generalization", "edit_locality",
    ]  # fmt: skip
    assert all(name in first[0]["legend"] for name in NAMES)
    first_values, second_values = (values(run_id) for run_id in run_ids)
    bars = {
        chart["title"]: dict(zip(chart["legend"][-2:], map(float, chart["bars"]), strict=True))
        for chart in shown["all-charts"]["charts"]
        if chart["bars"]
    }
    assert set(bars) == set(first_values)
    for name, of_order in bars.items():
        expected = dict(zip(NAMES, (first_values[name], second_values[name]), strict=True))
        assert of_order == pytest.approx(expected, abs=0.0051), name
    text = shown["all-charts"]["text"]
    sections = ["After the last step", "Step by step", "stderr\n(", "cost\n("]
    places = [text.index(section) for section in sections]
    assert places == sorted(places)
