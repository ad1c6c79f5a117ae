"""Every kind of store gives the same frames."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.postgres import lacking, postgres
from tests.tracking.logged_runs import log_run, write_items
from tracking import item_scores, query, schema, store


@pytest.fixture
def items_file(tmp_path: Path) -> Path:
    return write_items(tmp_path / schema.ITEMS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An `mlflow server` of two light processes on loopback, with artifacts behind it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{tmp_path}/served.db"),
        *("--artifacts-destination", str(tmp_path / "served")),
    ]
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
    """Log eight runs, the last without items; return what the query reads, without ids."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    experiment_id = store.ensure_experiment("shared")
    for number in range(8):
        log_run(uri, experiment_id, number, items_file if number < 7 else None)
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
        for address in (server, uri):
            frame, other_scores = read(address, items_file, monkeypatch)
            pd.testing.assert_frame_equal(frame, reference)
            pd.testing.assert_frame_equal(other_scores, scores)


@pytest.mark.slow
def test_downloaded_items_are_kept(
    server: str, items_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    run_id = log_run(server, store.ensure_experiment(), 0, items_file)
    first = query.items([run_id])
    with monkeypatch.context() as patch:
        patch.setattr(
            item_scores, "download_artifacts", lambda **_: pytest.fail("downloaded again")
        )
        pd.testing.assert_frame_equal(query.items([run_id]), first)
