"""The scores of single items of runs."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from interventions import cache
from interventions.errors import InvalidInput
from tests.tracking.logged_runs import log_run, write_items
from tracking import item_scores, query, schema, store


@pytest.fixture
def items_file(tmp_path: Path) -> Path:
    return write_items(tmp_path / schema.ITEMS)


def test_items_are_the_last_steps_scores_of_the_named_runs(
    local_store: str, items_file: Path
) -> None:
    experiment_id = store.ensure_experiment()
    run_ids = [log_run(local_store, experiment_id, number, items_file) for number in range(3)]
    runs = query.compositions()
    scores = query.items(runs[runs.run_id.isin(run_ids[:2])], ["mmlu"])
    assert list(scores.columns) == ["run_id", "criterion", "step", "item", "score"]
    assert set(scores.run_id) == set(run_ids[:2])
    assert set(scores.criterion) == {"mmlu"} and set(scores.step) == {2}
    assert scores[scores.run_id == run_ids[0]].score.tolist() == [2.0, 2.1, 2.2]


def test_items_of_all_steps_and_criteria_by_run_id(local_store: str, items_file: Path) -> None:
    run_id = log_run(local_store, store.ensure_experiment(), 0, items_file)
    scores = query.items([run_id], last=False)
    assert len(scores) == 2 * 3 * 3


def test_a_run_without_items_is_named_or_skipped(local_store: str, items_file: Path) -> None:
    experiment_id = store.ensure_experiment()
    bare = log_run(local_store, experiment_id, 0)
    log_run(local_store, experiment_id, 1, items_file)
    with pytest.raises(
        InvalidInput, match=f"run {bare} has no items.parquet \\(1 of 2 have none\\)"
    ):
        query.items(query.compositions())
    assert query.items(query.compositions(), missing="skip").run_id.nunique() == 1
    assert query.items([bare], missing="skip").empty


def test_an_unknown_criterion_has_no_items(local_store: str, items_file: Path) -> None:
    run_id = log_run(local_store, store.ensure_experiment(), 0, items_file)
    with pytest.raises(
        InvalidInput, match="no run has items of criterion 'mmul'; they have: mmlu, wmdp"
    ):
        query.items([run_id], ["mmul"])


def test_an_unknown_run_is_named(local_store: str) -> None:
    with pytest.raises(InvalidInput, match="no run 'abc' in sqlite"):
        query.items(["abc"])


@pytest.fixture
def server(items_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A store of artifacts elsewhere in which every run but "bare" has the file; its downloads."""
    downloads: list[str] = []

    def listed(artifact_uri: str, **_: Any) -> list[SimpleNamespace]:
        names = ["report.html"] if "bare" in artifact_uri else ["report.html", schema.ITEMS]
        return [SimpleNamespace(path=f"deeper/{name}") for name in names]

    def download(artifact_uri: str, dst_path: str, **_: Any) -> str:
        downloads.append(artifact_uri)
        return shutil.copy(items_file, dst_path)

    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(item_scores, "list_artifacts", listed)
    monkeypatch.setattr(item_scores, "download_artifacts", download)
    return downloads


def test_what_is_elsewhere_is_downloaded_once(server: list[str], items_file: Path) -> None:
    for _ in range(2):
        with ExitStack() as stack:
            path = item_scores._local_file("abc", "mlflow-artifacts:/1/abc/artifacts", stack)
        assert path == cache.folder() / "items" / "abc.parquet"
        assert path.read_bytes() == items_file.read_bytes()
    assert server == [f"mlflow-artifacts:/1/abc/artifacts/{schema.ITEMS}"]
    assert [file.name for file in (cache.folder() / "items").iterdir()] == ["abc.parquet"]


def test_a_run_elsewhere_without_the_file_has_none(server: list[str]) -> None:
    with ExitStack() as stack:
        assert item_scores._local_file("bare", "mlflow-artifacts:/1/bare", stack) is None
    assert server == []


@pytest.mark.parametrize("fails", ["folder", "rename"])
def test_what_cannot_be_kept_is_read_all_the_same(
    fails: str, server: list[str], items_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("a read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    if fails == "folder":
        monkeypatch.setattr(item_scores, "whole_folder", refuse)
    with ExitStack() as stack:
        path = item_scores._local_file("abc", "mlflow-artifacts:/1/abc", stack)
        assert path is not None
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(items_file))
    assert not path.exists() and len(server) == 1
