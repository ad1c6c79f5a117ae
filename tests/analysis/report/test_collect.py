from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from analysis.report.collect import Collected, collect, grids_of, read_items
from analysis.report.prepare import PreparedAnalysis, check_against_runs
from analysis.report.request import AnalysisRequest
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


def test_items_of_200_runs_are_read_unasked_and_those_of_one_more_are_not(
    read_runs: list[tuple[set[str], list[str]]],
) -> None:
    """Each is a file that is fetched."""
    for count, mode in ((200, "auto"), (201, "auto"), (201, "all")):
        run_ids = [str(number) for number in range(count)]
        point = {"replicates": 1, "forward_runs": tuple(run_ids), "backward_runs": ()}
        prepared = SimpleNamespace(
            request=AnalysisRequest(("made up",), items=mode),
            points=pd.DataFrame([point]),
            orders=SimpleNamespace(runs=pd.DataFrame({"run_id": run_ids})),
            criteria=["edit_success"],
        )
        read_items(cast(PreparedAnalysis, prepared))
    assert [len(run_ids) for run_ids, _ in read_runs] == [200, 201]


def test_the_papers_runs_have_no_items(read_runs: list[tuple[set[str], list[str]]]) -> None:
    printed = curve("ft", "wanda", [0.5], [0.9], [0.8], published="Table 9")
    read([*FEW, *printed], "all")
    assert read_runs[0][0] == ids(FEW)


def test_points_say_whether_they_are_within_the_bounds() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6], mmlu=0.5)
    runs += curve("ft", "wanda", [0.75], [0.5], [0.4], mmlu=0.3)
    analysis = collected(runs, bounds={"mmlu": 0.4}, criteria=("edit_success",))
    assert analysis.points.within_bounds.tolist() == [True, True, False]
    assert set(analysis.points.criterion) == {"edit_success"}
    assert analysis.areas.levels.tolist() == ["0.25 0.5"]
    (order,) = analysis.order.to_dict("records")
    assert order["levels"] == 2 and order["score"] == pytest.approx(0.1)


def test_wins_are_counted_by_level_and_by_area() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6])
    runs += curve("ft", "sparsegpt", [0.25, 0.5], [0.95, 0.8], [0.9, 0.7])
    wins = collected(runs).wins
    of_error = wins[(wins.method == "sparsegpt") & (wins.measure == "order_free_error")]
    assert dict(zip(of_error.over, of_error.wins, strict=False)) == {"level": 1, "area": 1}


def test_the_largest_gain_comes_first_within_a_context() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8]) + curve("lora", "wanda", [0.25], [0.9], [0.5])
    runs += curve("ft", "wanda", [0.25], [0.9], [0.1], model="another")
    order = collected(runs).order
    assert order.context.tolist() == ["model=another, data=d", *["model=m, data=d"] * 2]
    assert order.score.tolist() == pytest.approx([0.8, 0.4, 0.1])
    assert order.order.tolist() == ["ft → wanda", "lora → wanda", "ft → wanda"]


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


def replicated(partner: str, values: list[float]) -> list[dict[str, Any]]:
    runs = []
    for batch, value in enumerate(values):
        runs += curve("ft", partner, [0.25], [value], [value - 0.1], edit_batch=batch)
    return runs


def test_the_order_to_choose_has_the_tests_of_its_own_pair() -> None:
    runs = replicated("wanda", [0.5, 0.61, 0.72, 0.8, 0.9])
    order = collected(runs + curve("lora", "wanda", [0.25], [0.9], [0.85])).order
    order = order.set_index("intervention")
    assert order.units["ft"] == 5 and order.units["lora"] == 1
    assert pd.isna(order.p["lora"]) and order.verdict["lora"] == "untold"


def test_a_win_within_noise_is_a_tie() -> None:
    runs = replicated("wanda", [0.5, 0.6, 0.7, 0.8, 0.9])
    runs += replicated("sparsegpt", [0.9, 0.2, 0.9, 0.6, 0.95])
    wins = collected(runs).wins
    of_error = wins[(wins.measure == "order_free_error") & wins.group.eq("pruning")]
    assert dict(zip(of_error.method, of_error.wins, strict=True)) == {"wanda": 0, "sparsegpt": 0}
    assert dict(zip(of_error.method, of_error.ties, strict=True)) == {"wanda": 1, "sparsegpt": 1}
