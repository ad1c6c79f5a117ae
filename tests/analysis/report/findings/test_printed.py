import re

import pandas as pd
import pytest

from analysis.report.findings.printed import printed_errors, printed_first
from tests.analysis.report.findings.sentences import (
    evidence_of,
    findings_of,
    sentence,
    sentences_of,
)
from tests.analysis.synthetic import curve, frame, run

PRINTED = [
    *curve("ft", "wanda", [0.25, 0.5, 0.75], [0.9, 0.8, 0.5], [0.7, 0.6, 0.8], published="Table 9"),
    *curve("ft", "sparsegpt", [0.25, 0.5, 0.75], [0.9, 0.9, 0.9], [0.89, 0.9, 0.9], published="T"),
]


def test_the_papers_numbers_are_described_as_printed(published: pd.DataFrame) -> None:
    """Its section 4: prune before editing; GPTQ after, AWQ before; AWQ and RMU compose best."""
    text = "\n".join(sentences_of(published))
    for finding in (
        "Wanda and editing, as printed: Edit success ↑ favours Wanda first at 10 of the 10 points",
        "SparseGPT and editing, as printed: Edit success ↑ favours SparseGPT first at 14 of the 14",
        "GPTQ and editing, as printed: Edit success ↑ favours editing first at 5 of the 5 points",
        "AWQ and editing, as printed: Edit success ↑ favours AWQ first at 6 of the 6 points",
        "is lowest for AWQ (0.26)",
        "is lowest for RMU (0.01)",
        "Perplexity is infinite in at least one order at 30 points.",
        "as the first version of the paper prints them (311 rows; the later version counts 417)",
    ):
        assert finding in text


def test_nothing_is_claimed_of_printed_numbers(published: pd.DataFrame) -> None:
    findings = findings_of(published)
    assert not any(finding.claim for finding in findings)
    for words in (r"\bbetter\b", "clearly", r"\bbest\b", "matters", "does not show", "differ "):
        assert not any(re.search(words, finding.text) for finding in findings), words


def test_points_that_are_apart_are_counted() -> None:
    assert sentence(frame(PRINTED), "Wanda and editing") == (
        "Wanda and editing, as printed: Edit success ↑ favours editing first at 2 of the 3 points"
        " that are 0.05 or more apart (of 3), by 0.03 on average over these."
    )
    assert sentence(frame(PRINTED), "SparseGPT and editing") == (
        "SparseGPT and editing, as printed: Edit success ↑ is nowhere 0.05 or more apart between"
        " the orders, at 3 points."
    )


def test_the_farthest_numbers_are_named_with_their_runs() -> None:
    (finding,) = [
        entry for entry in findings_of(frame(PRINTED)) if entry.text.startswith("As printed")
    ]
    assert finding.text.endswith(
        "Edit success ↑ of FT and Wanda at sparsity 0.75: 0.50 after FT → Wanda, 0.80 after"
        " Wanda → FT."
    )
    assert set(finding.runs) == {entry["run_id"] for entry in PRINTED[4:6]}


def test_own_runs_beside_printed_ones_are_tested() -> None:
    own = curve("ft", "wanda", [0.25], [0.9], [0.8], data="testbed")
    texts = sentences_of(frame([*PRINTED, *own]))
    assert sum("cannot be told" in text for text in texts) == 1


@pytest.mark.parametrize(
    ("forward", "backward", "statement"),
    [
        ([0.0499], [0.0], "is nowhere 0.05 or more apart between the orders, at 1 point."),
        (
            [0.05, 0.7],
            [0.0, 0.7],
            "favours editing first at 1 of the 1 point that are 0.05 or more apart (of 2), by 0.05"
            " on average over these.",
        ),
        (
            [0.1, 0.3],
            [0.2, 0.1],
            "favours either order as often, at the 2 points that are 0.05 or more apart (of 2).",
        ),
        (
            [0.1, 0.3],
            [0.3, 0.2501],
            "favours Wanda first at 1 of the 1 point that are 0.05 or more apart (of 2), by 0.20"
            " on average over these.",
        ),
        (
            [0.1, 0.3, 0.5],
            [0.4, 0.4, 0.5],
            "favours Wanda first at 2 of the 2 points that are 0.05 or more apart (of 3), by 0.20"
            " on average over these.",
        ),
    ],
)
def test_an_order_is_ahead_from_005_on(
    forward: list[float], backward: list[float], statement: str
) -> None:
    runs = curve("ft", "wanda", (0.25, 0.5, 0.75)[: len(forward)], forward, backward)
    (finding,) = printed_first(evidence_of(runs))
    assert finding.text == f"Wanda and editing, as printed: Edit success ↑ {statement}"


def test_the_lowest_and_the_highest_error_of_each_group_are_named() -> None:
    """Over the levels that all methods have; a group of one method is not compared."""
    runs = [
        *curve("ft", "gptq", [4], [0.3], [0.4]),
        *curve("ft", "awq", [4], [0.25], [0.5]),
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.1], [0.8, 0.2]),
        *curve("ft", "sparsegpt", [0.25, 0.5], [0.7, 0.9], [0.8, 0.9]),
        *curve("ft", "magnitude", [0.25], [0.5], [0.6]),
        *(run(steps, edit_success=0.7, wmdp=0.3) for steps in ("ft | rmu", "rmu | ft")),
        *(run(steps, edit_success=0.4, wmdp=0.2) for steps in ("ft | ga", "ga | ft")),
    ]
    findings = list(printed_errors(evidence_of(runs)))
    over = "as printed, over 1 point that all methods have: the mean order-free error on Edit"
    assert [finding.text for finding in findings] == [
        f"Quantization with editing, {over} success ↑ is lowest for AWQ (0.50) and highest for GPTQ"
        " (0.60).",
        f"Unlearning with editing, {over} success ↑ is lowest for RMU (0.30) and highest for GA"
        " (0.60).",
        f"Pruning with editing, {over} success ↑ is lowest for Wanda (0.10) and highest for"
        " Magnitude (0.40).",
    ]
    assert set(findings[2].runs) == {entry["run_id"] for entry in [*runs[4:8], *runs[12:14]]}


def test_methods_without_a_level_that_all_have_are_not_compared() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8]) + curve("ft", "gptq", [4], [0.9], [0.8])
    assert not list(printed_errors(evidence_of(runs)))
    runs += curve("ft", "sparsegpt", [0.5], [0.7], [0.8])
    assert not list(printed_errors(evidence_of(runs)))
