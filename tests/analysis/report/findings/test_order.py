from dataclasses import replace

import pytest

from analysis.report.findings.order import where_order_matters
from tests.analysis.report.findings.sentences import (
    evidence_of,
    findings_of,
    replicated,
    sentence,
    sentences_of,
)
from tests.analysis.synthetic import curve, frame

DIFFERS = replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.5})
ALIKE = replicated("lora", "wanda", {0.5: 0.7}, {0.5: 0.7})


def test_the_orders_differ_where_a_test_over_all_comparisons_says_so() -> None:
    finding = findings_of(frame([*DIFFERS, *ALIKE]))[1]
    assert finding.claim
    assert finding.text.startswith(
        "The orders differ at 1 of 2 comparisons, by a test that holds over all of them (Holm, 5%)."
        " The largest measured of these: Edit success ↑ of FT and Wanda at sparsity 0.5, 0.90 after"
        " FT → Wanda, 0.50 after Wanda → FT, apart by 0.40 ("
    )
    assert "Holm; 5 edit batches)" in finding.text
    assert set(finding.runs) == {entry["run_id"] for entry in DIFFERS}


@pytest.mark.parametrize(
    ("gap", "numbers"),
    [(0.4, "0.90 after FT → Wanda, 0.50 after"), (0.0, "24.00 after FT → Wanda, 15.00 after")],
)
def test_the_largest_difference_is_of_a_share_where_one_differs(gap: float, numbers: str) -> None:
    runs = [
        entry | {"wikitext_ppl": 30 * entry["edit_success"] + 9 * (entry["step1"] == "ft")}
        for entry in replicated("ft", "wanda", {0.5: 0.5 + gap}, {0.5: 0.5})
    ]
    evidence = evidence_of(runs)
    points = evidence.points.assign(claimed=True, differs=evidence.points.p < 0.01)
    (finding,) = where_order_matters(replace(evidence, points=points))
    assert numbers in finding.text


def test_no_difference_that_holds_is_no_evidence_of_none() -> None:
    finding = findings_of(frame(ALIKE))[1]
    assert not finding.claim
    assert finding.text.startswith("Of 1 comparison none shows that the order matters")
    assert "no evidence that it does not" in finding.text


def test_one_run_of_each_order_tells_nothing_however_far_they_are_apart() -> None:
    runs = frame(curve("ft", "wanda", [0.25, 0.5], [0.9, 0.9], [0.1, 0.1]))
    findings = findings_of(runs)
    assert not any(finding.claim for finding in findings)
    assert findings[1].text.startswith(
        "Whether the order matters cannot be told at any of 2 comparisons: one run of each order"
    )


def test_equal_weights_under_several_seeds_are_one_run() -> None:
    runs = []
    for seed in range(6):
        runs += curve("ft", "wanda", [0.5], [0.9], [0.1], seed=seed)
    assert not any(finding.claim for finding in findings_of(frame(runs)))


def test_which_comes_first_is_said_of_points_that_differ() -> None:
    runs = replicated("ft", "wanda", {0.25: 0.7, 0.5: 0.9}, {0.25: 0.7, 0.5: 0.5})
    lead = "Wanda and editing: "
    (finding,) = [entry for entry in findings_of(frame(runs)) if entry.text.startswith(lead)]
    text = finding.text
    assert finding.claim
    assert text.startswith(
        "Wanda and editing: Edit success ↑ is better with editing first at 1 of 2 points (most"
        " measured for FT at sparsity 0.5, by 0.40 ("
    )
    assert "better with Wanda" not in text


def test_opposite_orders_at_two_levels_depend_and_are_not_averaged_away() -> None:
    runs = replicated("ft", "wanda", {0.25: 0.5, 0.5: 0.9}, {0.25: 0.9, 0.5: 0.5})
    text = sentence(frame(runs), "Wanda and editing: ")
    assert "Edit success ↑ depends: it is better with editing first at 1 of 2 points" in text
    assert ", and better with Wanda first at 1 of 2 points" in text


def test_nothing_is_said_of_the_order_where_no_test_holds() -> None:
    assert not any(text.startswith("Wanda and editing:") for text in sentences_of(frame(ALIKE)))


def test_lower_is_better_where_it_is() -> None:
    runs = replicated("rmu", "wanda", {0.5: 0.3}, {0.5: 0.7}, criterion="wmdp")
    # other weights in every seed: an unlearner reads no edits
    runs = [entry | {"seed": entry["edit_batch"], "edit_batch": 0} for entry in runs]
    text = sentence(frame(runs), "Wanda and unlearning")
    assert "WMDP ↓ is better with unlearning first at 1 of 1 point" in text
    assert "5 seeds" in text


@pytest.mark.parametrize("word", ["clearly", "matters most", "hardly"])
def test_words_that_no_test_supports_are_not_used(word: str) -> None:
    assert not any(word in text for text in sentences_of(frame([*DIFFERS, *ALIKE])))
