"""Shared by the tests of the paper's data: local copies, as there is no hub in tests."""

import shutil
from pathlib import Path

import datasets
import pytest

from interventions.data import hub
from tests.interventions.data.local_copies import write_copies


@pytest.fixture(scope="session")
def pristine_copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All data sets, a few records each; not to be changed."""
    folder = tmp_path_factory.mktemp("copies")
    write_copies(folder)
    return folder


@pytest.fixture
def copies(pristine_copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to be changed; what `datasets` prepares of it goes with it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.delenv(hub.VARIABLE, raising=False)
    return Path(shutil.copytree(pristine_copies, tmp_path / "copies"))
