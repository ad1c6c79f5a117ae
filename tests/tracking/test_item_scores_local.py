"""Items of runs whose artifacts lie here: read in place, and the store is not asked."""

from pathlib import Path

import pandas as pd
import pytest

from interventions.errors import InvalidInput
from tracking import schema
from tracking.item_scores import items

ROWS = pd.DataFrame(
    [
        *(("mmlu", 0, "a", 0.25), ("mmlu", 1, "a", 0.5), ("mmlu", 1, "b", 0.75)),
        *(("wmdp", 1, "c", 1.0), ("wmdp", 0, "c", 0.0)),
    ],
    columns=["criterion", "step", "item", "score"],
)


def runs_in(folder: Path, *, lacking: int = 0) -> pd.DataFrame:
    """Return two runs with items, of which the second has another step, and some without."""
    of_run = {"second": ROWS.assign(step=ROWS.step + 1, score=ROWS.score + 2), "first": ROWS}
    for run_id, rows in of_run.items():
        (folder / run_id).mkdir()
        rows.to_parquet(folder / run_id / schema.ITEMS, index=False)
    run_ids = [*(f"bare {number}" for number in range(lacking)), *of_run]
    return pd.DataFrame({"run_id": run_ids, "artifact_uri": [str(folder / r) for r in run_ids]})


def test_items_are_those_of_the_last_step_of_every_run_in_the_runs_order(tmp_path: Path) -> None:
    scores = items(runs_in(tmp_path), ["mmlu"])
    expected = pd.DataFrame(
        [
            *(("second", "mmlu", 2, "a", 2.5), ("second", "mmlu", 2, "b", 2.75)),
            *(("first", "mmlu", 1, "a", 0.5), ("first", "mmlu", 1, "b", 0.75)),
        ],
        columns=["run_id", "criterion", "step", "item", "score"],
    )
    pd.testing.assert_frame_equal(scores, expected)


def test_items_of_all_steps_are_as_they_were_logged(tmp_path: Path) -> None:
    scores = items(runs_in(tmp_path)[1:], last=False)
    assert scores.index.tolist() == [0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(scores.drop(columns="run_id"), ROWS)
    assert set(scores.run_id) == {"first"}


def test_the_first_run_without_items_is_named_and_all_are_counted(tmp_path: Path) -> None:
    runs = runs_in(tmp_path, lacking=2)
    with pytest.raises(InvalidInput, match=r"run bare 0 has no items.parquet \(2 of 4 have none\)"):
        items(runs)
    assert items(runs, missing="skip").run_id.unique().tolist() == ["second", "first"]
    none = items(runs[:2], missing="skip")
    assert list(none.columns) == ["run_id", "criterion", "step", "item", "score"] and none.empty


def test_the_first_unknown_criterion_in_the_alphabet_is_named_with_those_there_are(
    tmp_path: Path,
) -> None:
    """Of the last step, or of all: wmdp has none after the last step."""
    runs = runs_in(tmp_path)[1:]
    with pytest.raises(InvalidInput, match=r"of criterion 'b'; they have: mmlu, wmdp$"):
        items(runs, ["wmdp", "c", "b", "d"])
    rows = ROWS[:-2]
    pd.concat([rows, ROWS[-1:]]).to_parquet(tmp_path / "first" / schema.ITEMS, index=False)
    with pytest.raises(InvalidInput, match=r"of criterion 'b'; they have: mmlu$"):
        items(runs, ["b"])
    with pytest.raises(InvalidInput, match=r"of criterion 'b'; they have: mmlu, wmdp$"):
        items(runs, ["b"], last=False)
    assert set(items(runs, ["b", "mmlu"], missing="skip").criterion) == {"mmlu"}


def test_missing_is_to_raise_or_to_skip() -> None:
    with pytest.raises(InvalidInput, match="missing must be"):
        items([], missing="drop")
