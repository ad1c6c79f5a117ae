"""Store faults: a proxy before an MLflow server that is away, fails, lies, dawdles or is none."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks import server
from tests.robustness.forks import (
    Place,
    command_line,
    fork,
    kill,
    make_empty_database,
    new_place,
    wait,
)
from tests.robustness.sweeps_on_trial import GRID, outcome, problem_of
from tests.robustness.tally import Attempts

DEFINITION = (
    "during a grid the fault begins at a random moment and lasts some seconds; the grid waits and"
    " ends, or ends with a message and the same command goes on; at last every job has one FINISHED"
    " run with the values of an undisturbed grid, and nothing is RUNNING"
)
FAULTS = ("away", "500", "502 after it was done", "slow", "HTML")
_PAGE = b"<html><body>Please log in</body></html>"


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server, unless it has a fault.

    Attributes:
        port_behind: of the server.
        fault: one of FAULTS, or "".
    """

    daemon_threads = True
    port_behind = 0
    fault = ""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        fault, length = self.server.fault, int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if fault == "away":
            self.close_connection = True
            self.connection.close()
            return
        if fault == "500":
            self._answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "out of luck"}')
            return
        if fault == "HTML":
            self._answer(200, _PAGE)
            return
        if fault == "slow":
            time.sleep(2)
        behind = http.client.HTTPConnection("127.0.0.1", self.server.port_behind, timeout=60)
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        if fault.startswith("502"):
            self._answer(502, b"bad gateway")
        else:
            self._answer(answer.status, content, answer.getheader("Content-Type") or "text/plain")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self, status: int, content: bytes, kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


@contextmanager
def proxy(port_behind: int) -> Iterator[Proxy]:
    """Run a proxy on loopback while the block runs."""
    running = Proxy(("127.0.0.1", 0), _Handler)
    running.port_behind = port_behind
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        running.server_close()


def faults(count: int, seed: int, folder: Path) -> Attempts:
    """Let one fault after another happen, a grid for each."""
    attempts, rng = Attempts("store faults", seed, DEFINITION), random.Random(seed)
    empty = make_empty_database(folder / "empty")
    undisturbed = new_place(folder / "undisturbed", empty)
    command = command_line(GRID.words)
    began = time.monotonic()
    assert wait(fork(command, undisturbed.log, undisturbed.variables), 600) == 0
    expected, lasts = outcome(undisturbed), time.monotonic() - began
    for number in range(count):
        fault = FAULTS[number % len(FAULTS)]
        place = new_place(folder / f"round-{number}", empty)
        port = server.free_port()
        behind = server.start(place.folder, port)
        try:
            problem = _one_grid(place, port, fault, rng, lasts)
        finally:
            server.stop(behind)
        attempts.note(fault, problem or problem_of(place, expected))
    return attempts


def _one_grid(place: Place, port: int, fault: str, rng: random.Random, lasts: float) -> str:
    command = command_line(GRID.words)
    # threads and forks do not go together: the proxy is a process of its own
    control = place.folder / "fault"
    control.write_text("")
    address_file = place.folder / "address"
    proxying = fork(lambda: _serve(port, control, address_file), place.log, place.variables)
    try:
        while not address_file.exists():
            time.sleep(0.02)
        variables = place.variables | {
            "MLFLOW_TRACKING_URI": address_file.read_text(),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        }
        process = fork(command, place.log, variables)
        time.sleep(rng.uniform(0.5, max(1.0, lasts / 2)))
        control.write_text(fault)
        time.sleep(rng.uniform(2, 8))
        control.write_text("")
        status = wait(process, 600)
        if status is None:
            kill(process)
            return "it did not end"
        for _ in range(2):
            if status:
                status = wait(fork(command, place.log, variables), 600)
        return f"the same again ended with {status}" if status else ""
    finally:
        kill(proxying)


def _serve(port_behind: int, control: Path, address_file: Path) -> int:
    with proxy(port_behind) as running:
        partial = address_file.with_suffix(".partial")
        partial.write_text(f"http://127.0.0.1:{running.server_address[1]}")
        partial.rename(address_file)
        while True:
            running.fault = control.read_text()
            time.sleep(0.02)
