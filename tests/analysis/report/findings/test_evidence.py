from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.report.findings.evidence import gain_in_words, runs_of, within_sentence
from tests.analysis.report.findings.sentences import evidence_of
from tests.analysis.synthetic import curve, run
from tracking.catalogue import CriterionFacts, as_tag

EVERYTHING = {
    "edit_preservation": 0.5, "edit_locality": 0.5, "edit_success": 0.5, "wmdp_bio": 0.5,
    "wmdp": 0.5, "mmlu": 0.5, "wikitext_ppl": 9.0, "average_bits": 4.0, "sparsity": 0.5,
}  # fmt: skip


def both(first: str, second: str, **values: Any) -> list[dict[str, Any]]:
    return [run(f"{first} | {second}", **values), run(f"{second} | {first}", **values)]


def test_the_main_criteria_are_those_that_judge_a_category() -> None:
    evidence = evidence_of(both("ft", "rmu", **EVERYTHING))
    assert evidence.main_criteria == {"editing": "edit_success", "unlearning": "wmdp"}
    assert evidence.general_criterion == "mmlu"


def test_a_criterion_that_was_not_measured_is_no_main_one() -> None:
    evidence = evidence_of(both("ft", "rmu", edit_locality=0.5, wikitext_ppl=9.0))
    assert evidence.main_criteria == {"editing": "edit_locality"}
    assert evidence.general_criterion is None


def test_a_third_partys_criterion_judges_by_its_own_facts() -> None:
    facts = {
        "answer_length": CriterionFacts("neither", "share", judges=("editing",)),
        "exact_match": CriterionFacts(
            "higher", "accuracy", judges=("editing",), category="editing"
        ),
        "toxicity": CriterionFacts("lower", "share"),
        "fluency": CriterionFacts("higher", "share"),
    }
    values = dict.fromkeys(facts, 0.5)
    evidence = evidence_of(both("ft", "rmu", about_criteria=as_tag(facts), **values))
    assert evidence.main_criteria == {"editing": "exact_match"}
    assert evidence.general_criterion == "fluency"
    assert evidence.plain_title("exact_match") == "exact match"


def test_main_points_are_complete_and_of_both_categories_of_a_pair() -> None:
    runs = both("ft", "rmu", edit_success=0.5, wmdp=0.5)
    runs += both("ft", "wanda", edit_success=0.5, wmdp=0.5, **{"wanda.sparsity": 0.25})
    runs += [run("lora | wanda", level=0.25, edit_success=0.5)]
    points = evidence_of(runs).main_points()
    key = points[["intervention", "partner", "criterion", "about"]]
    assert sorted(key.itertuples(index=False, name=None)) == [
        ("ft", "rmu", "edit_success", "editing"),
        ("ft", "rmu", "wmdp", "unlearning"),
        ("ft", "wanda", "edit_success", "editing"),
    ]
    assert set(points.intervention_category) == {"editing"}
    assert set(points.partner_category) == {"unlearning", "compression"}


def test_there_are_no_main_points_without_a_criterion_that_judges() -> None:
    evidence = evidence_of(both("ft", "rmu", wikitext_ppl=9.0))
    assert evidence.main_criteria == {}
    assert evidence.main_points().empty


def test_the_points_of_a_category_are_those_with_it_on_either_side() -> None:
    runs = both("ft", "rmu", edit_success=0.5) + both("rmu", "wanda", edit_success=0.5)
    runs += both("ft", "wanda", edit_success=0.5)
    points = evidence_of(runs).of_category("unlearning")
    pairs = set(zip(points.intervention, points.partner, strict=True))
    assert pairs == {("ft", "rmu"), ("rmu", "wanda")}


def test_runs_of_several_points_are_named_once() -> None:
    points = pd.DataFrame(
        {"forward_runs": [("a",), ("a", "b")], "backward_runs": [("c",), ("d", "c")]}
    )
    assert runs_of(points) == ("a", "c", "b", "d")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Edit success", "edit success"),
        ("WMDP", "WMDP"),
        ("IDs kept", "IDs kept"),
        ("X", "X"),
        ("", ""),
    ],
)
def test_a_title_within_a_sentence_begins_small_unless_it_is_an_acronym(
    title: str, expected: str
) -> None:
    assert within_sentence(title) == expected


def test_the_interval_of_the_opposite_order_is_turned_round_with_its_gain() -> None:
    point = SimpleNamespace(
        gain=-0.25, gain_low=-0.39, gain_high=-0.11, p_holm=0.012, units=5, basis="seeds"
    )
    words = "by 0.25 (0.11 to 0.39; p = 0.012, Holm; 5 seeds)"
    assert gain_in_words(point) == words
    point.gain, point.gain_low, point.gain_high = 0.25, 0.11, 0.39
    assert gain_in_words(point) == words


def test_curves_have_main_points_at_every_level() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7])
    assert len(evidence_of(runs).main_points()) == 2


def test_rows_that_the_paper_prints_are_known_as_such() -> None:
    printed = curve("ft", "wanda", [0.25], [0.9], [0.8], published="Table 9")
    assert evidence_of(printed).printed
    assert not evidence_of(curve("ft", "wanda", [0.25], [0.9], [0.8])).printed


def test_methods_come_in_the_papers_order() -> None:
    runs = [
        one
        for partner in ("awq", "gptq", "wanda", "sparsegpt")
        for one in both("ft", partner, level=3, edit_success=0.5)
    ]
    partners = [partner for _, partner, _, _ in evidence_of(runs).points_by_method()]
    assert partners == ["wanda", "sparsegpt", "awq", "gptq"]
