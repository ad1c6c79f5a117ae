"""What the report says of two orders of compressions that end at different sizes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from analysis.labels import Labels
from analysis.report.findings.size import unequal_sizes
from tests.analysis.report.findings.sentences import findings_of, sentences_of
from tests.analysis.synthetic import frame, run
from tracking.catalogue import Catalogue


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


def sized(**columns: Any) -> dict[str, Any]:
    return {
        "intervention": "gptq", "partner": "wanda", "intervention_category": "compression",
        "partner_category": "compression", "criterion": "average_bits", "unit": "bits per weight",
        "strength": "wanda.sparsity", "level": 0.5, "forward": 2.0, "backward": 1.97,
        "replicates": 1, "forward_runs": ("1",), "backward_runs": ("2",), **columns,
    }  # fmt: skip


def sentences(*points: dict[str, Any]) -> list[str]:
    evidence: Any = SimpleNamespace(points=pd.DataFrame(points), titles=Labels(Catalogue()))
    return [finding.text for finding in unequal_sizes(evidence)]


def test_one_percent_of_the_larger_size_is_no_difference() -> None:
    """Of 2 bits, 0.02."""
    assert sentences(sized(backward=1.985), sized(forward=1.985, backward=2.0)) == []
    assert len(sentences(sized(backward=1.975))) == 1


def test_the_widest_difference_is_named_and_what_is_no_pair_of_compressions_is_not() -> None:
    points = [
        sized(level=0.25),
        sized(backward=1.5),
        sized(level=0.75, backward=2.0),
        sized(unit="share", backward=0.5),
        sized(intervention_category="editing", backward=0.5),
        sized(replicates=0, backward=0.5),
        sized(partner="awq", strength="", level=np.nan),
    ]
    rest = "there, other differences between the orders are not between models of one size."
    assert sentences(*points) == [
        "The orders of GPTQ and Wanda end at different Average bits ↓ at 2 of 3 points (most at"
        f" sparsity 0.5: 2.00 after GPTQ → Wanda, 1.50 after Wanda → GPTQ): {rest}",
        "The orders of GPTQ and AWQ end at different Average bits ↓ at 1 of 1 point (2.00 after"
        f" GPTQ → AWQ, 1.97 after AWQ → GPTQ): {rest}",
    ]
