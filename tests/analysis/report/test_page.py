import re

import pandas as pd
import pytest

from tests.analysis.report.made_up import addresses, page, run_ids, section
from tests.analysis.synthetic import curve, frame, run
from tracking.catalogue import InterventionFacts, as_tag


@pytest.fixture(scope="module")
def paper(published: pd.DataFrame) -> str:
    """The report of the paper's runs."""
    return page(published)


def test_the_page_needs_nothing_else(paper: str) -> None:
    """No script, style, image or font from elsewhere; its only links lead to MLflow's UI."""
    plotly_script = r"<script[^>]*>/\*\*\s*\* plotly\.js.*?</script>"
    without_plotly = re.sub(plotly_script, "", paper, flags=re.DOTALL)
    assert len(without_plotly) < len(paper) / 3
    assert not re.findall(
        r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?!data:)', without_plotly
    )
    assert not re.findall(r"@import|url\(", without_plotly)
    assert paper.count("<script") - without_plotly.count("<script") == 1


def test_the_answer_comes_first_then_what_is_missing(paper: str) -> None:
    sections = (
        "answer missing findings tables comparisons levels figures sensitivity fronts areas items"
        " restored all how"
    )
    assert re.findall(r'<section id="(\w+)"', paper) == sections.split()
    assert "more pair" not in section(paper, "answer", "missing")  # all pairs stand there


def test_the_page_names_the_command_that_wrote_it(paper: str) -> None:
    assert "by <code>composability analyze</code>" in paper
    assert "<p>made up: 311 compositions. " in paper


def test_every_number_of_the_tables_links_to_runs_that_were_read(
    paper: str, published: pd.DataFrame
) -> None:
    cells = re.findall(r"<td[^>]*>(.*?)</td>", section(paper, "tables", "comparisons"))
    numbers = [cell for cell in cells if re.search(r"\d", cell)]
    assert len(numbers) > 200
    assert all("data-r=" in cell for cell in numbers)
    linked = {run_id for link in addresses(paper) for run_id in link}
    assert linked <= set(published.run_id)


def test_a_number_links_to_both_orders(published: pd.DataFrame, paper: str) -> None:
    names = published.set_index("run_id").run_name
    tables = section(paper, "tables", "comparisons")
    cell = re.search(r"<tr><th>Wanda</th><td[^>]*><a class=\"r\" data-r=\"([\d ]+)\">0.01", tables)
    assert cell is not None
    ids = run_ids(paper)
    assert [names[ids[int(number)]] for number in cell[1].split()] == [
        "ft → wanda(sparsity=0.25)",
        "wanda(sparsity=0.25) → ft",
    ]


def test_the_best_of_a_group_is_marked_and_the_average_is_apart(paper: str) -> None:
    tables = section(paper, "tables", "comparisons")
    assert '<tr class="total"><th>Average</th>' in tables
    assert '<td class="best">' in tables


def test_names_from_the_store_cannot_inject_markup() -> None:
    evil = "</script><script>alert(1)</script>"
    about = as_tag({"odd": InterventionFacts(evil, "compression", "ratio")})
    runs = []
    for ratio in (0.1, 0.2):
        columns = {"model": evil, "about_interventions": about, "odd.ratio": ratio}
        runs.append(run("ft | odd", edit_success=0.9, **columns))
        runs.append(run("odd | ft", edit_success=0.5, **columns))
    assert evil not in page(frame(runs), ui="http://host:5000")


def test_the_page_says_what_is_missing_and_what_was_left_out() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        run("ft | wanda", level=0.5, edit_success=0.7),
        run("ft | wanda | lora", level=0.25, edit_success=0.1),
    ]
    html = page(frame(runs))
    assert "FT + Wanda at sparsity 0.5 (model=m, data=d): wanda → ft was not run." in html
    assert "1 run of three and more interventions: composability is defined for two" in html
    assert "There are no pairs for Table 3 and 4." in html


