"""The files of an analysis of made-up runs of two pairs, and their columns: what others read."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.report.files import write_files
from analysis.report.prepare import check_against_runs
from analysis.report.request import AnalysisRequest
from tests.analysis.synthetic import curve, frame, run

VARIANTS = ["intervention_variant", "partner_variant"]
GROUPS = ["better", "unit", "intervention_group", "partner_group"]
SCORES = ["forward", "backward", "order_free_error", "order_sensitivity"]
TESTS = ["se", "df", "p", "p_holm", "q", "differs", "units", "basis", "scope"]
FIRST = {
    "composability.csv": ["intervention", "partner", "criterion", "level", *SCORES, "strength"],
    "areas.csv": [
        "intervention",
        "partner",
        "criterion",
        "strength",
        "context",
        *VARIANTS,
        *GROUPS,
    ],
    "wins.csv": [
        *("group", "method", "criterion", "measure", "versus_group"),
        *("strength", "level", "context", "wins", "ties", "comparisons", "over"),
    ],
    "order.csv": [
        *("intervention", "partner", "context"),
        *VARIANTS,
        *("order", "verdict", "score", "low", "high", "p", "p_holm", "p_over_pairs"),
        *("levels", "units", "basis", "words", "runs"),
    ],
    "losses.csv": ["intervention", "partner", "criterion", "strength", "level", "context"],
}
COLUMNS = {
    "composability.csv": {
        *("context", *VARIANTS, "forward_runs", "backward_runs", "replicates", "unpaired"),
        *(*GROUPS, *TESTS, "gain", "gain_low", "gain_high", "noise_floor", "within_bounds"),
        *("order_sensitivity_low", "order_sensitivity_high", "about", "claimed"),
        *("order_free_error_low", "order_free_error_high", "order_free_error_adjusted"),
    },
    "areas.csv": {
        *("levels", "left_out", "range", *SCORES, "order_free_error_adjusted", *TESTS),
        *("signed", "signed_low", "signed_high"),
    },
    "wins.csv": set[str](),
    "order.csv": set[str](),
    "losses.csv": {
        *("side", "loss", "low", "high", "p", "p_holm", "units", "verdict", "alone_runs"),
        *("forward_runs", "backward_runs"),
    },
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is written."""
    folder = tmp_path_factory.mktemp("written") / "new"
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6])
    runs += curve("ft", "sparsegpt", [0.25, 0.5], [0.8, 0.7], [0.7, 0.5])
    runs += [run("ft", edit_success=0.95)]
    request = AnalysisRequest(("made up",), items="none")
    write_files(check_against_runs(request, frame(runs)), folder)
    return folder


def test_all_files_are_written_and_no_others(written: Path) -> None:
    files = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    tables = {
        f"tables/table{number}.{kind}" for number in (2, 8, 9, 10) for kind in ("md", "csv", "tex")
    }
    names = ("figure2", "order-sensitivity")
    figures = {f"figures/{name}.{kind}" for name in names for kind in ("png", "html")}
    assert files == {*COLUMNS, "report.html"} | tables | figures


@pytest.mark.parametrize("name", COLUMNS)
def test_a_csv_file_has_these_columns(name: str, written: Path) -> None:
    table = pd.read_csv(written / name)
    assert list(table.columns)[: len(FIRST[name])] == FIRST[name]
    assert set(table.columns) >= COLUMNS[name]
    assert not {"point", "settings"} & set(table.columns)


def test_every_csv_file_is_of_its_own_numbers(written: Path) -> None:
    tables = {name: pd.read_csv(written / name) for name in COLUMNS}
    points, areas, wins, order, lost = tables.values()
    assert len(lost) == 4 and lost.set_index("partner").loss["wanda"].tolist() == pytest.approx(
        [0.05, 0.25]
    )
    points = points[points.partner == "wanda"].sort_values("level")
    assert points.level.tolist() == [0.25, 0.5]
    assert (points.forward.tolist(), points.backward.tolist()) == ([0.9, 0.7], [0.8, 0.6])
    assert areas.set_index("partner").forward["wanda"] == pytest.approx(0.8)
    assert set(wins.over) == {"level", "area"} and set(wins.method) == {"wanda", "sparsegpt"}
    assert order.set_index("partner").order["wanda"] == "ft → wanda"
