from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from analysis.inference.recommend import advise
from analysis.report.collect import (
    Collected,
    ItemChanges,
    collect,
    grids_of,
    read_item_changes,
    read_items,
)
from analysis.report.prepare import PreparedAnalysis, check_against_runs
from analysis.report.request import AnalysisRequest
from analysis.tables.table import WINS
from tests.analysis.synthetic import curve, frame, run


def collected(runs: list[dict[str, Any]], **request: Any) -> Collected:
    prepared = check_against_runs(AnalysisRequest(("made up",), **request), frame(runs))
    return collect(prepared, None, grids_of(prepared))


@pytest.fixture
def read_runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], list[str]]]:
    """Whose items were read: a set of run ids and a list of criteria per request."""
    requests: list[tuple[set[str], list[str]]] = []

    def items(runs: pd.DataFrame, criteria: list[str], missing: str) -> pd.DataFrame:
        assert missing == "skip"
        requests.append((set(runs.run_id), criteria))
        return pd.DataFrame()

    monkeypatch.setattr("tracking.query.items", items)
    return requests


def read(runs: list[dict[str, Any]], mode: str) -> pd.DataFrame | None:
    request = AnalysisRequest(("made up",), items=mode)
    return read_items(check_against_runs(request, frame(runs)))


FEW = curve("ft", "wanda", [0.25], [0.9], [0.8])
MANY = [
    entry
    for batch in range(5)
    for entry in curve("ft", "wanda", [0.5], [0.9], [0.8], edit_batch=batch)
]


def ids(runs: list[dict[str, Any]]) -> set[str]:
    return {entry["run_id"] for entry in runs}


def test_items_of_the_runs_of_pairs_are_read(
    read_runs: list[tuple[set[str], list[str]]],
) -> None:
    read([*FEW, *MANY, run("ft", edit_success=1.0)], "auto")
    assert read_runs == [(ids(FEW) | ids(MANY), ["edit_success"])]
    assert read([*FEW, *MANY], "none") is None
    assert len(read_runs) == 1


@pytest.mark.parametrize(
    ("count", "mode", "are_read"),
    [
        (0, "auto", False),
        (0, "all", False),
        (200, "auto", True),
        (201, "auto", False),
        (201, "all", True),
        (1, "none", False),
    ],
)
def test_items_of_200_runs_are_read_unasked_and_those_of_one_more_are_not(
    count: int, mode: str, are_read: bool, read_runs: list[tuple[set[str], list[str]]]
) -> None:
    """Each is a file that is fetched."""
    run_ids = [str(number) for number in range(count)]
    point = {"replicates": 1, "forward_runs": tuple(run_ids), "backward_runs": ()}
    prepared = SimpleNamespace(
        request=AnalysisRequest(("made up",), items=mode),
        points=pd.DataFrame([point]),
        orders=SimpleNamespace(runs=pd.DataFrame({"run_id": run_ids})),
        criteria=["edit_success"],
    )
    items = read_items(cast(PreparedAnalysis, prepared))
    assert (items is not None) == are_read
    assert read_runs == [({*run_ids}, ["edit_success"])] * are_read


def test_the_papers_runs_have_no_items(read_runs: list[tuple[set[str], list[str]]]) -> None:
    printed = curve("ft", "wanda", [0.5], [0.9], [0.8], published="Table 9")
    read([*FEW, *printed], "all")
    assert read_runs[0][0] == ids(FEW)


def item_scores(runs: list[dict[str, Any]], steps: int) -> pd.DataFrame:
    """Return the scores of one item that every step but the first gets right."""
    rows = [
        {
            "run_id": entry["run_id"],
            "criterion": "edit_success",
            "step": step,
            "item": "0",
            "score": float(step > 1),
        }
        for entry in runs
        for step in range(steps)
    ]
    columns = ["run_id", "criterion", "step", "item", "score"]
    return pd.DataFrame(rows, columns=columns)


def item_changes_of(
    scores: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, **request: Any
) -> ItemChanges | None:
    monkeypatch.setattr("tracking.query.items", lambda *_, **__: scores)
    runs = frame([{**entry, "mmlu": 0.5} for entry in FEW])
    return read_item_changes(check_against_runs(AnalysisRequest(("made up",), **request), runs))


