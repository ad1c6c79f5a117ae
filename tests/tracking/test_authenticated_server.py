"""The whole way on a server with authentication and proxied artifacts: run, grid, …, load."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import torch

from tests.checkouts import ROOT
from tests.peers import environment
from tests.tracking.test_registration import logits, stranger_logits
from tracking.checkpoints.integrity import MANIFEST

pytestmark = pytest.mark.slow
USER, PASSWORD = "admin", "a-long-password"
FIRST, SECOND = "magnitude(sparsity=0.5)", "rtn(bits=4)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A server of an environment that has what MLflow's authentication needs."""
    python = environment("auth")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\n"
        f"admin_username = {USER}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [
        *(str(python), "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/served.db"),
        *("--artifacts-destination", str(folder / "served")),
    ]
    variables = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for this test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}", process, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if requests.get(f"{address}/health", timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    pytest.fail(log.read_text()[-3000:])


def composability(address: str, folder: Path, *words: str, password: str = PASSWORD) -> str:
    """Run the command as a user of the server; return what it printed."""
    variables = {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": password,
        "COMPOSABILITY_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "composability", *words],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )
    printed = ended.stdout + ended.stderr
    assert PASSWORD not in printed
    assert ended.returncode == 0, printed
    return printed


def test_a_wrong_password_is_refused_in_one_line_before_anything_is_loaded(
    address: str, folder: Path
) -> None:
    with pytest.raises(AssertionError) as refused:
        composability(address, folder, "run", FIRST, password="another one")
    assert "error: " in str(refused.value) and "401" in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_run_grid_compare_analyze_register_and_load_in_a_clean_process(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = ("--criteria", "mmlu,sparsity,average_bits", "--limit", "40")
    printed = composability(address, folder, "run", f"{FIRST} | {SECOND}", *limits)
    assert f"{address}/#/experiments/" in printed
    run_id = printed.strip().rpartition("/runs/")[2].partition("?")[0]
    composability(address, folder, "run", f"{SECOND} | {FIRST}", *limits)
    interventions = f"{FIRST}; {SECOND}"
    grid = ("grid", "--interventions", interventions, "--pairs", "all", "--name", "both")
    assert "runs finished" in composability(address, folder, *grid, *limits)
    printed = composability(address, folder, "compare", "magnitude + rtn")
    assert "compareRunsMode=CHART&viewStateShareKey=orders-" in printed
    printed = composability(address, folder, "analyze", "--output", "comparison")
    assert "report: " in printed and (folder / "comparison" / "report.html").exists()
    registered = composability(
        address, folder, "register", run_id, "--name", "pair", "--alias", "champion"
    )
    assert "models:/pair@champion" in registered

    (cached,) = {
        path.parent
        for path in (folder / "cache").rglob(MANIFEST)
        if _is_last_checkpoint(path.parent, address, run_id)
    }
    expected = logits(cached)
    shutil.rmtree(folder / "cache")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    loaded = stranger_logits("models:/pair@champion", folder / "logits.pt")
    assert torch.equal(loaded, expected)
    # what the server has stored names nobody's password
    assert PASSWORD.encode() not in (folder / "served.db").read_bytes()


def _is_last_checkpoint(checkpoint: Path, address: str, run_id: str) -> bool:
    reply = requests.get(
        f"{address}/api/2.0/mlflow/runs/get",
        params={"run_id": run_id},
        auth=(USER, PASSWORD),
        timeout=30,
    )
    tags = {tag["key"]: tag["value"] for tag in reply.json()["run"]["data"]["tags"]}
    return checkpoint.name == tags["composability.key"]
