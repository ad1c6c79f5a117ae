"""How runs end: by failure, by a signal, killed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import RunTag

from interventions.errors import InvalidInput
from tests.tracking.recorded import artifacts
from tracking import lifecycle, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.heartbeat import launcher_watch
from tracking.processes import LAUNCHER
from tracking.run import run

ROOT = Path(__file__).resolve().parents[2]


def test_a_failure_leaves_the_run_failed_with_its_traceback(
    local_store: str, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("tracking.chain.apply", broken)
    with pytest.raises(RuntimeError, match=r"out of luck"):
        run("ft(steps=7)", cache=checkpoints)
    (failed,) = MlflowClient(local_store).search_runs([store.ensure_experiment()])
    assert failed.info.status == "FAILED"
    assert failed.data.tags["mlflow.note.content"] == "out of luck"
    assert (
        "RuntimeError: out of luck" in (artifacts(failed.info.run_id) / "traceback.txt").read_text()
    )


def test_sigterm_raises_inside_a_block_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with lifecycle._sigterm_raises() as is_raised:
        assert is_raised
        with pytest.raises(lifecycle.Terminated):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def closed(uri: str, error: BaseException | None) -> tuple[str, dict[str, str]]:
    """Return the status and tags of a run whose block raises an error, or nothing."""
    client = MlflowClient(uri)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    try:
        with lifecycle.closing_run(client, run_id):
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error
    run = client.get_run(run_id)
    return run.info.status, run.data.tags


@pytest.mark.parametrize(
    ("error", "status", "note"),
    [
        (None, "FINISHED", None),
        (ValueError("two\nlines"), "FAILED", "two lines"),
        (SystemExit(3), "FAILED", "3"),
        (lifecycle.Stopped("given up"), "KILLED", "given up"),
        (KeyboardInterrupt(), "KILLED", None),
        (lifecycle.Terminated(), "KILLED", None),
    ],
)
def test_a_run_ends_as_its_block_does(
    error: BaseException | None, status: str, note: str | None, local_store: str
) -> None:
    ended, tags = closed(local_store, error)
    assert (ended, tags.get(schema.NOTE)) == (status, note)
    assert tags[schema.PID] == str(os.getpid())


def test_only_dead_runs_are_ended(local_store: str) -> None:
    client, experiment_id = MlflowClient(local_store), store.ensure_experiment()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead_tags = {**lifecycle.process_tags(), schema.PID: str(ended.pid)}
    dead = client.create_run(experiment_id, tags=dead_tags).info.run_id
    alive = client.create_run(experiment_id, tags=lifecycle.process_tags()).info.run_id
    assert lifecycle.end_dead_runs(client, experiment_id) == [dead]
    assert client.get_run(dead).info.status == "KILLED"
    assert "was killed" in client.get_run(dead).data.tags[schema.NOTE]
    assert client.get_run(alive).info.status == "RUNNING"
    assert lifecycle.end_dead_runs(client, experiment_id) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (InvalidInput("not\nvalid"), 2),
        (KeyboardInterrupt(), 130),
        (lifecycle.Terminated(), 143),
    ],
)
def test_a_command_has_the_status_of_how_it_ended(
    error: BaseException | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        if error is not None:
            raise error

    assert lifecycle.exit_status(command) == status
    assert capsys.readouterr().err == ("error: not valid\n" if status == 2 else "")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({schema.PID: "1"}, "is process 1's on"),
        ("deleted", "was deleted meanwhile"),
        ("KILLED", "was ended meanwhile, as KILLED"),
    ],
)
def test_a_process_whose_run_is_anothers_stops_and_leaves_it_as_it_is(
    change: dict[str, str] | str, expected: str, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking.heartbeat.HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr("tracking.heartbeat._WATCH_SECONDS", 0.05)
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    with (
        pytest.raises(lifecycle.TakenOver, match=f"run {run_id} {expected}"),
        lifecycle.closing_run(client, run_id),
    ):
        if isinstance(change, dict):
            client.log_batch(run_id, tags=[RunTag(*tag) for tag in change.items()])
        elif change == "deleted":
            client.delete_run(run_id)
        else:
            client.set_terminated(run_id, change)
        time.sleep(20)  # the signal ends it
    left = client.get_run(run_id)
    assert left.info.status == ("KILLED" if change == "KILLED" else "RUNNING")
    assert schema.NOTE not in left.data.tags


def test_a_run_that_several_processes_are_at_is_no_ones(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking.heartbeat.HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr("tracking.heartbeat._WATCH_SECONDS", 0.02)
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    with lifecycle.closing_run(client, run_id, shared=True):
        client.set_tag(run_id, schema.PID, "1")
        time.sleep(0.2)
    assert client.get_run(run_id).info.status == "FINISHED"


@pytest.mark.parametrize(("status", "left"), [("RUNNING", "KILLED"), ("FINISHED", "FINISHED")])
def test_ctrl_c_before_there_is_a_run_of_ours_ends_that_of_the_launcher_killed(
    status: str, left: str, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    client.update_run(run_id, status=status)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)

    def interrupted() -> None:
        raise KeyboardInterrupt

    assert lifecycle.exit_status(interrupted) == 130
    assert client.get_run(run_id).info.status == left


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_process_whose_launcher_was_killed_before_its_run_began_ends_it_killed(
    is_gone: bool, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    owner = lifecycle.process_tags()
    if is_gone:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        owner[schema.PID] = str(ended.pid)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv(LAUNCHER, json.dumps(owner))
    entered = False
    with suppress(lifecycle.Terminated), lifecycle.closing_run(client, run_id):
        entered = True
    assert entered is not is_gone
    assert client.get_run(run_id).info.status == ("KILLED" if is_gone else "FINISHED")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"composability_machine.host": "elsewhere"}'])
def test_a_launcher_that_cannot_be_seen_is_not_waited_for(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "run")
    monkeypatch.setenv(LAUNCHER, text)
    assert not launcher_watch()()
    monkeypatch.delenv("MLFLOW_RUN_ID")
    assert not launcher_watch()()


def start(arguments: list[str], uri: str, cache: Path) -> subprocess.Popen[str]:
    """A run in a process of its own that has come to its first step."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "COMPOSABILITY_CACHE": str(cache)}
    command = [sys.executable, "-m", "composability", "run", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True)
    client = MlflowClient(uri)
    for _ in range(600):
        runs = client.search_runs([client.get_experiment_by_name("composability").experiment_id])
        if runs and "edit_success" in runs[0].data.metrics:
            return process
        assert process.poll() is None
        time.sleep(0.2)
    raise AssertionError("the run never came to its first step")


