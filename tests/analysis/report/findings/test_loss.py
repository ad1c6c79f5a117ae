from tests.analysis.report.findings.sentences import (
    alone,
    findings_of,
    replicated,
    sentence,
    sentences_of,
)
from tests.analysis.synthetic import frame

LEAD = "Compression and editing"
LOSES = [*replicated("ft", "wanda", {0.5: 0.5}, {0.5: 0.6}), *alone("ft", 0.95)]


def test_a_loss_in_both_orders_is_a_claim_with_its_interval() -> None:
    (finding,) = [entry for entry in findings_of(frame(LOSES)) if entry.text.startswith(LEAD)]
    assert finding.claim
    assert finding.text.startswith(
        "Compression and editing, Edit success ↑ against editing alone: lost in both orders at 1 of"
        " 1 point (Holm, 5%), most measured for FT and Wanda at sparsity 0.5, 0.35 in the better"
        " order (0.3"
    )
    assert set(finding.runs) == {entry["run_id"] for entry in LOSES}


def test_what_is_kept_is_kept_by_its_interval() -> None:
    runs = [*replicated("ft", "wanda", {0.5: 0.95}, {0.5: 0.6}), *alone("ft", 0.95)]
    text = sentence(frame(runs), LEAD)
    assert "at none of 1 point a loss in both orders holds a test" in text
    assert text.endswith("; at 1 less than 0.05 is lost (likewise).")


def test_nothing_is_said_of_the_loss_without_the_intervention_alone() -> None:
    runs = replicated("ft", "wanda", {0.5: 0.5}, {0.5: 0.6})
    assert not any(text.startswith(LEAD) for text in sentences_of(frame(runs)))


def test_another_contexts_run_alone_is_no_baseline() -> None:
    baseline = [entry | {"model": "another"} for entry in alone("ft", 0.95)]
    runs = [*replicated("ft", "wanda", {0.5: 0.5}, {0.5: 0.6}), *baseline]
    assert not any(text.startswith(LEAD) for text in sentences_of(frame(runs)))
