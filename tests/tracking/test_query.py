"""The store as a table of compositions."""

import gc
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Param

from tests.tracking.logged_runs import log_run
from tracking import query, store


def test_a_row_has_settings_as_used_hyperparameters_as_values_and_metrics_with_their_errors(
    local_store: str,
) -> None:
    log_run(local_store, store.ensure_experiment(), 3)
    row = query.compositions().iloc[0]
    assert (row["experiment"], row["composition"], row["dtype"]) == (
        "composability",
        "wanda | ft",
        "float32",
    )
    assert (row["wanda.sparsity"], row["ft.layers"], row["ft.lr"], row["edit_batch"]) == (
        0.5,
        [3, 4],
        0.003,
        0,
    )
    assert (row["edit_success"], row["stderr/edit_success"], row["wikitext_ppl"]) == (
        0.3,
        0.01,
        math.inf,
    )
    assert (row["key"], row["diverged"]) == ("key 3", "wikitext_ppl")
    assert row["artifact_uri"].endswith("/artifacts")
    assert str(row["start_time"]) == "2023-11-14 22:13:20.003000+00:00"
    assert "first" not in row


def test_a_request_reads_many_runs_and_none_is_made_per_run(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = store.ensure_experiment()
    expected = [log_run(local_store, experiment_id, number) for number in range(7)]
    calls: list[str] = []
    for name in [name for name in dir(MlflowClient) if not name.startswith("_")]:
        original = getattr(MlflowClient, name)
        if callable(original):

            def counted(
                self: MlflowClient,
                *args: Any,
                _name: str = name,
                _do: Any = original,
                **kwargs: Any,
            ) -> Any:
                calls.append(_name)
                return _do(self, *args, **kwargs)

            monkeypatch.setattr(MlflowClient, name, counted)
    monkeypatch.setattr(query, "PAGE_SIZE", 3)
    assert list(query.compositions().run_id) == expected[::-1]
    assert calls == ["get_experiment_by_name", "search_runs", "search_runs", "search_runs"]


def test_pages_are_read_without_looking_for_garbage_which_is_looked_for_again_afterwards(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_run(local_store, store.ensure_experiment(), 0)
    during: list[bool] = []
    search = MlflowClient.search_runs

    def noted(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        during.append(gc.isenabled())
        return search(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "search_runs", noted)
    query.compositions()
    assert during == [False] and gc.isenabled()


def test_experiments_are_read_together_and_named(local_store: str) -> None:
    log_run(local_store, store.ensure_experiment(), 0)
    log_run(local_store, store.ensure_experiment("other"), 1)
    frame = query.compositions(["composability", "other"])
    assert sorted(frame.experiment) == ["composability", "other"]


def test_runs_that_are_no_compositions_are_left_out(local_store: str) -> None:
    experiment_id = store.ensure_experiment()
    MlflowClient(local_store).create_run(experiment_id)
    log_run(local_store, experiment_id, 0)
    assert len(query.compositions()) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"seed": "abc"},
        {"seed": "1.5", "edit_batch": str(10**30)},
        {"edit_batch": "(" * 3000},
        {"run_id": "x", "status": "y", "start_time": "z", "experiment_id": "9"},
        {"ft.layers": "{[]: 1}", "split": "s"},
    ],
)
def test_somebody_elses_params_do_no_harm(local_store: str, params: dict[str, str]) -> None:
    experiment_id = store.ensure_experiment()
    own = log_run(local_store, experiment_id, 0)
    client = MlflowClient(local_store)
    foreign = client.create_run(experiment_id).info.run_id
    client.log_batch(
        foreign, params=[Param(key, text) for key, text in {"composition": "x", **params}.items()]
    )
    client.log_metric(foreign, "model", 0.5)
    frame = query.compositions().set_index("run_id")
    assert set(frame.index) == {own, foreign} and frame.seed[own] == 0
    assert frame.status[foreign] == "RUNNING" and frame.experiment_id[foreign] == experiment_id
    assert frame.edit_batch[own] == 0 and frame.model[own] == "testbed@1"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"data": "testbed"}, 64),
        ({"data": "paper"}, 8192),
        ({"data": "paper", "window": "0", "used.window": "2048"}, 2048),
        ({"data": "paper", "window": "2048"}, 2048),
        ({"data": "paper", "window": "wide"}, None),
        ({"data": "somebody's"}, None),
        ({}, None),
    ],
)
def test_a_run_that_says_no_window_had_the_datas_own(
    local_store: str, params: dict[str, str], expected: int | None
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    logged = {"composition": "none", **params}
    client.log_batch(run_id, params=[Param(key, text) for key, text in logged.items()])
    row = query.compositions().iloc[0]
    if expected is None:
        assert "window" not in row or pd.isna(row["window"])
    else:
        assert row["window"] == expected and isinstance(row["window"], int | np.integer)


def test_rows_share_no_value_that_can_be_changed() -> None:
    first, second = (query._value("step.values", "[1, (2, [3])]") for _ in range(2))
    first[1][1].append(4)
    assert second == [1, (2, [3])] == query._value("step.values", "[1, (2, [3])]")
