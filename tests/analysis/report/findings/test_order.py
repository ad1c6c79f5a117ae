from analysis.report.findings.evidence import NOTABLE
from tests.analysis.report.findings.sentences import findings_of, sentence, sentences_of
from tests.analysis.synthetic import curve, frame, run


def test_the_most_order_sensitive_pair_is_named_with_its_values() -> None:
    runs = [*curve("ft", "wanda", [0.5], [0.9], [0.8]), *curve("lora", "awq", [4], [0.2], [0.7])]
    finding = findings_of(frame(runs))[1]
    assert finding.text == (
        "Order matters most for Edit success ↑ of LoRA and AWQ at 4 bits: 0.20 after LoRA → AWQ,"
        " 0.70 after AWQ → LoRA."
    )
    assert set(finding.runs) == {entry["run_id"] for entry in runs[2:]}


def test_a_pair_without_a_level_is_named_without_one() -> None:
    runs = [run("ft | rmu", edit_success=0.9), run("rmu | ft", edit_success=0.2)]
    assert sentence(frame(runs), "Order matters most").startswith(
        "Order matters most for Edit success ↑ of FT and RMU: 0.90 after FT → RMU"
    )


def test_the_most_sensitive_criterion_is_one_in_0_to_1_with_a_direction() -> None:
    runs = [
        run("ft | rmu", edit_success=0.9, wikitext_ppl=9.0, sparsity=0.9),
        run("rmu | ft", edit_success=0.8, wikitext_ppl=90.0, sparsity=0.1),
    ]
    assert "Edit success" in sentence(frame(runs), "Order matters most")


def test_small_differences_are_said_to_hardly_matter() -> None:
    runs = [run("ft | rmu", edit_success=0.84), run("rmu | ft", edit_success=0.8)]
    assert sentence(frame(runs), "The order hardly matters") == (
        "The order hardly matters: no criterion in [0, 1] differs by 0.05 between two orders."
    )


def test_a_difference_of_exactly_what_is_notable_is_notable() -> None:
    runs = [run("ft | rmu", edit_success=NOTABLE), run("rmu | ft", edit_success=0.0)]
    assert "Edit success ↑ of FT and RMU: 0.05" in sentence(frame(runs), "Order matters most")


def test_no_finding_is_made_of_differences_within_noise() -> None:
    """Nine batches: the orders differ by 0.06 on average, and by 0.5 either way in each."""
    runs = []
    for batch, gap in enumerate([0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.54]):
        values = ([0.5 + gap / 2], [0.5 - gap / 2])
        runs += curve("ft", "wanda", [0.5], *values, edit_batch=batch)
    expected = "differs clearly between the orders at none of 1 point."
    assert any(expected in text for text in sentences_of(frame(runs)))


def test_which_comes_first_is_counted_over_points_that_clearly_differ() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5, 0.75, 0.9], [0.9, 0.8, 0.5, 0.3], [0.7, 0.6, 0.8, 0.31])
    assert sentence(frame(runs), "Wanda and editing") == (
        "Wanda and editing: Edit success ↑ is better with editing first at 2 of the 3 points where"
        " the orders clearly differ (of 4), by 0.03 on average over these."
    )


def test_a_tie_between_orders_is_said() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5, 0.75], [0.9, 0.5, 0.4], [0.7, 0.8, 0.4])
    assert sentence(frame(runs), "Wanda and editing") == (
        "Wanda and editing: Edit success ↑ is better either way as often (2 of 3 points differ)."
    )


def test_lower_is_better_where_it_is() -> None:
    runs = curve("rmu", "wanda", [0.25], [0.3], [0.6], criterion="wmdp")
    assert "WMDP ↓ is better with unlearning first at 1 of the 1 point" in sentence(
        frame(runs), "Wanda and unlearning"
    )


def test_methods_are_in_the_papers_order() -> None:
    runs = []
    for partner in ("gptq", "magnitude", "wanda"):
        runs += curve("ft", partner, [4], [0.9], [0.8])
    leads = [text.partition(" and ")[0] for text in sentences_of(frame(runs)) if " and ed" in text]
    assert leads[:3] == ["Wanda", "GPTQ", "Magnitude"]