def test_gaps_beyond_the_most_that_a_page_lists_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [run("ft | wanda", level=level, edit_success=0.7) for level in (0.25, 0.5, 0.75)]
    runs += curve("lora", "wanda", [0.25], [0.9], [0.8])

    def lines(most: int) -> list[str]:
        monkeypatch.setattr("analysis.report.page.MOST_ROWS", most)
        return re.findall("<li>([^<]*)", section(page(frame(runs)), "missing", "findings"))

    gaps = lines(100)
    assert len(gaps) > 3
    assert lines(len(gaps)) == gaps
    assert lines(len(gaps) - 1) == [*gaps[:-1], "1 more gap of these kinds."]
    assert lines(2) == [*gaps[:2], f"{len(gaps) - 2} more gaps of these kinds."]


def test_a_page_of_complete_runs_says_that_nothing_is_missing() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7]),
        run("ft", edit_success=0.9),
        *(run("wanda", level=level, edit_success=0.0) for level in (0.25, 0.5)),
    ]
    html = page(frame(runs))
    assert "<summary>2 comparisons</summary>" in html and "<summary>1 curve</summary>" in html
    assert "Nothing: every pair was run in both orders at every level" in html


def test_a_grid_of_one_level_without_compression_has_a_page_too() -> None:
    runs = [
        run("ft | rmu", edit_success=0.9, wmdp=0.3),
        run("rmu | ft", edit_success=0.8, wmdp=0.4),
    ]
    html = page(frame(runs))
    assert "No pair was run at two levels." in html
    assert "No pair with a compression was run in both orders." in html
    assert html.count("plotly.js v") == 1  # without curves, the heat map brings the script


def test_findings_of_several_contexts_have_headings() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8], model="a"),
        *curve("ft", "wanda", [0.25], [0.9], [0.8], model="b"),
    ]
    several = section(page(frame(runs)), "findings", "tables")
    assert "<h3>model=a, data=d</h3>" in several
    single = section(page(frame(runs[:2])), "findings", "tables")
    assert "<h3>" not in single


def test_links_lead_to_the_ui_of_the_request() -> None:
    runs = frame(curve("ft", "wanda", [0.25], [0.9], [0.8]))
    html = page(runs, ui="http://tracking:5001")
    assert 'UI = "http://tracking:5001";' in html
    assert '<span id="ui">http://tracking:5001</span>' in html


def test_every_pair_has_an_answer_before_anything_else() -> None:
    html = page(frame(curve("ft", "wanda", [0.25], [0.9], [0.8])))
    answer = section(html, "answer", "missing")
    for text in ("FT + Wanda", "cannot be told", "one run of each order"):
        assert text in answer


def test_intervals_stand_below_the_numbers_of_the_tables() -> None:
    runs = []
    for batch, value in enumerate([0.5, 0.62, 0.7, 0.81, 0.9]):
        runs += curve("ft", "wanda", [0.25], [value], [value / 2], edit_batch=batch)
    tables = section(page(frame(runs)), "tables", "comparisons")
    assert re.search(r"0\.29</a><small>0\.\d\d to 0\.\d\d</small>", tables)


def test_several_settings_stand_side_by_side_and_one_does_not() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8], model="a"),
        *curve("ft", "wanda", [0.25], [0.7], [0.8], model="b"),
    ]
    assert "Models and settings side by side" in page(frame(runs))
    assert "Models and settings side by side" not in page(frame(runs[:2]))


def test_sequences_have_a_section_where_there_are_some() -> None:
    pair = curve("ft", "wanda", [0.25], [0.9], [0.8])
    long = [run("ft | rmu | wanda", level=0.25, edit_success=0.5)]
    long += [run("wanda | rmu | ft", level=0.25, edit_success=0.4)]
    assert 'id="sequences"' not in page(frame(pair))
    html = page(frame([*pair, *long]))
    assert 'id="sequences"' in html and "ft → rmu → wanda" in html
