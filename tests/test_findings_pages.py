"""The pages of findings are what the command writes from the runs in the checkout."""

from pathlib import Path

import pytest

from benchmarks.composability import main as print_pairs
from benchmarks.findings_runs import load
from composability.command import main
from tracking import store

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "explanation"


@pytest.mark.slow
def test_the_pages_of_findings_are_written_from_the_runs_in_the_checkout(
    local_store: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(store.EXPERIMENT, ROOT / "benchmarks" / "findings.jsonl.gz") > 1000
    for preset, page in (("paper", "testbed-findings.md"), ("published", "published-findings.md")):
        output = tmp_path / page
        words = ["findings", "--preset", preset, "--device", "cpu", "--output", str(output)]
        assert main(words) == 0
        assert " missing" not in capsys.readouterr().out.replace(" 0 missing", "")
        assert output.read_text() == (PAGES / page).read_text()
    monkeypatch.setattr("sys.argv", ["composability"])
    print_pairs()
    assert (PAGES / "testbed-pairs.md").read_text().endswith(capsys.readouterr().out.strip() + "\n")