def test_what_steps_did_to_items_is_read_of_both_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = item_changes_of(item_scores(FEW, 3), monkeypatch)
    assert changes is not None
    assert (changes.runs, changes.counts.runs.tolist()) == (2, [1] * 4)
    by_step = changes.items.set_index(["order", "step"]).change.to_dict()
    assert by_step == {
        ("ft → wanda", 1): "wrong",
        ("ft → wanda", 2): "gained",
        ("wanda → ft", 1): "wrong",
        ("wanda → ft", 2): "gained",
    }


@pytest.mark.parametrize(
    ("scores", "request_values"),
    [
        (item_scores(FEW, 3), {"items": "none"}),
        (item_scores(FEW, 1), {}),
        (item_scores([], 1), {}),
    ],
    ids=["not requested", "no step to compare", "no scores"],
)
def test_without_scores_before_and_after_a_step_no_change_of_items_is_told(
    scores: pd.DataFrame, request_values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert item_changes_of(scores, monkeypatch, **request_values) is None


def test_points_say_whether_they_are_within_the_bounds() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6], mmlu=0.5)
    runs += curve("ft", "wanda", [0.75], [0.5], [0.4], mmlu=0.3)
    analysis = collected(runs, bounds={"mmlu": 0.4}, criteria=("edit_success",))
    assert analysis.points.within_bounds.tolist() == [True, True, False]
    assert set(analysis.points.criterion) == {"edit_success"}
    assert analysis.items_read == 0
    assert analysis.areas.levels.tolist() == ["0.25 0.5"]
    (order,) = analysis.order.to_dict("records")
    assert order["levels"] == 2 and order["score"] == pytest.approx(0.1)


def test_wins_are_counted_by_level_and_by_area() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6])
    runs += curve("ft", "sparsegpt", [0.25, 0.5], [0.95, 0.8], [0.9, 0.7])
    wins = collected(runs).wins
    of_error = wins[(wins.method == "sparsegpt") & (wins.measure == "order_free_error")]
    assert dict(zip(of_error.over, of_error.wins, strict=False)) == {"level": 1, "area": 1}
    assert wins.index.tolist() == list(range(len(wins)))


def test_the_largest_gain_comes_first_within_a_context() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8]) + curve("lora", "wanda", [0.25], [0.9], [0.5])
    runs += curve("ft", "wanda", [0.25], [0.9], [0.1], model="another")
    order = collected(runs).order
    assert order.context.tolist() == ["model=another, data=d", *["model=m, data=d"] * 2]
    assert order.score.tolist() == pytest.approx([0.8, 0.4, 0.1])
    assert order.order.tolist() == ["ft → wanda", "lora → wanda", "ft → wanda"]
    assert order.index.tolist() == [0, 1, 2]


def test_tables_are_at_the_requested_level_and_the_appendix_has_all() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6])
    tables = {table.number: table for table in collected(runs).tables}
    assert list(tables) == [2, 9, 10]
    assert "at sparsity 0.25; " in tables[2].caption
    assert len(tables[9].blocks[0].values) == 2
    requested = collected(runs, levels={"sparsity": 0.5}).tables[0]
    assert "at sparsity 0.5; " in requested.caption


def test_figures_show_levels_out_of_bounds_and_findings_do_not() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6], mmlu=0.5)
    runs += curve("ft", "wanda", [0.75], [0.9], [0.1], mmlu=0.3)
    analysis = collected(runs, bounds={"mmlu": 0.4})
    assert analysis.grids[0].panels[0, 0].curves[0].levels.tolist() == [0.25, 0.5, 0.75]
    (sentences,) = analysis.findings.values()
    assert "2 points" in sentences[0].text
    assert not any("0.10 after" in sentence.text for sentence in sentences)


def test_a_pair_without_a_level_is_in_the_tables_beside_those_at_a_level() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8])
    runs += [run("ft | rmu", edit_success=0.9), run("rmu | ft", edit_success=0.8)]
    assert [table.number for table in collected(runs).tables] == [2, 4, 9, 10, 13, 14]


