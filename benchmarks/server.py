"""An MLflow tracking server with proxied artifacts on loopback, for as long as a block lasts."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a server, and return once it answers.

    Args:
        folder: of the store and the artifacts; is made if it is missing.
        port: of loopback.

    Raises:
        TimeoutError: it did not answer within a minute; the end of its log is the message.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "files")]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    for _ in range(600):
        try:
            if requests.get(f"http://127.0.0.1:{port}/health", timeout=1).ok:
                return process
        except requests.RequestException:
            time.sleep(0.1)
    stop(process)
    raise TimeoutError((folder / "log").read_text()[-2000:])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its workers."""
    os.killpg(process.pid, 15)
    process.wait(30)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run a server with an empty store, and give its address."""
    port = free_port()
    process = start(folder, port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)
