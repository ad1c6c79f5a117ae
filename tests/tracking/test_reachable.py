"""A store that is away or wrong is refused in one line, within seconds, before anything is made."""

import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy

from analysis.report.request import AnalysisRequest
from analysis.report.run import run_analysis
from composability.command import main
from interventions.errors import InvalidInput
from sweeps.grid.run import grid
from sweeps.study.run import tune
from tracking import query, reachable, setup, store
from tracking.checkpoints.restore import load_checkpoint
from tracking.run import run

SECRET = "s3cret"
Answer = tuple[int, str]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reachable, "_answered_at", {})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # where nothing checks the store, MLflow's own requests fail at once instead of after minutes
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(tmp_path)


class CountingServer(ThreadingHTTPServer):
    """A server that knows how often it was asked."""

    requests = 0


class Servers:
    """Servers on loopback, each with one answer to everything; status 0 never answers."""

    def __init__(self) -> None:
        self.started: list[CountingServer] = []

    def __call__(self, answer: Answer) -> str:
        """Start a server; return its address, with a password."""
        status, body = answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.requests += 1
                if not status:
                    time.sleep(3)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *_: object) -> None:
                """Print nothing."""

        server = CountingServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.started.append(server)
        return f"http://ada:{SECRET}@127.0.0.1:{server.server_port}"


@pytest.fixture
def serve() -> Iterator[Servers]:
    """A function that starts a server."""
    servers = Servers()
    yield servers
    for server in servers.started:
        server.shutdown()
        server.server_close()