def test_the_appendix_has_levels_out_of_bounds_too() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8], mmlu=0.5)
    runs += curve("ft", "wanda", [0.5], [0.7], [0.6], mmlu=0.3)
    tables = {table.number: table for table in collected(runs, bounds={"mmlu": 0.4}).tables}
    assert len(tables[9].blocks[0].values) == 2


def replicated(partner: str, values: list[float], **columns: Any) -> list[dict[str, Any]]:
    runs = []
    for batch, value in enumerate(values):
        runs += curve("ft", partner, [0.25], [value], [value - 0.1], edit_batch=batch, **columns)
    return runs


def test_the_order_to_choose_has_the_tests_of_its_own_pair() -> None:
    runs = replicated("wanda", [0.5, 0.61, 0.72, 0.8, 0.9])
    order = collected(runs + curve("lora", "wanda", [0.25], [0.9], [0.85])).order
    order = order.set_index("intervention")
    assert order.units["ft"] == 5 and order.units["lora"] == 1
    assert pd.isna(order.p["lora"]) and order.verdict["lora"] == "untold"


def test_a_win_within_noise_is_a_tie_in_the_tables_too() -> None:
    runs = []
    for model in ("b", "a"):
        runs += replicated("wanda", [0.5, 0.6, 0.7], model=model)
        runs += replicated("sparsegpt", [0.9, 0.2, 0.95], model=model)
    analysis = collected(runs)
    of_error = analysis.wins[analysis.wins.measure == "order_free_error"]
    of_error = of_error[of_error.group.eq("pruning") & of_error.over.eq("level")]
    rows = zip(of_error.method, of_error.wins, of_error.ties, strict=True)
    assert sorted(rows) == [*[("sparsegpt", 0, 1)] * 2, *[("wanda", 0, 1)] * 2]
    for table in analysis.tables[:2]:
        wins = table.blocks[0].values[(WINS, "", "")]
        assert wins.dropna().to_dict() == {"Wanda": 0, "SparseGPT": 0}


def test_equal_duels_of_two_contexts_are_counted_in_each() -> None:
    runs = []
    for model in ("b", "a"):
        for partner, value in (("wanda", 0.8), ("sparsegpt", 0.9)):
            runs += curve("ft", partner, [0.25], [value], [value - 0.1], model=model)
    analysis = collected(runs)
    main = [table for table in analysis.tables if table.number == 2]
    assert [table.context for table in main] == ["model=a, data=d", "model=b, data=d"]
    for table in main:
        wins = table.blocks[0].values[(WINS, "", "")]
        assert wins.dropna().to_dict() == {"Wanda": 0, "SparseGPT": 1}


def test_losses_of_all_contexts_are_numbered_together() -> None:
    runs = []
    for model, value in (("b", 0.8), ("a", 0.6)):
        runs += curve("ft", "wanda", [0.25, 0.5], [0.7, value], [0.6, 0.5], model=model)
        runs += [run("ft", edit_success=0.9, model=model)]
    lost = collected(runs).lost
    assert lost.loss.round(2).to_dict() == {0: 0.2, 1: 0.1, 2: 0.2, 3: 0.3}


@pytest.mark.parametrize(
    ("criteria", "weights"),
    [
        ((), None),
        (("mmlu", "edit_success"), {"mmlu": 1.0, "edit_success": 1.0}),
        (("mmlu", "sparsity", "wikitext_ppl"), {"mmlu": 1.0}),
        (("sparsity", "wikitext_ppl"), None),
    ],
)
def test_requested_criteria_between_0_and_1_weigh_equally_in_the_order(
    criteria: tuple[str, ...], weights: dict[str, float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sparsity has no better direction, and perplexity no bounds: these weigh nothing."""
    weighed: list[dict[str, float] | None] = []

    def advice(*values: Any) -> Any:
        weighed.append(values[4])
        return advise(*values)

    monkeypatch.setattr("analysis.report.collect.advise", advice)
    values = {"mmlu": 0.5, "sparsity": 0.25, "wikitext_ppl": 8.0}
    collected(curve("ft", "wanda", [0.25], [0.9], [0.8], **values), criteria=criteria)
    assert weighed == [weights]
