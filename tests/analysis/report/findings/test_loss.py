from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.labels import Labels
from analysis.report.findings.loss import degraded
from tests.analysis.report.findings.sentences import (
    alone,
    findings_of,
    replicated,
    sentence,
    sentences_of,
)
from tests.analysis.synthetic import frame
from tracking.catalogue import Catalogue

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


def loss_row(about: str, level: float, loss: float, verdict: str) -> dict[str, Any]:
    side, criterion = {"editing": ("ft", "edit_success"), "unlearning": ("rmu", "wmdp")}[about]
    return {
        "about": about,
        "intervention": side,
        "partner": "wanda",
        "criterion": criterion,
        "partner_category": "compression",
        "strength": "wanda.sparsity",
        "level": level,
        "loss": loss,
        "low": loss - 0.1,
        "high": loss + 0.1,
        "p_holm": loss / 10,
        "verdict": verdict,
        "forward_runs": ("f",),
        "backward_runs": ("b",),
        "alone_runs": ("a",),
    }


def degraded_of(monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return what is said of losses: texts, and whether they are claims."""
    losses = pd.DataFrame(rows)
    monkeypatch.setattr("analysis.report.findings.loss.measured_losses", lambda _: losses)
    evidence: Any = SimpleNamespace(titles=Labels(Catalogue()))
    findings = list(degraded(evidence))
    assert all(finding.runs == ("a", "f", "b") for finding in findings)
    return [(finding.text, finding.claim) for finding in findings]


UNLEARNING = "Compression and unlearning, WMDP ↓ against unlearning alone"
EDITING = "Compression and editing, Edit success ↑ against editing alone"


def test_losses_are_told_by_category_in_the_order_of_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none_of = "of {} a loss in both orders holds a test over all of them (Holm, 5%)"
    assert degraded_of(
        monkeypatch,
        loss_row("unlearning", 0.25, 0.2, "cannot be told"),
        loss_row("editing", 0.25, 0.0, "keeps"),
        loss_row("editing", 0.5, 0.1, "cannot be told"),
    ) == [
        (f"{UNLEARNING}: at none {none_of.format('1 point')}.", False),
        (
            f"{EDITING}: at none {none_of.format('2 points')}; at 1 less than 0.05 is lost"
            " (likewise).",
            False,
        ),
    ]


def test_the_largest_loss_is_named_and_what_is_kept_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_level = loss_row("unlearning", 0.25, 0.3, "loses") | {"strength": "", "level": None}
    keeping = [loss_row("editing", level, 0.0, "keeps") for level in (0.25, 0.3)]
    lost = {0.5: 0.2, 0.75: 0.4}
    losing = [loss_row("editing", level, loss, "loses") for level, loss in lost.items()]
    assert degraded_of(monkeypatch, *keeping, *losing, without_level) == [
        (
            f"{EDITING}: lost in both orders at 2 of 4 points (Holm, 5%), most measured for FT and"
            " Wanda at sparsity 0.75, 0.40 in the better order (0.30 to 0.50; p = 0.040); at 2 less"
            " than 0.05 is lost (likewise).",
            True,
        ),
        (
            f"{UNLEARNING}: lost in both orders at 1 of 1 point (Holm, 5%), most measured for RMU"
            " and Wanda, 0.30 in the better order (0.20 to 0.40; p = 0.030).",
            True,
        ),
    ]
