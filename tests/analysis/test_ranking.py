"""Pairs ranked by order-free error, and what a grid ends with."""

import re
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from analysis.plots.ranking_figure import draw_ranking
from analysis.ranking import RankedPair, rank_pairs, ranking_markdown
from composability.command import main
from composability.grid_text import ranking_text
from tests.analysis.synthetic import curve, frame
from tracking import schema, store


def test_pairs_are_ranked_by_the_mean_error_of_what_judges_them_and_of_general_ability() -> None:
    """Errors: 1 - .9 of the edit and 1 - .8 of MMLU; 1 - .6 and 1 - .4."""
    good = curve("ft", "wanda", [0.5], [0.9], [0.7], mmlu=0.8)
    bad = curve("lora", "wanda", [0.5], [0.5], [0.6], mmlu=0.4)
    first, second = rank_pairs(frame([*bad, *good]))
    assert (first.pair, first.best, first.level) == ("ft + wanda", "ft → wanda", "sparsity 0.5")
    assert first.error == pytest.approx((0.1 + 0.2) / 2)
    assert first.sensitivity == pytest.approx((0.2 + 0.0) / 2)
    assert second.best == "wanda → lora"
    assert second.error == pytest.approx((0.4 + 0.6) / 2)
    assert first.criteria == ("edit_success", "mmlu")


def test_a_destroyed_model_that_has_forgotten_all_is_not_the_best() -> None:
    destroyed = curve("ga", "wanda", [0.5], [0.25], [0.25], criterion="wmdp", mmlu=0.25)
    good = curve("rmu", "wanda", [0.5], [0.35], [0.4], criterion="wmdp", mmlu=0.9)
    assert [ranked.pair for ranked in rank_pairs(frame([*destroyed, *good]))] == [
        "rmu + wanda",
        "ga + wanda",
    ]


def test_equal_orders_are_either_and_a_perplexity_alone_ranks_nothing() -> None:
    (equal,) = rank_pairs(frame(curve("ft", "wanda", [0.5], [0.9], [0.9])))
    assert equal.best == "either"
    rows = curve("ft", "wanda", [0.5], [4.0], [6.0], criterion="wikitext_ppl")
    assert rank_pairs(frame(rows)) == []


def test_a_pair_that_nothing_measured_judges_is_not_ranked() -> None:
    unjudged = curve("adapter", "wanda", [0.5], [0.9], [0.7])
    assert rank_pairs(frame(unjudged)) == []
    judged = curve("ft", "wanda", [0.5], [0.9], [0.7])
    assert [ranked.pair for ranked in rank_pairs(frame([*unjudged, *judged]))] == ["ft + wanda"]


def test_the_table_says_what_it_is_ranked_by_and_how_many_more_there_are() -> None:
    levels = [n / 100 for n in range(20)]
    ranked = rank_pairs(frame(curve("ft", "wanda", levels, [0.9] * 20, levels)))
    lines = ranking_text(ranked, 100).splitlines()
    assert len([line for line in lines if line.startswith("ft + wanda")]) == 15
    assert lines[16] == "… and 5 more, to 0.100"
    text = " ".join(lines[17:])
    assert text.startswith("Ranked by order-free error, the mean over edit_success where they")
    assert "By the numbers alone" in text


COMMAND = [
    *("grid", "--interventions", "magnitude; rtn(bits=8)", "--length", "2", "--pairs", "all"),
    *("--criteria", "mmlu,sparsity", "--limit", "20", "--name", "small"),
]


