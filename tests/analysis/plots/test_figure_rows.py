from analysis.plots.figure_rows import FigureRows, figure_rows
from tests.test_contracts import HOUSE_CRITERIA
from tracking.catalogue import CriterionFacts, house_criteria
from tracking.paper_rows import PRINTED_CRITERIA

# without a reader's own, which have rows of their own
OWN = {name: facts for name, facts in house_criteria().items() if name in HOUSE_CRITERIA}


def rows_of(measured: dict[str, CriterionFacts]) -> dict[str, list[str]]:
    return {rows.name: rows.criteria for rows in figure_rows(measured, set(measured))}


def test_the_rows_are_those_of_the_papers_figures() -> None:
    assert list(figure_rows(OWN, set(PRINTED_CRITERIA))) == [
        FigureRows(
            "figure2",
            "editing",
            ["edit_success", "edit_generalization", "edit_locality", "mmlu"],
        ),
        FigureRows("figure3", "unlearning", ["wmdp", "mmlu"]),
        FigureRows("perplexity-editing", "editing", ["wikitext_ppl"]),
        FigureRows("perplexity-unlearning", "unlearning", ["wikitext_ppl"]),
    ]


def test_only_measured_criteria_have_a_row() -> None:
    rows = {figure.name: figure.criteria for figure in figure_rows(OWN, {"edit_success", "wmdp"})}
    assert rows == {"figure2": ["edit_success"], "figure3": ["wmdp"]}


def test_a_part_has_no_row_even_where_its_whole_was_not_measured() -> None:
    rows = {figure.name: figure.criteria for figure in figure_rows(OWN, {"wmdp_bio", "mmlu"})}
    assert rows["figure3"] == ["mmlu"]


def test_a_third_partys_criterion_has_a_row_by_its_own_facts() -> None:
    strictness = CriterionFacts("higher", "share", category="editing")
    toxicity = CriterionFacts("lower", "share")
    extra = {"strictness": strictness, "toxicity": toxicity}
    measured = {*PRINTED_CRITERIA, *extra}
    rows = {figure.name: figure.criteria for figure in figure_rows(OWN | extra, measured)}
    assert rows["figure2"][-2:] == ["strictness", "toxicity"]
    assert rows["figure3"] == ["wmdp", "mmlu", "toxicity"]


def test_a_criterion_without_a_good_direction_has_no_row() -> None:
    neutral = {"length": CriterionFacts("neither", "share", category="editing")}
    assert rows_of(neutral) == {"figure2": [], "figure3": []}


def test_criteria_of_one_unit_share_a_figure_and_units_do_not() -> None:
    extra = {
        "other_ppl": CriterionFacts("lower", "perplexity"),
        "latency": CriterionFacts("lower", "s per token"),
    }
    rows = rows_of(OWN | extra)
    assert rows["perplexity-editing"] == ["wikitext_ppl", "other_ppl"]
    assert rows["s-per-token-unlearning"] == ["latency"]


def test_criteria_of_one_group_have_one_row() -> None:
    grouped = {
        name: CriterionFacts("higher", "share", category="editing", group=group)
        for name, group in (("a", "both"), ("b", "both"), ("c", ""), ("d", ""), ("e", "c"))
    }
    assert rows_of(grouped)["figure2"] == ["a", "c", "d"]
