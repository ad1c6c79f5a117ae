"""A grid that is killed, damaged, out of room or cut off from its store ends as if untouched."""

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from pandas.testing import assert_frame_equal

from benchmarks import server
from interventions.lm import LM
from tests.sweeps.grid import processes
from tests.sweeps.grid.processes import RUNS, ended, finished, running, start, statuses, table
from tracking import schema
from tracking.checkpoints import load_checkpoint

pytestmark = pytest.mark.slow
BATCHES = 2
COMPOSITIONS = RUNS * BATCHES
ARGUMENTS = ("--edit_batches", str(BATCHES), "--checkpoints", "changed")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of the 30 compositions when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    uri = f"sqlite:///{folder}/mlflow.db"
    status, output = ended(start(uri, folder / "cache", *ARGUMENTS))
    assert status == 0, output
    frame = table(uri, folder / "table")
    assert len(frame) == COMPOSITIONS
    return frame


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    """No process outlives its test."""
    yield
    while processes.STARTED:
        process = processes.STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def check(uri: str, folder: Path, expected: pd.DataFrame) -> None:
    """Every composition FINISHED once per batch of edits, no run RUNNING, every value the same."""
    run_statuses = statuses(uri)
    assert len(run_statuses) == RUNS
    assert all(job == ["FINISHED"] * BATCHES for job in run_statuses.values())
    assert running(uri) == []
    assert_frame_equal(table(uri, folder), expected, check_exact=True)


def wait_for(count: int, uri: str, process: subprocess.Popen[str]) -> None:
    """Until so many runs are finished."""
    deadline = time.monotonic() + 600
    while finished(uri) < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)


def test_killed_at_twenty_moments(
    tmp_path: Path, undisturbed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With kill -9; each time the same command goes on. What was finished stays as it was."""
    uri, rng = f"sqlite:///{tmp_path}/mlflow.db", random.Random(0)
    finished_before: set[str] = set()
    for kill in range(20):
        process = start(uri, tmp_path / "cache", *ARGUMENTS)
        # every fourth is killed while it starts, the rest at work, however slow the machine is
        if kill % 4:
            wait_until_at_work(uri, process)
            wait_for(kill, uri, process)
        time.sleep(rng.uniform(0, 3))
        assert process.poll() is None
        process.kill()
        process.communicate()
        assert finished_before <= finished_ids(uri)
        finished_before = finished_ids(uri)
    assert 0 < len(finished_before) < COMPOSITIONS
    status, output = ended(start(uri, tmp_path / "cache", *ARGUMENTS))
    assert status == 0, output
    assert finished_before <= finished_ids(uri)
    check(uri, tmp_path / "table", undisturbed)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run_id = min(finished_before)
    steps = schema.step_names(MlflowClient(tracking_uri=uri).get_run(run_id).data.params)
    if steps:
        restored = load_checkpoint(run_id, len(steps), tmp_path / "restored")
        assert LM.load(restored).fingerprint()


def wait_until_at_work(uri: str, process: subprocess.Popen[str]) -> None:
    """Until the parent run is this process's."""
    deadline = time.monotonic() + 300
    query = f"tags.`{schema.SWEEP_ROOT}` = 'mine' and tags.`{schema.PID}` = '{process.pid}'"
    while process.poll() is None and time.monotonic() < deadline:
        if processes.search(uri, query):
            return
        time.sleep(0.2)
    raise AssertionError(process.communicate())


def finished_ids(uri: str) -> set[str]:
    """Of the grid's finished runs; none before there is an experiment."""
    query = f"tags.`{schema.SWEEP}` = 'mine' and attributes.status = 'FINISHED'"
    return {run.info.run_id for run in processes.search(uri, query)}


def test_a_flipped_byte_in_every_kept_file(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    """None of them is used; each is named in a warning."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    process = start(uri, tmp_path / "cache", *ARGUMENTS)
    wait_for(8, uri, process)
    process.kill()
    process.communicate()
    weights = list((tmp_path / "cache").glob("*/*.safetensors"))
    values = list((tmp_path / "cache" / "scores").glob("*.json"))
    assert weights and values
    for path in (*weights, *values):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    status, output = ended(start(uri, tmp_path / "cache", *ARGUMENTS))
    assert status == 0, output
    assert "is damaged (model.safetensors): computed again" in output
    assert "is damaged: measured again" in output
    check(uri, tmp_path / "table", undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a file system of 128 MB cannot be made here: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """No byte more fits."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(size))
    assert shutil.disk_usage(disk).free == 0
    yield
    ballast.unlink()


def without_checkpoints(table: pd.DataFrame) -> pd.DataFrame:
    """The same table of a grid that logs none."""
    return table.drop(columns="checksum").assign(checkpoints="none")


def test_a_full_disk_under_the_cache_costs_only_time(
    tmp_path: Path, small_disk: Path, undisturbed: pd.DataFrame
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    process = start(uri, small_disk, *ARGUMENTS[:2])
    wait_for(3, uri, process)
    with full(small_disk):
        status, output = ended(process)
        assert status == 0, output
        assert "going on without it" in output
    check(uri, tmp_path / "table", without_checkpoints(undisturbed))


def test_a_full_disk_under_everything(
    tmp_path: Path, small_disk: Path, undisturbed: pd.DataFrame
) -> None:
    """Store, artifacts and cache, for half a minute: waited out or failed, but nothing lost."""
    uri = f"sqlite:///{small_disk}/mlflow.db"
    arguments = ARGUMENTS[:2]
    process = start(uri, small_disk / "cache", *arguments)
    wait_for(5, uri, process)
    before = finished_ids(uri)
    with full(small_disk):
        time.sleep(30)
        assert before <= finished_ids(uri)
    first, output = ended(process)
    assert first in (0, 1), output
    if first:
        status, output = ended(start(uri, small_disk / "cache", *arguments))
        assert status == 0, output
    assert before <= finished_ids(uri)
    check(uri, tmp_path / "table", without_checkpoints(undisturbed))


def test_a_tracking_server_that_is_down_for_half_a_minute(
    tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    port = server.free_port()
    uri, store = f"http://127.0.0.1:{port}", tmp_path / "store"
    process = server.start(store, port)
    try:
        grid = start(uri, tmp_path / "cache", *ARGUMENTS)
        wait_for(5, uri, grid)
        server.stop(process)
        time.sleep(30)
        assert grid.poll() is None
        process = server.start(store, port)
        status, output = ended(grid)
        assert status == 0, output
        check(uri, tmp_path / "table", undisturbed)
    finally:
        server.stop(process)