def test_a_grid_ends_with_its_pairs_ranked(
    local_store: str,
    kept_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept_folder))
    assert main([*COMMAND, "--dry-run"]) == 0
    assert "Ranked by" not in capsys.readouterr().out
    assert main(COMMAND) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"small: 2 runs finished in {store.shown_address()}\n")
    assert "\nmagnitude + rtn  " in printed and "Ranked by order-free error" in printed
    client = MlflowClient(local_store)
    filter = f"tags.`{schema.SWEEP_ROOT}` = 'small'"
    (parent,) = client.search_runs([store.ensure_experiment()], filter)
    note = parent.data.tags[schema.NOTE]
    assert note.startswith("| pair | level | better order |")
    (error,) = re.findall(r"\| magnitude \+ rtn \| .* \| (0\.\d{3}) \| 0\.\d{3} \| 1 \|", note)
    assert float(error) == pytest.approx(
        parent.data.metrics["pairs/best_order_free_error"], abs=6e-4
    )
    assert parent.data.metrics["pairs/ranked"] == 1
    table = pd.read_csv(download_artifacts(run_id=parent.info.run_id, artifact_path="ranking.csv"))
    assert table.pair.tolist() == ["magnitude + rtn"]
    assert table.error[0] == pytest.approx(parent.data.metrics["pairs/best_order_free_error"])
    picture = download_artifacts(run_id=parent.info.run_id, artifact_path="ranking.png")
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert parent.info.status == "FINISHED"


def test_a_grid_that_fails_in_part_ranks_the_rest_and_then_says_what_failed(
    local_store: str,
    kept_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from interventions.compression.awq import AWQ

    def failing(*_: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept_folder))
    monkeypatch.setattr(AWQ, "apply", failing)
    command = [*COMMAND[:2], "magnitude; rtn(bits=8); awq", *COMMAND[3:-1], "failing"]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("of what did not fail:\n")
    assert "magnitude + rtn" in printed.out and "awq" not in printed.out
    assert "no such luck" in printed.err


def test_a_ranking_that_cannot_be_made_is_a_warning(
    local_store: str,
    kept_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the runs\nare away")

    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept_folder))
    monkeypatch.setattr("analysis.ranking.rank_sweep", broken)
    assert main(COMMAND) == 0
    assert "warning: the pairs of small cannot be ranked: the runs are away" in (
        capsys.readouterr().err
    )


def test_the_picture_has_two_bars_for_each_pair_the_best_at_the_top() -> None:
    good = curve("ft", "wanda", [0.5], [0.9], [0.7], mmlu=0.8)
    bad = curve("lora", "wanda", [0.5], [0.5], [0.6], mmlu=0.4)
    ranked = rank_pairs(frame([*bad, *good]))
    (axis,) = draw_ranking(ranked).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "ft + wanda sparsity 0.5", "lora + wanda sparsity 0.5",
    ]  # fmt: skip
    assert axis.yaxis_inverted()
    widths = [[bar.get_width() for bar in bars] for bars in axis.containers]
    assert widths == [[pair.error for pair in ranked], [pair.sensitivity for pair in ranked]]


def test_leads_in_opposite_directions_cancel_out() -> None:
    """Forgetting: .25 in favour of the second order; MMLU: .25 in favour of the first."""
    runs = curve("rmu", "wanda", [0.5], [0.5], [0.25], criterion="wmdp")
    runs[0]["mmlu"], runs[1]["mmlu"] = 0.75, 0.5
    (ranked,) = rank_pairs(frame(runs))
    assert ranked.best == "either" and set(ranked.criteria) == {"wmdp", "mmlu"}


def test_a_description_has_thirty_pairs_and_says_how_many_more_there_are() -> None:
    def pairs(count: int) -> list[RankedPair]:
        first = RankedPair("ft", "", "either", 0.1234, 0.05, ("mmlu",), 3)
        others = RankedPair("ga", "4 bits", "awq", 0.5, 0.25, ("wmdp", "mmlu"), 1)
        return [first, *[others] * (count - 1)]

    end = [
        "",
        "Ranked by order-free error, the mean over mmlu, wmdp where they judge the pair; smaller is"
        " better. By the numbers alone: which order is better, `composability analyze` tests.",
    ]
    head = "| pair | level | better order | order-free error | order sensitivity | runs |"
    lines = [
        head,
        "| --- | --- | --- | --- | --- | --- |",
        "| ft |  | either | 0.123 | 0.050 | 3 |",
    ]
    lines += ["| ga | 4 bits | awq | 0.500 | 0.250 | 1 |"] * 29
    assert ranking_markdown(pairs(30)).splitlines() == [*lines, *end]
    assert ranking_markdown(pairs(31)).splitlines() == [*lines, "", "… and 1 more.", *end]
