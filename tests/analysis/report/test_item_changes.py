from typing import Any

import pandas as pd
import pytest

from analysis.metrics import composability as co
from analysis.report.item_changes import (
    RIGHT,
    count_changes,
    item_changes,
    read_step_scores,
    runs_to_read,
)
from tests.analysis.synthetic import curve, frame, run

RUNS = curve("ft", "wanda", [0.5], [0.5], [0.25], edit_batch=0)
# right or wrong of four items before the first step and after each of both
PATHS = {0: [(0, 1, 1), (0, 1, 0), (1, 0, 0), (0, 0, 1)], 1: [(0, 0, 1), (1, 1, 0)]}


def scores(runs: list[dict[str, Any]]) -> pd.DataFrame:
    rows = [
        (runs[number]["run_id"], "edit_success", step, str(item), 0.6 if right else 0.4)
        for number, paths in PATHS.items()
        for item, path in enumerate(paths)
        for step, right in enumerate(path)
    ]
    return pd.DataFrame(rows, columns=["run_id", "criterion", "step", "item", "score"])


def test_what_each_step_kept_lost_and_gained_is_counted_by_order() -> None:
    table = frame(RUNS)
    counts = count_changes(item_changes(co.point(table), scores(RUNS), table))
    rows = {
        (row["order"], row["step"]): (row["applied"], row["kept"], row["lost"], row["gained"])
        for row in counts.to_dict("records")
    }
    assert rows == {
        ("ft → wanda", 1): ("ft", 0, 1, 2),
        ("ft → wanda", 2): ("wanda", 1, 1, 1),
        ("wanda → ft", 1): ("wanda", 1, 0, 0),
        ("wanda → ft", 2): ("ft", 0, 1, 1),
    }
    assert set(counts["items"]) == {4, 2} and set(counts.runs) == {1}


def test_a_change_that_no_item_made_counts_zero() -> None:
    table = frame(RUNS)
    all_right = scores(RUNS).assign(score=0.6)
    counts = count_changes(item_changes(co.point(table), all_right, table))
    assert set(counts.kept) == {4, 2} and set(counts["items"]) == {4, 2}
    assert not counts[["lost", "gained", "wrong"]].to_numpy().any()


def test_every_item_is_named_with_what_became_of_it() -> None:
    table = frame(RUNS)
    changes = item_changes(co.point(table), scores(RUNS), table)
    first = changes[(changes.order == "ft → wanda") & (changes.step == 1)].set_index("item")
    assert first.change.to_dict() == {"0": "gained", "1": "gained", "2": "lost", "3": "wrong"}


def test_an_item_is_right_from_a_score_of_one_half() -> None:
    changes = item_changes(co.point(frame(RUNS)), scores(RUNS).assign(score=RIGHT), frame(RUNS))
    assert RIGHT == 0.5 and set(changes.change) == {"kept"}
    below = scores(RUNS).assign(score=0.4999)
    changes = item_changes(co.point(frame(RUNS)), below, frame(RUNS))
    assert set(changes.change) == {"wrong"}


def test_scores_of_every_step_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[list[str], bool, str]] = []

    def items(runs: pd.DataFrame, criteria: list[str], *, last: bool, missing: str) -> pd.DataFrame:
        requests.append((criteria, last, missing))
        return scores(RUNS)

    monkeypatch.setattr("tracking.query.items", items)
    table = frame(RUNS)
    assert read_step_scores(co.point(table), table, ["edit_success"]) is not None
    assert requests == [(["edit_success"], False, "skip")]


def test_items_of_a_pair_without_a_level_are_counted() -> None:
    runs = [run(steps, edit_success=0.5) for steps in ("ft | rmu", "rmu | ft")]
    table = frame(runs)
    counts = count_changes(item_changes(co.point(table), scores(runs), table))
    assert len(counts) == 4 and counts.level.isna().all()


def test_numbers_are_means_over_the_batches() -> None:
    runs = [*RUNS, *curve("ft", "wanda", [0.5], [0.5], [0.25], edit_batch=1)]
    table = frame(runs)
    both = pd.concat([scores(runs[:2]), scores(runs[2:]).assign(score=0.1)])
    counts = count_changes(item_changes(co.point(table), both, table))
    first = counts[(counts.order == "ft → wanda") & (counts.step == 1)].iloc[0]
    assert (first.runs, first.gained, first.lost, first["items"]) == (2, 1, 0.5, 4)


def test_whole_points_are_read_until_there_are_200_runs() -> None:
    runs = []
    for batch in range(60):
        runs += curve("ft", "wanda", [0.25, 0.5], [0.5] * 2, [0.5] * 2, edit_batch=batch)
    table = frame(runs)
    points = co.point(table)
    assert len(runs_to_read(points, table)) == 120
    assert len(runs_to_read(points, table, most=239)) == 120
    assert len(runs_to_read(points, table, most=240)) == 240
    assert set(runs_to_read(points, table)["wanda.sparsity"]) == {0.25}


def test_runs_without_items_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    table = frame(RUNS)
    points = co.point(table)
    monkeypatch.setattr("tracking.query.items", lambda *_, **__: scores(RUNS).iloc[:0])
    assert read_step_scores(points, table, ["edit_success"]) is None
    monkeypatch.setattr("tracking.query.items", lambda *_, **__: pytest.fail("nothing to read"))
    assert read_step_scores(points, table.iloc[:0], ["edit_success"]) is None
    assert read_step_scores(points, table, []) is None