def refusal() -> str:
    """Return why the store is refused."""
    with pytest.raises(store.StoreUnreachable) as error:
        store.check_reachable()
    line = str(error.value)
    assert SECRET not in line and "\n" not in line and len(line) <= 400
    return line


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("foo://x", "there is no store foo://"),
        (f"postgres://u:{SECRET}@h/d", r"postgres://u:\*\*\*@h/d .* write postgresql://"),
        (f"postgresql://u:{SECRET}@h:abc/d", "cannot be reached"),
        (f"http://u:{SECRET}@127.0.0.1:1", "cannot be reached: .*Connection refused"),
        ("http://", "cannot be reached"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("relative/folder", "no longer keeps runs in a folder"),
        ("sqlite:////proc/1/none/x.db", "nothing can be written into /proc/1"),
        ("sqlite:////etc/passwd/x.db", "no folder"),
        ("sqlite:////etc", "no file"),
        ("sqlite:///" + "a" * 300, "name too long"),
    ],
)
def test_an_address_of_no_store_is_refused(
    address: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(store.StoreUnreachable, match=reason):
        store.check_reachable()
    refusal()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((500, "trouble"), "answers with status 500"),
        ((401, "who?"), "refuses the login .* MLFLOW_TRACKING_USERNAME"),
        ((200, "<html>hello</html>"), "is no MLflow server"),
        ((200, "\x00garbage"), "is no MLflow server"),
        ((0, ""), "cannot be reached"),
    ],
)
def test_a_server_that_answers_wrongly_is_refused(
    answer: Answer,
    reason: str,
    serve: Servers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reachable, "_OPENING_SECONDS", 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", serve(answer))
    start = time.monotonic()
    with pytest.raises(store.StoreUnreachable, match=reason):
        store.check_reachable()
    assert time.monotonic() - start < 15


def test_a_server_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, serve: Servers
) -> None:
    monkeypatch.setattr(reachable, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", serve((0, "")))
    assert "no answer within 0.3 seconds" in refusal()


def test_a_server_is_asked_once_for_a_command(
    serve: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", serve((200, json.dumps({"experiments": []}))))
    for _ in range(3):
        store.check_reachable()
    assert [server.requests for server in serve.started] == [1]


def test_a_database_is_asked_with_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def refuse(address: str, connect_args: dict[str, int], **_: object) -> None:
        limits.append(connect_args)
        raise sqlalchemy.exc.OperationalError("connect", {}, Exception(f"no {address}"))

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://ada:{SECRET}@host/runs")
    monkeypatch.setattr(sqlalchemy, "create_engine", refuse)
    assert "no postgresql://ada:***@host/runs" in refusal()
    assert limits[0]["connect_timeout"] <= 10


# SQLite files


@pytest.fixture
def database(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this MLflow, without runs."""
    path = Path(shutil.copy(empty_database, tmp_path / "my runs?.db"))
    path = path.rename(tmp_path / "my runs.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return path


def set_version(database: Path, version: str) -> None:
    """Pretend that another version of MLflow made the tables."""
    with sqlite3.connect(database) as connection:
        connection.execute("update alembic_version set version_num = ?", (version,))
    connection.close()


@pytest.mark.usefixtures("database")
def test_a_store_that_is_there_or_can_be_made_passes_and_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.check_reachable()
    for address in ("sqlite:///new.db", f"sqlite:///{tmp_path}/a/b/new.db", ""):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        store.check_reachable()
    assert [path.name for path in tmp_path.iterdir()] == ["my runs.db"]


def test_a_file_that_is_no_database_is_refused_and_stays(database: Path) -> None:
    database.write_text("notes of mine, " * 100)
    assert "file is not a database" in refusal()
    assert database.read_text().startswith("notes of mine")


@pytest.mark.parametrize("size", [0.5, 0.9])
def test_a_damaged_file_is_named_with_what_can_be_done(
    size: float, empty_database: Path, database: Path
) -> None:
    content = empty_database.read_bytes()
    database.write_bytes(content[: int(size * len(content))])
    with pytest.raises(
        store.StoreUnreachable, match=r"my runs.db cannot be used: the file is damaged .*\.recover"
    ):
        store.check_reachable()


def test_another_programs_database_is_refused(database: Path) -> None:
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("create table contacts (name)")
    connection.close()
    assert "another program" in refusal()


def test_a_store_that_a_process_left_half_written_passes(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("pragma cache_size = 1")  # so that pages are written before the end
    writer.execute("begin")
    writer.execute("create table junk (text)")
    writer.executemany("insert into junk values (?)", [("x" * 4000,)] * 200)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in database.parent.glob("my runs.db*"):
        shutil.copy(path, copy)
    writer.close()
    assert (copy / "my runs.db-journal").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy / 'my runs.db'}")
    store.check_reachable()


def test_a_store_that_another_process_is_at_passes(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachable, "_OPENING_SECONDS", 0.1)
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("begin exclusive")
    store.check_reachable()
    writer.close()


def test_a_newer_mlflows_store_is_refused(database: Path) -> None:
    set_version(database, "ffffffffffff")
    assert "another version of MLflow (ffffffffffff" in refusal()


def test_an_older_mlflows_store_says_how_to_upgrade(database: Path) -> None:
    set_version(database, reachable._schema_versions()[1])
    assert "older MLflow" in refusal() and "mlflow db upgrade" in refusal()


def test_setup_upgrades_the_checkouts_own_store(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (store, reachable):
        monkeypatch.setattr(module, "local_uri", lambda: f"sqlite:///{database}")
    set_version(database, reachable._schema_versions()[0])
    assert setup.initialise_store() == f"sqlite:///{database}"
    set_version(database, "ffffffffffff")
    with pytest.raises(InvalidInput, match="another version"):
        setup.initialise_store()


def test_a_read_only_file_is_read_but_not_written_to(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    # root may write everywhere, so that permissions alone would show nothing
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != database and access(path, mode)
    )
    assert "read-only" in refusal()
    store.check_reachable(writing=False)


def test_reading_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    for read in (query.compositions, lambda: query.items(["a" * 32])):
        with pytest.raises(InvalidInput, match="the file is missing"):
            read()
    assert list(tmp_path.iterdir()) == []


# every command and the Python API

COMMANDS = [
    "run magnitude",
    "grid --interventions magnitude",
    "grid --interventions magnitude --dry-run",
    "tune rmu",
    "analyze",
    "published",
    "setup",
    "setup --ui 5000",
    "restore abc 1 out",
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("address", ["foo://x", f"http://ada:{SECRET}@127.0.0.1:1"])
def test_every_command_says_in_one_line_that_the_store_is_away(
    command: str,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
    start = time.monotonic()
    assert main(command.split()) == 2
    assert time.monotonic() - start < 15
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("error: the store ") and SECRET not in printed.err
    assert not (tmp_path / "out").exists() and not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda: run("magnitude"),
        lambda: grid("magnitude"),
        lambda: tune("rmu"),
        query.compositions,
        lambda: query.items(["a" * 32]),
        lambda: load_checkpoint("a" * 32, 1),
        lambda: store.ensure_experiment("new"),
    ],
)
def test_the_api_says_that_the_store_is_away(
    call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:{SECRET}@127.0.0.1:1")
    with pytest.raises(InvalidInput, match="cannot be reached") as error:
        call()
    assert SECRET not in str(error.value)


def test_nothing_is_planned_or_read_where_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://x")
    monkeypatch.setattr("tracking.run.plan_run", lambda *_: pytest.fail("planned"))
    monkeypatch.setattr("analysis.report.run.prepare_analysis", lambda *_: pytest.fail("read"))
    for call in (lambda: run("magnitude"), lambda: run_analysis(AnalysisRequest(("a",)))):
        with pytest.raises(store.StoreUnreachable):
            call()
    with pytest.raises(store.StoreUnreachable):
        store.ensure_experiment("new")


def test_a_launched_run_of_a_store_that_went_away_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_RUN_ID", "a" * 32)
    start = time.monotonic()
    assert main(["run", "magnitude"]) == 2
    assert time.monotonic() - start < 15 and "cannot be reached" in capsys.readouterr().err