LONG = ["--first", "lora(steps=100000)"]


@pytest.mark.full
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_run_killed(
    number: signal.Signals, status: int, local_store: str, kept_folder: Path
) -> None:
    process = start(LONG, local_store, kept_folder)
    process.send_signal(number)
    assert process.wait(60) == status
    (killed,) = MlflowClient(local_store).search_runs([store.ensure_experiment()])
    assert killed.info.status == "KILLED"


@pytest.mark.full
def test_a_run_killed_with_9_is_marked_at_the_next_start(
    local_store: str, checkpoints: Checkpoints
) -> None:
    process = start(LONG, local_store, checkpoints.folder)
    process.kill()
    process.wait(60)
    client = MlflowClient(local_store)
    (left,) = client.search_runs([store.ensure_experiment()])
    assert left.info.status == "RUNNING"
    run("none", cache=checkpoints)
    assert client.get_run(left.info.run_id).info.status == "KILLED"


def test_a_store_that_turns_out_to_be_damaged_is_one_line(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise RuntimeError("(sqlite3.DatabaseError) database disk image is malformed")

    assert lifecycle.exit_status(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "mlflow.db cannot be used: the file is damaged" in error
    assert "put a copy in its place" in error and ".recover" in error

    def unrelated() -> None:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        lifecycle.exit_status(unrelated)
