import pandas as pd

from tests.analysis.report.findings.sentences import findings_of, sentences_of
from tests.analysis.synthetic import curve, frame


def test_the_papers_findings_are_found_in_its_numbers(published: pd.DataFrame) -> None:
    """Its section 4: prune before editing; GPTQ after, AWQ before; AWQ and RMU compose best."""
    text = "\n".join(sentences_of(published))
    for finding in (
        "Wanda and editing: Edit success ↑ is better with Wanda first at 10 of the 10 points",
        "SparseGPT and editing: Edit success ↑ is better with SparseGPT first at 14 of the 14",
        "GPTQ and editing: Edit success ↑ is better with editing first at 5 of the 5 points",
        "AWQ and editing: Edit success ↑ is better with AWQ first at 6 of the 6 points",
        "AWQ composes best, with a mean order-free error of 0.26",
        "RMU composes best, with a mean order-free error of 0.01",
        "MMLU does not show it: between the orders it differs by 0.015 on average, edit success by"
        " 0.173.",
        "Compression and editing: even in the better order Edit success ↑ is at least 0.05 worse",
        "the model is broken, not unlearned",
        "Perplexity is infinite in at least one order at 30 points.",
    ):
        assert finding in text


def test_every_finding_but_the_first_knows_its_runs(published: pd.DataFrame) -> None:
    known = set(published.run_id)
    first, *rest = findings_of(published)
    assert first.runs == ()
    assert all(finding.runs and set(finding.runs) <= known for finding in rest)


def test_the_first_finding_counts_pairs_methods_points_and_replicates() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], mmlu=0.5)
    runs += curve("lora", "wanda", [0.25], [0.9], [0.8])
    assert sentences_of(frame(runs))[0] == (
        "2 pairs of 3 interventions, 3 points (pair and level), one run of each order."
    )
    runs += curve("ft", "wanda", [0.25], [0.9], [0.8], edit_batch=1)
    assert sentences_of(frame(runs))[0].endswith(", up to 2 edit batches and seeds each.")


def test_every_context_has_findings_of_its_own() -> None:
    runs = []
    for model in ("a", "b"):
        runs += curve("ft", "wanda", [0.25], [0.9], [0.9], model=model)
    counts = [text for text in sentences_of(frame(runs)) if text.startswith("1 pair of 2")]
    assert len(counts) == 2
