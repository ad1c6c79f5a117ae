"""Store faults: a proxy before an MLflow server that is away, fails, lies, dawdles or is none."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
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
from tests.robustness.sweeps_on_trial import outcome, problem_of
from tests.robustness.tally import Attempts

DEFINITION = (
    "during a grid the fault begins at a random moment and lasts some seconds; the grid waits and"
    " ends, or ends with a message and the same command goes on; at last every job has one FINISHED"
    " run with the values of an undisturbed grid, and nothing is RUNNING"
)
FAULTS = ("away", "500", "502 after it was done", "slow", "HTML")
GRID = (
    *("grid", "--interventions", "magnitude(sparsity=[0.2, 0.4, 0.6, 0.8])", "--length", "0..1"),
    *("--criteria", "sparsity"),
)
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
    """Let one fault after another happen, a grid for each, in one store."""
    attempts, rng = Attempts("store faults", seed, DEFINITION), random.Random(seed)
    place = new_place(folder / "place", make_empty_database(folder / "empty"))
    port = server.free_port()
    behind = server.start(place.folder, port)
    control, address_file = place.folder / "fault", place.folder / "address"
    control.write_text("")
    # threads and forks do not go together: the proxy is a process of its own
    proxying = fork(lambda: _serve(port, control, address_file), place.log, place.variables)
    try:
        while not address_file.exists():
            time.sleep(0.02)
        began = time.monotonic()
        variables = place.variables | {
            "MLFLOW_TRACKING_URI": address_file.read_text(),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        }
        undisturbed = fork(_command("undisturbed"), place.log, variables)
        assert wait(undisturbed, 600) == 0, place.log.read_text()[-3000:]
        expected, lasts = outcome(place, "undisturbed"), time.monotonic() - began
        print(f"{len(expected)} jobs, {lasts:.0f} s undisturbed", flush=True)
        for number in range(count):
            fault, name = FAULTS[number % len(FAULTS)], f"round-{number}"
            # checkpoints are computed anew each time
            own = variables | {"COMPOSABILITY_CACHE": str(place.folder / name)}
            moments = (rng.uniform(0.1, max(1.0, lasts)), rng.uniform(2, 8))
            problem = _one_grid(place, name, own, fault, control, moments)
            attempts.note(fault, problem or problem_of(place, expected, name))
    finally:
        kill(proxying)
        server.stop(behind)
    return attempts


def _command(name: str) -> Callable[[], int]:
    return command_line((*GRID, "--name", name))


def _one_grid(
    place: Place,
    name: str,
    variables: Mapping[str, str],
    fault: str,
    control: Path,
    moments: tuple[float, float],
) -> str:
    """Run a grid with a fault; return what is wrong with how it ended."""
    process = fork(_command(name), place.log, variables)
    time.sleep(moments[0])
    control.write_text(fault)
    time.sleep(moments[1])
    control.write_text("")
    status = wait(process, 600)
    if status is None:
        kill(process)
        return "it did not end"
    for _ in range(2):
        if status:
            status = wait(fork(_command(name), place.log, variables), 600)
    return f"the same again ended with {status}: {place.log.read_text()[-800:]}" if status else ""


def _serve(port_behind: int, control: Path, address_file: Path) -> int:
    with proxy(port_behind) as running:
        partial = address_file.with_suffix(".partial")
        partial.write_text(f"http://127.0.0.1:{running.server_address[1]}")
        partial.rename(address_file)
        while True:
            running.fault = control.read_text()
            time.sleep(0.02)
