import math
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.report.findings.ability import _infinite, hidden_by_general_ability
from tests.analysis.report.findings.sentences import (
    BATCHES,
    findings_of,
    sentence,
    sentences_of,
)
from tests.analysis.synthetic import curve, frame, run


def edited(gain: float, general: float) -> Any:
    """Both orders over five batches; edit success and MMLU differ by as much."""
    runs = []
    for batch, shift in enumerate(BATCHES):
        for steps, side in (("ft | wanda", 0.5), ("wanda | ft", -0.5)):
            values = {
                "edit_success": 0.6 + side * (gain + shift),
                "mmlu": 0.6 + side * (general - shift),
            }
            runs.append(run(steps, level=0.5, edit_batch=batch, **values))
    return frame(runs)


def test_mmlu_shows_less_where_both_intervals_are_apart() -> None:
    runs = edited(0.4, 0.0)
    (finding,) = [entry for entry in findings_of(runs) if "shows less" in entry.text]
    assert finding.claim
    assert finding.text.startswith(
        "MMLU shows less of the order than edit success, which differs at 1 point: at 1 of these"
        " the intervals of both differences are apart (farthest: 0."
    )
    assert finding.text.endswith("; at 0 the interval of MMLU leaves out 0.")


@pytest.mark.parametrize(
    ("gain", "general"), [(0.0, 0.0), (0.01, 0.0), (0.4, 0.4)], ids=["null", "noise", "alike"]
)
def test_nothing_is_said_of_mmlu_without_a_test(gain: float, general: float) -> None:
    texts = sentences_of(edited(gain, general))
    assert not any("shows less" in text or "does not show" in text for text in texts)


def unlearned(*values: tuple[float, float]) -> Any:
    """Both orders of RMU and Wanda, each with (WMDP, MMLU) forward; backward is at its best."""
    runs = []
    for number, (wmdp, mmlu) in enumerate(values):
        level = 0.1 * (number + 1)
        runs.append(run("rmu | wanda", level=level, wmdp=wmdp, mmlu=mmlu))
        runs.append(run("wanda | rmu", level=level, wmdp=0.9, mmlu=0.9))
    return runs


def test_a_destroyed_model_is_not_called_unlearned() -> None:
    runs = unlearned((0.29, 0.29), (0.29, 0.8), (0.31, 0.29))
    assert sentence(frame(runs), "Forgotten or destroyed?") == (
        "Forgotten or destroyed? WMDP is within 0.05 of chance in 2 compositions with unlearning;"
        " in 1 of these MMLU is too: what was to stay is gone as well. A bound on MMLU leaves them"
        " out."
    )
    (finding,) = [entry for entry in findings_of(frame(runs)) if "destroyed?" in entry.text]
    assert set(finding.runs) == {entry["run_id"] for entry in runs[:2]}


def test_five_hundredths_above_chance_are_within_them() -> None:
    text = sentence(frame(unlearned((0.3, 0.3), (0.3, 0.31), (0.31, 0.2))), "Forgotten")
    assert "in 2 compositions with unlearning; in 1 of these MMLU is too" in text


def test_infinite_units_come_in_the_order_of_the_points() -> None:
    rows = [
        {"unit": unit, "forward": math.inf, "backward": 1.0, "forward_runs": (run_id,)}
        for unit, run_id in (("perplexity", "a"), ("bits", "b"), ("perplexity", "c"))
    ]
    points = pd.DataFrame([row | {"backward_runs": ()} for row in rows])
    first, second = _infinite(points)
    assert first.text == "Perplexity is infinite in at least one order at 2 points."
    assert second.text == "Bits is infinite in at least one order at 1 point."
    assert (first.runs, second.runs) == (("a", "c"), ("b",))


def test_nothing_is_called_destroyed_where_ability_is_left() -> None:
    texts = sentences_of(frame(unlearned((0.29, 0.8), (0.31, 0.29))))
    assert not any("destroyed?" in text for text in texts)


def test_infinite_values_are_counted_by_unit_in_pairs_with_unlearning() -> None:
    runs = [
        run("rmu | wanda", level=0.1, wmdp=0.9, mmlu=0.9, wikitext_ppl=math.inf),
        run("wanda | rmu", level=0.1, wmdp=0.9, mmlu=0.9, wikitext_ppl=9.0),
        run("rmu | wanda", level=0.2, wmdp=0.9, mmlu=0.9, wikitext_ppl=9.0),
        run("wanda | rmu", level=0.2, wmdp=0.9, mmlu=0.9, wikitext_ppl=9.0),
        *curve("ft", "wanda", [0.1], [math.inf], [math.inf], criterion="wikitext_ppl"),
    ]
    (finding,) = [entry for entry in findings_of(frame(runs)) if "infinite" in entry.text]
    assert finding.text == "Perplexity is infinite in at least one order at 1 point."
    assert set(finding.runs) == {entry["run_id"] for entry in runs[:2]}


def measured(number: int, criterion: str, low: float, high: float) -> dict[str, Any]:
    return {
        "point": number, "criterion": criterion, "intervention_category": "editing",
        "differs": criterion == "edit_success", "order_sensitivity_low": low,
        "order_sensitivity_high": high, "forward_runs": (f"{number}",), "backward_runs": (),
    }  # fmt: skip


def test_intervals_that_touch_are_not_apart_and_the_farthest_are_shown() -> None:
    points = [
        *(measured(1, "edit_success", 0.5, 0.75), measured(1, "mmlu", 0.25, 0.5)),
        *(measured(2, "edit_success", 0.75, 0.9), measured(2, "mmlu", 0.1, 0.7)),
        *(measured(3, "edit_success", 0.31, 0.5), measured(3, "mmlu", 0.0, 0.11)),
    ]
    evidence: Any = SimpleNamespace(
        points=pd.DataFrame(points),
        main_criteria={"editing": "edit_success"},
        general_criterion="mmlu",
        plain_title=str,
    )
    (finding,) = hidden_by_general_ability(evidence)
    assert finding.text == (
        "mmlu shows less of the order than edit_success, which differs at 3 points: at 2 of these"
        " the intervals of both differences are apart (farthest: 0.00 to 0.11 against 0.31 to"
        " 0.50); at 2 the interval of mmlu leaves out 0."
    )
    assert finding.runs == ("1", "2", "3") and finding.claim
