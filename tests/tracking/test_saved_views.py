"""Saved views of MLflow's runs page: what it reads back, and where they cannot be saved."""

import base64
import hashlib
import json
import zlib
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tracking import store
from tracking.saved_views import SavedView, criteria_view, orders_view, save_view

MOST_CHARACTERS = 5000  # of an experiment's tag on servers before MLflow 3


def saved_state(text: str) -> dict[str, Any]:
    """Return a saved view's state as MLflow's page reads it from the experiment's tag."""
    envelope = json.loads(text)
    assert isinstance(envelope["name"], str) and isinstance(envelope["createdAt"], int)
    head, _, packed = envelope["state"].partition(";")
    assert head == "deflate"
    decoded: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return decoded


def state(view: SavedView) -> dict[str, Any]:
    return saved_state(view.text())


def test_each_criterion_has_bars_of_the_end_and_then_its_path() -> None:
    view = state(orders_view("a + b", "filter", ["edit_success", "mmlu"]))
    charts = [
        (chart["metricSectionId"], chart["type"], chart["metricKey"])
        for chart in view["compareRunCharts"]
    ]
    ends, paths = (section["uuid"] for section in view["compareRunSections"][:2])
    assert charts == [
        (ends, "BAR", "edit_success"),
        (ends, "BAR", "mmlu"),
        (paths, "LINE", "edit_success"),
        (paths, "LINE", "mmlu"),
    ]


def test_sections_of_costs_and_errors_are_closed_and_stand_last() -> None:
    view = state(criteria_view("key", "", ["mmlu"], ["mmlu"]))
    sections = {section["name"]: section["display"] for section in view["compareRunSections"]}
    assert list(sections)[-2:] == ["stderr", "cost"]
    assert [sections[name] for name in sections] == [True, True, False, False, False]
    assert view["isAccordionReordered"]  # or MLflow sorts them: costs first


def test_runs_of_one_composition_are_drawn_as_their_mean_and_all_of_them_are() -> None:
    view = state(orders_view("a + b", "filter", ["mmlu"], has_replicates=True))
    assert view["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "composition"}]
    assert view["groupBy"]["aggregateFunction"] == "average"
    assert view["runsHiddenMode"] == "SHOW_ALL"
    assert "groupBy" not in state(orders_view("a + b", "filter", ["mmlu"]))


def test_a_view_of_other_runs_has_another_key_and_equal_views_are_equal_texts() -> None:
    first, same, other = (orders_view("a + b", text, ["mmlu"]) for text in ("1", "1", "2"))
    assert (first.key, first.text()) == (same.key, same.text())
    assert first.key != other.key


def test_a_view_of_a_hundred_runs_and_twenty_criteria_fits_into_an_experiments_tag() -> None:
    run_ids = ", ".join(f"'{hashlib.md5(bytes([n])).hexdigest()}'" for n in range(100))
    criteria = [f"a_rather_long_criterion_{n}" for n in range(20)]
    view = orders_view("a + b", f"attributes.run_id IN ({run_ids})", criteria, True)
    assert len(view.text()) < MOST_CHARACTERS


def test_a_saved_view_is_a_tag_of_the_experiment(local_store: str) -> None:
    client, experiment_id = MlflowClient(), store.ensure_experiment()
    view = orders_view("a + b", "filter", ["mmlu"])
    assert save_view(client, experiment_id, view)
    assert client.get_experiment(experiment_id).tags[view.tag] == view.text()
    assert view.tag == f"mlflow.sharedViewState.{view.key}"


def test_where_a_view_cannot_be_saved_that_is_said_and_nothing_fails(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise MlflowException("403: no right to edit the experiment")

    client, experiment_id = MlflowClient(), store.ensure_experiment()
    monkeypatch.setattr(client, "set_experiment_tag", refused)
    assert not save_view(client, experiment_id, orders_view("a + b", "filter", ["mmlu"]))
