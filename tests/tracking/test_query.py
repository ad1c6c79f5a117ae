import gc
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from benchmarks.postgres import lacking, postgres
from interventions.errors import InvalidInput
from tracking import pages, query, schema, store


def log(uri: str, experiment_id: str, number: int, items: Path | None = None) -> str:
    """A run as our own log it, with an infinite and a missing value."""
    client = MlflowClient(uri)
    level = (0.25, 0.5)[number % 2]
    first, second = [("ft", "wanda"), ("wanda", "ft")][number // 2 % 2]
    params = {
        "composition": f"{first} | {second}", "pair": "ft + wanda", "step1": first, "step2": second,
        "wanda.sparsity": str(level), "ft.layers": "[3, 4]", "ft.lr": "0.003", "model": "testbed", "data": "testbed",
        "seed": "0", "edit_batch": str(number // 4), "dtype": "auto", "used.dtype": "float32", "first": "'ft'",
    }  # fmt: skip
    metrics = {
        "edit_success": number / 10,
        "wikitext_ppl": math.inf if number == 3 else 5.0,
        "stderr/edit_success": 0.01,
    }
    run_id = client.create_run(
        experiment_id, start_time=1_700_000_000_000 + number, run_name=f"run {number}"
    ).info.run_id
    client.log_batch(
        run_id,
        metrics=[
            Metric(key, value, 1_700_000_000_000, step)
            for step in (1, 2)
            for key, value in metrics.items()
        ],
        params=[Param(key, value) for key, value in params.items()],
        tags=[
            RunTag(schema.KEY, f"key {number}"),
            RunTag(schema.DIVERGED, "wikitext_ppl" if number == 3 else ""),
        ],
    )
    if items is not None:
        client.log_artifact(run_id, str(items))
    client.set_terminated(run_id)
    return str(run_id)


@pytest.fixture
def items_file(tmp_path: Path) -> Path:
    path = tmp_path / schema.ITEMS
    rows = [
        (name, step, str(i), i / 10 + step)
        for name in ("mmlu", "wmdp")
        for step in (0, 1, 2)
        for i in range(3)
    ]
    pd.DataFrame(rows, columns=["criterion", "step", "item", "score"]).to_parquet(path, index=False)
    return path


# compositions


def test_a_row_has_settings_as_used_hyperparameters_as_values_and_metrics_with_their_errors(
    local_store: str,
) -> None:
    log(local_store, store.experiment(), 3)
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
    made = store.experiment()
    expected = [log(local_store, made, number) for number in range(7)]
    asked: list[str] = []
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
                asked.append(_name)
                return _do(self, *args, **kwargs)

            monkeypatch.setattr(MlflowClient, name, counted)
    monkeypatch.setattr(pages, "SIZE", 3)
    assert list(query.compositions().run_id) == expected[::-1]
    assert asked == ["get_experiment_by_name", "search_runs", "search_runs", "search_runs"]


def test_pages_are_read_without_looking_for_garbage_which_is_looked_for_again_afterwards(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(local_store, store.experiment(), 0)
    during: list[bool] = []
    search = MlflowClient.search_runs

    def noted(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        during.append(gc.isenabled())
        return search(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "search_runs", noted)
    query.compositions()
    assert during == [False] and gc.isenabled()


def test_experiments_are_read_together_and_named(local_store: str) -> None:
    log(local_store, store.experiment(), 0)
    log(local_store, store.experiment("other"), 1)
    frame = query.compositions(["composability", "other"])
    assert sorted(frame.experiment) == ["composability", "other"]


def test_runs_that_are_no_compositions_are_left_out(local_store: str) -> None:
    made = store.experiment()
    MlflowClient(local_store).create_run(made)
    log(local_store, made, 0)
    assert len(query.compositions()) == 1


# items


def test_items_are_the_last_steps_scores_of_the_runs_asked_for(
    local_store: str, items_file: Path
) -> None:
    one, two, _ = (log(local_store, store.experiment(), number, items_file) for number in range(3))
    runs = query.compositions()
    scores = query.items(runs[runs.run_id.isin([one, two])], ["mmlu"])
    assert list(scores.columns) == ["run_id", "criterion", "step", "item", "score"]
    assert set(scores.run_id) == {one, two}
    assert set(scores.criterion) == {"mmlu"} and set(scores.step) == {2}
    assert scores[scores.run_id == one].score.tolist() == [2.0, 2.1, 2.2]


def test_items_of_all_steps_and_criteria_by_run_id(local_store: str, items_file: Path) -> None:
    run_id = log(local_store, store.experiment(), 0, items_file)
    scores = query.items([run_id], last=False)
    assert len(scores) == 2 * 3 * 3


def test_a_run_without_items_is_named_or_skipped(local_store: str, items_file: Path) -> None:
    made = store.experiment()
    bare = log(local_store, made, 0)
    log(local_store, made, 1, items_file)
    with pytest.raises(
        InvalidInput, match=f"run {bare} has no items.parquet \\(1 of 2 have none\\)"
    ):
        query.items(query.compositions())
    assert query.items(query.compositions(), missing="skip").run_id.nunique() == 1
    assert query.items([bare], missing="skip").empty


def test_an_unknown_criterion_has_no_items(local_store: str, items_file: Path) -> None:
    run_id = log(local_store, store.experiment(), 0, items_file)
    with pytest.raises(
        InvalidInput, match="no run has items of criterion 'mmul'; they have: mmlu, wmdp"
    ):
        query.items([run_id], ["mmul"])


def test_an_unknown_run_is_named(local_store: str) -> None:
    with pytest.raises(InvalidInput, match="no run 'abc' in sqlite"):
        query.items(["abc"])


# the same from every kind of store


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An `mlflow server` of two light processes on loopback, with artifacts behind it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{tmp_path}/served.db", "--artifacts-destination", str(tmp_path / "served"),
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def read(
    uri: str, items_file: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Log eight runs, the last without items; what the query reads back, but for what differs by nature."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    made = store.experiment("shared")
    for number in range(8):
        log(uri, made, number, items_file if number < 7 else None)
    runs = query.compositions("shared")
    names = runs.set_index("run_id").run_name
    scores = query.items(runs, missing="skip")
    scores["run_id"] = scores.run_id.map(names)
    return runs.drop(columns=["run_id", "experiment_id", "artifact_uri"]).sort_index(axis=1), scores


@pytest.mark.slow
@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_sqlite_postgresql_and_a_server_give_the_same_frames(
    tmp_path: Path, items_file: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, scores = read(f"sqlite:///{tmp_path}/mlflow.db", items_file, monkeypatch)
    assert len(reference) == 8 and scores.run_id.nunique() == 7
    with postgres(tmp_path / "postgres") as uri:
        for other in (server, uri):
            frame, other_scores = read(other, items_file, monkeypatch)
            pd.testing.assert_frame_equal(frame, reference)
            pd.testing.assert_frame_equal(other_scores, scores)


@pytest.mark.slow
def test_downloaded_items_are_kept(
    server: str, items_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    run_id = log(server, store.experiment(), 0, items_file)
    first = query.items([run_id])
    with monkeypatch.context() as patch:
        patch.setattr(query, "download_artifacts", lambda **_: pytest.fail("downloaded again"))
        pd.testing.assert_frame_equal(query.items([run_id]), first)
