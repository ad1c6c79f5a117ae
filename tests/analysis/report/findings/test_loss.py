import pytest

from tests.analysis.report.findings.sentences import findings_of, sentence, sentences_of
from tests.analysis.synthetic import curve, frame, run


def test_methods_are_compared_at_levels_that_all_have() -> None:
    """At 4 bits GPTQ is better; AWQ's other levels, where it shines, do not count."""
    runs = [
        *curve("ft", "awq", [4, 8], [0.5, 1.0], [0.5, 1.0]),
        *curve("ft", "gptq", [4], [0.6], [0.6]),
    ]
    assert sentence(frame(runs), "Quantization with editing") == (
        "Quantization with editing, over 1 point that all methods have: GPTQ composes best, with a"
        " mean order-free error of 0.40 on Edit success ↑; AWQ worst, with 0.50."
    )


def test_methods_that_hardly_differ_compose_alike() -> None:
    runs = [
        *curve("ft", "awq", [4], [0.5], [0.5]),
        *curve("ft", "gptq", [4], [0.504], [0.504]),
    ]
    text = sentence(frame(runs), "Quantization with editing")
    assert text.endswith(": all compose alike on Edit success ↑.")


def test_only_the_best_and_the_worst_are_behind_the_finding() -> None:
    runs = []
    for partner, value in (("awq", 0.5), ("gptq", 0.6), ("rtn", 0.7)):
        runs += curve("ft", partner, [4], [value], [value])
    (finding,) = [entry for entry in findings_of(frame(runs)) if "composes best" in entry.text]
    expected = {entry["run_id"] for entry in runs if "gptq" not in entry["pair"]}
    assert set(finding.runs) == expected


@pytest.mark.parametrize("partner", ["wanda", "rmu"])
def test_one_method_of_a_group_is_not_compared(partner: str) -> None:
    runs = curve("ft", "awq", [4], [0.5], [0.5])
    runs += curve("ft", partner, [0.25], [0.5], [0.5])
    assert not any("compose" in text for text in sentences_of(frame(runs)))


def test_what_compression_costs_is_measured_against_the_intervention_alone() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5, 0.75], [0.97, 0.7, 0.2], [0.5, 0.9, 0.5]),
        run("ft", edit_success=1.0),
        run("ft", edit_success=0.0, model="another"),
    ]
    finding = next(f for f in findings_of(frame(runs)) if f.text.startswith("Compression and"))
    assert finding.text == (
        "Compression and editing: even in the better order Edit success ↑ is at least 0.05 worse"
        " than without compression at 2 of 3 points; on average it is 0.21 worse."
    )
    assert set(finding.runs) == {entry["run_id"] for entry in runs[:-1]}


def test_a_compression_can_do_good_where_lower_is_better() -> None:
    runs = [
        *curve("rmu", "wanda", [0.25, 0.5], [0.5, 0.3], [0.4, 0.9], criterion="wmdp"),
        run("rmu", wmdp=0.6),
    ]
    text = sentence(frame(runs), "Compression and unlearning")
    assert text.endswith("at 0 of 2 points; on average it is 0.25 better.")


def test_nothing_is_said_of_the_loss_without_the_intervention_alone() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6])
    assert not any(text.startswith("Compression and") for text in sentences_of(frame(runs)))
