"""What the report says of two orders of compressions that end at different sizes."""

from tests.analysis.report.findings.sentences import findings_of, sentences_of
from tests.analysis.synthetic import frame, run


def pair(first: str, second: str, bits: float, other_bits: float) -> list[dict[str, object]]:
    return [
        run(f"{first} | {second}", level=3.0, average_bits=bits, mmlu=0.5),
        run(f"{second} | {first}", level=3.0, average_bits=other_bits, mmlu=0.9),
    ]


def test_orders_of_compressions_that_end_at_different_bits_are_named() -> None:
    runs = pair("gptq", "sparsegpt", 2.25, 1.6)
    (finding,) = [f for f in findings_of(frame(runs)) if f.text.startswith("The orders of")]
    assert "2.25 after GPTQ → SparseGPT, 1.60 after SparseGPT → GPTQ" in finding.text
    assert "at 1 of 1 point" in finding.text and "models of one size" in finding.text
    assert set(finding.runs) == {entry["run_id"] for entry in runs}


def test_equal_bits_and_pairs_with_an_edit_are_not_named() -> None:
    for runs in (pair("gptq", "sparsegpt", 1.6, 1.601), pair("ft", "sparsegpt", 9.0, 5.0)):
        assert not any(text.startswith("The orders of") for text in sentences_of(frame(runs)))
