import pandas as pd

from tests.analysis.report.findings.sentences import findings_of, sentences_of
from tests.analysis.synthetic import curve, frame


def test_every_finding_but_the_first_knows_its_runs(published: pd.DataFrame) -> None:
    known = set(published.run_id)
    first, *rest = findings_of(published)
    assert first.runs == ()
    assert all(finding.runs and set(finding.runs) <= known for finding in rest)


def test_the_first_finding_counts_pairs_methods_points_and_replicates() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], mmlu=0.5)
    runs += curve("lora", "wanda", [0.25], [0.9], [0.8])
    assert sentences_of(frame(runs))[0] == (
        "2 pairs of 3 interventions, 3 points (pair and level), one run of each order: this"
        " batch of edits and this seed only."
    )
    runs += curve("ft", "wanda", [0.25], [0.9], [0.8], edit_batch=1)
    assert sentences_of(frame(runs))[0].endswith(", up to 2 edit batches and seeds each.")


def test_every_context_has_findings_of_its_own() -> None:
    runs = []
    for model in ("a", "b"):
        runs += curve("ft", "wanda", [0.25], [0.9], [0.9], model=model)
    counts = [text for text in sentences_of(frame(runs)) if text.startswith("1 pair of 2")]
    assert len(counts) == 2
