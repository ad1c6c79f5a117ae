"""The scores of single items of runs."""

from pathlib import Path

import pytest

from interventions.errors import InvalidInput
from tests.tracking.logged_runs import log_run, write_items
from tracking import query, schema, store


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
