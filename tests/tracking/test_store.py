import logging
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils

from interventions import cache
from interventions.criteria.base import CRITERIA
from tests.quality.plain_words import PACKAGES, python_files
from tests.test_contracts import HOUSE_CRITERIA
from tests.tracking.test_saved_views import saved_state
from tracking import setup, store
from tracking.address import sqlite_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "COMPOSABILITY_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("without_environment")
def test_store_and_cache_are_the_checkouts_wherever_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cache.checkout() == cache.root() == ROOT
    assert store.uri() == f"sqlite:///{ROOT}/mlflow.db"
    assert cache.folder() == ROOT / ".cache" / "checkpoints"


@pytest.mark.usefixtures("without_environment")
def test_a_wheels_store_and_cache_are_the_current_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        cache, "__file__", str(tmp_path / "packages" / "interventions" / "cache.py")
    )
    monkeypatch.chdir(tmp_path)
    assert store.uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert cache.folder() == tmp_path / ".cache" / "checkpoints"


def test_the_environment_names_another_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert store.uri() == "http://127.0.0.1:5000"


def test_the_experiment_is_made_once_and_describes_the_houses_criteria(
    local_store: str, tmp_path: Path
) -> None:
    experiment_id = store.ensure_experiment()
    assert store.ensure_experiment() == experiment_id
    experiment = MlflowClient(local_store).get_experiment(experiment_id)
    assert experiment.name == "composability"
    assert experiment.artifact_location == (tmp_path / "mlruns" / "composability").as_uri()
    for name in HOUSE_CRITERIA:
        assert f"`{name}`" in experiment.tags["mlflow.note.content"]


def test_a_stores_folders_are_made_if_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "new" / "folder" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")

    def engine_of(uri: str) -> SimpleNamespace:
        return SimpleNamespace(file=Path(uri.removeprefix("sqlite:///")), dispose=lambda: None)

    # tables take seconds to make, and are not what this is about
    monkeypatch.setattr(utils, "_initialize_tables", lambda engine: engine.file.touch())
    monkeypatch.setattr(utils, "create_sqlalchemy_engine_with_retry", engine_of)
    monkeypatch.setattr(mlflow, "MlflowClient", lambda tracking_uri: database.is_file())
    assert store.client() is True  # it was there when MLflow's client was made
    assert database.is_file()


def test_the_link_opens_a_saved_view_with_columns_that_exist(local_store: str) -> None:
    experiment = MlflowClient(local_store).get_experiment(store.ensure_experiment())
    key = setup.runs_table_address(5000).rpartition("viewStateShareKey=")[2]
    view = saved_state(experiment.tags[f"mlflow.sharedViewState.{key}"])
    columns = view["selectedColumns"]
    assert view["searchFilter"] == "tags.`composability.rejected` IS NULL"
    metrics = {column.split("`")[1] for column in columns if column.startswith("metrics.")}
    assert metrics <= set(CRITERIA.all()) and metrics


def test_an_experiments_name_cannot_lead_its_artifacts_elsewhere(
    local_store: str, tmp_path: Path
) -> None:
    experiment = MlflowClient(local_store).get_experiment(store.ensure_experiment("../../a b"))
    assert experiment.artifact_location == (tmp_path / "mlruns" / "______a_b").as_uri()


@pytest.mark.full
def test_processes_that_make_store_and_experiment_at_once_get_one_id(local_store: str) -> None:
    # as where a run, a grid or a study begins: first a client, then the experiment
    code = "from tracking import store; store.client(); print(store.ensure_experiment())"
    command = [sys.executable, "-c", code]

    def launch(_: int) -> str:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor() as pool:
        ids = set(pool.map(launch, range(3)))
    assert ids == {f"{store.ensure_experiment()}\n"}


def test_every_client_is_made_where_a_missing_store_is_made_first() -> None:
    makers = [
        path.relative_to(ROOT).as_posix()
        for path in python_files(*PACKAGES)
        if re.search(r"\bMlflowClient\((?!\)\.delete)", path.read_text())
    ]
    assert makers == ["tracking/store.py"]


def test_an_error_of_the_database_is_raised_and_not_logged_too(local_store: str) -> None:
    said: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Recorder()
    logger = logging.getLogger("mlflow.store.db.utils")
    logger.addHandler(handler)
    try:
        client = store.client()
        client.search_experiments()
        said.clear()  # of the tables that it made
        database = sqlite_file(local_store)
        assert database is not None
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("DROP TABLE experiments")
        with pytest.raises(MlflowException, match="no such table: experiments"):
            client.search_experiments()
        assert said == []
        logger.error("what else it says")
        assert said == ["what else it says"]
    finally:
        logger.removeHandler(handler)


def test_a_deleted_experiment_says_how_to_restore_it(local_store: str) -> None:
    experiment_id = store.ensure_experiment()
    MlflowClient(local_store).delete_experiment(experiment_id)
    message = f"was deleted .* mlflow experiments restore -x {experiment_id}"
    with pytest.raises(ValueError, match=message):
        store.ensure_experiment()
