import math
from typing import Any

import pytest

from tests.analysis.report.findings.sentences import findings_of, sentence, sentences_of
from tests.analysis.synthetic import curve, frame, run


def edited(values: list[tuple[float, float]], mmlu: list[tuple[float, float]]) -> Any:
    runs = []
    for number, (edits, general) in enumerate(zip(values, mmlu, strict=True)):
        level = 0.1 * (number + 1)
        runs.append(run("ft | wanda", level=level, edit_success=edits[0], mmlu=general[0]))
        runs.append(run("wanda | ft", level=level, edit_success=edits[1], mmlu=general[1]))
    return frame(runs)


def test_the_general_criterion_may_not_show_what_happens_to_the_edits() -> None:
    runs = edited([(0.9, 0.6)] * 3, [(0.50, 0.45)] * 3)
    assert sentence(runs, "MMLU does not show it") == (
        "MMLU does not show it: between the orders it differs by 0.050 on average, edit success by"
        " 0.300."
    )


@pytest.mark.parametrize(
    ("points", "mmlu"), [(2, (0.5, 0.45)), (3, (0.5, 0.35))], ids=["few points", "half as much"]
)
def test_nothing_is_hidden_at_few_points_or_by_a_criterion_that_differs_half_as_much(
    points: int, mmlu: tuple[float, float]
) -> None:
    texts = sentences_of(edited([(0.9, 0.6)] * points, [mmlu] * points))
    assert not any("does not show it" in text for text in texts)


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
        "Forgotten or destroyed? WMDP is at chance in 2 compositions with unlearning; in 1 of these"
        " MMLU is at chance too: the model is broken, not unlearned. A bound on MMLU leaves them"
        " out."
    )
    (finding,) = [entry for entry in findings_of(frame(runs)) if "broken" in entry.text]
    assert set(finding.runs) == {entry["run_id"] for entry in runs[:2]}


def test_nothing_is_called_destroyed_where_ability_is_left() -> None:
    texts = sentences_of(frame(unlearned((0.29, 0.8), (0.31, 0.29))))
    assert not any("broken" in text for text in texts)


def test_infinite_values_are_counted_by_unit_in_pairs_with_unlearning() -> None:
    runs = [
        run("rmu | wanda", level=0.1, wmdp=0.9, mmlu=0.9, wikitext_ppl=math.inf),
        run("wanda | rmu", level=0.1, wmdp=0.9, mmlu=0.9, wikitext_ppl=9.0),
        run("rmu | wanda", level=0.2, wmdp=0.9, mmlu=0.9, wikitext_ppl=9.0),
        run("wanda | rmu", level=0.2, wmdp=0.9, mmlu=0.9, wikitext_ppl=9.0),
        *curve("ft", "wanda", [0.1], [math.inf], [math.inf], criterion="wikitext_ppl"),
    ]
    (finding,) = [entry for entry in findings_of(frame(runs)) if "infinite" in entry.text]
    assert finding.text == "Perplexity is infinite in at least one order at 1 points."
    assert set(finding.runs) == {entry["run_id"] for entry in runs[:2]}
