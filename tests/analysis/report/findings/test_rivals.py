from types import SimpleNamespace

import pandas as pd
import pytest

from analysis.report.findings.rivals import best_composers
from tests.analysis.report.findings.sentences import (
    BATCHES,
    evidence_of,
    findings_of,
    replicated,
    sentences_of,
)
from tests.analysis.synthetic import curve, frame

LEAD = "Quantization with editing"


def two_methods(awq: float, gptq: float) -> list[dict[str, object]]:
    return [
        *replicated("ft", "awq", {4: awq}, {4: awq}),
        *replicated("ft", "gptq", {4: gptq}, {4: gptq - 0.001}, BATCHES[::-1]),
    ]


def test_the_best_is_named_with_its_lead_over_the_closest_rival() -> None:
    runs = two_methods(0.5, 0.8)
    (finding,) = [entry for entry in findings_of(frame(runs)) if entry.text.startswith(LEAD)]
    assert finding.claim
    assert finding.text.startswith(
        "Quantization with editing, order-free error on Edit success ↑, over 1 point that all"
        " methods have: GPTQ composes best, with 0.2"
    )
    assert "the closest rival, AWQ, is 0.3" in finding.text and "Holm; 5 units)" in finding.text
    assert set(finding.runs) == {entry["run_id"] for entry in runs}


def test_none_is_best_where_no_test_says_so() -> None:
    (finding,) = [
        entry
        for entry in findings_of(frame(two_methods(0.7, 0.7)))
        if entry.text.startswith(LEAD)
    ]  # fmt: skip
    assert not finding.claim
    assert finding.text.endswith("no test holds one of them above every other.")


@pytest.mark.parametrize(
    ("is_best", "p", "claimed"),
    [(True, 0.025, True), (True, 0.026, False), (False, 0.001, False)],
)
def test_the_best_of_each_group_is_corrected_for_the_number_of_groups(
    is_best: bool, p: float, claimed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rivals = pd.DataFrame(
        {"method": ["gptq"], "value": [0.5], "margin": [0.3], "low": [0.2], "high": [0.4]}
    )
    best = SimpleNamespace(
        method="awq", value=0.2, rivals=rivals, cells=1, units=5, p=p, is_best=is_best
    )
    monkeypatch.setattr("analysis.report.findings.rivals.best_method", lambda *_: best)
    runs = [*curve("ft", "gptq", [4], [0.5], [0.5]), *curve("ft", "wanda", [0.5], [0.5], [0.5])]
    findings = list(best_composers(evidence_of(runs)))
    assert [finding.claim for finding in findings] == [claimed] * 2
    assert ("composes best" in findings[0].text) == claimed
    groups = [finding.text.partition(" with ")[0] for finding in findings]
    assert groups == ["Quantization", "Pruning"]


def test_one_run_of_each_makes_none_the_best() -> None:
    runs = [*curve("ft", "awq", [4], [0.1], [0.1]), *curve("ft", "gptq", [4], [0.9], [0.9])]
    assert not any("composes best" in text for text in sentences_of(frame(runs)))


@pytest.mark.parametrize("partner", ["wanda", "rmu"])
def test_one_method_of_a_group_is_not_compared(partner: str) -> None:
    runs = curve("ft", "awq", [4], [0.5], [0.5])
    runs += curve("ft", partner, [0.25], [0.5], [0.5])
    assert not any("order-free error on" in text for text in sentences_of(frame(runs)))
