"""Shared by all tests: no hub, no progress bars, the testbed, a store of the test's own."""

import dataclasses
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# nothing of the checkout's cache is used
os.environ["COMPOSABILITY_CACHE"] = tempfile.mkdtemp(prefix="composability-")

import mlflow
import pytest
import torch

from interventions.criteria.editing import locality_answers
from interventions.data.base import Data
from interventions.data.testbed import MODEL, testbed
from interventions.lm import LM
from tracking import published, store
from tracking.checkpoints.store import Checkpoints

torch.set_num_threads(1)  # pytest-xdist runs a worker per core
# a shell's background job ignores interrupts, and hands that on to its children
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out, unless ``-m`` speaks of them."""
    if "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.fixture
def lm() -> LM:
    """A fresh copy of the testbed's model."""
    return LM.load(MODEL)


@pytest.fixture(scope="session")
def data() -> Data:
    """The testbed's data, with the base model's answers."""
    unasked = testbed()
    return dataclasses.replace(unasked, base_answers=locality_answers(LM.load(MODEL), unasked))


@pytest.fixture(scope="session")
def small(data: Data) -> Data:
    """The same with few of everything, for tests of mechanics."""
    return dataclasses.replace(
        data,
        edits=data.edits[:4],
        locality=data.locality[:8],
        base_answers=data.base_answers and data.base_answers[:8],
        forget=data.forget[:8],
        retain=data.retain[:16],
        calibration=data.calibration[:16],
        statistics=data.statistics[:32],
        test_text=data.test_text[:4],
    )


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables, which take seconds to make."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        store.prepare_database()
    return path


@pytest.fixture
def local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> str:
    """A fresh SQLite store; nothing of the checkout's is touched."""
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    store.ensure_experiment()
    return uri


@pytest.fixture(scope="session")
def published_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store with the paper's 311 rows; tests read it only."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('published')}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        published.publish()
    return uri


@pytest.fixture(scope="session")
def kept_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session: what one test computed, another need not."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def checkpoints(kept_folder: Path) -> Checkpoints:
    """The session's cache."""
    return Checkpoints(kept_folder)


@pytest.fixture
def weights() -> Callable[[LM], dict[str, torch.Tensor]]:
    """A function that copies all weights."""
    return lambda lm: {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}


@pytest.fixture(autouse=True)
def _no_run_of_ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tests may themselves run inside `mlflow run`, and `mlflow.set_experiment` lasts.

    It writes the experiment's id into the environment, where the next test's processes find it.
    """
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    yield


def pytest_unconfigure() -> None:
    """Remove this process's cache, also where pytest-xdist ends the process without its exit."""
    shutil.rmtree(os.environ["COMPOSABILITY_CACHE"], ignore_errors=True)
