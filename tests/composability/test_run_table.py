"""What the terminal shows of a run: its table, what is left of each step, and the other order."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from composability.command import main
from composability.run_table import fates, order_sentences, run_table, run_text
from tracking.facts import CriterionFacts
from tracking.run_summary import OtherOrder, RunSummary, StepScores

CRITERIA = {
    "edit_locality": CriterionFacts(
        "higher", "share", group="locality", judges=("editing",), category="editing"
    ),
    "edit_success": CriterionFacts("higher", "share", judges=("editing",), category="editing"),
    "wmdp": CriterionFacts("lower", "accuracy", judges=("unlearning",), category="unlearning"),
    "average_bits": CriterionFacts(
        "lower", "bits", judges=("compression",), category="compression"
    ),
    "wikitext_ppl": CriterionFacts("lower", "perplexity", judges=("compression",)),
    "sparsity": CriterionFacts("neither", "share", category="compression"),
}


def summary(
    *steps: tuple[str, str, dict[str, float]],
    base: dict[str, float],
    others: tuple[OtherOrder, ...] = (),
) -> RunSummary:
    """A run of (spec, category, scores after it)."""
    return RunSummary(
        run_id="0a",
        experiment_id="1",
        composition=" | ".join(name for name, _, _ in steps),
        steps=(StepScores("base model", base), *(StepScores(n, v) for n, _, v in steps)),
        categories=tuple(category for _, category, _ in steps),
        criteria=CRITERIA,
        others=others,
    )


def pair(success: float, **final: float) -> RunSummary:
    """An edit that reached .8, and a compression after which it stands at ``success``."""
    return summary(
        ("lora", "editing", {"edit_success": 0.8, "edit_locality": 0.9, "wikitext_ppl": 5.0}),
        (
            "wanda(sparsity=0.5)",
            "compression",
            {"edit_success": success, "edit_locality": 0.1, **final},
        ),
        base={"edit_success": 0.0, "edit_locality": 1.0, "wikitext_ppl": 4.9},
    )


def test_rows_are_steps_columns_criteria_and_what_changed_is_marked_by_its_direction() -> None:
    found = summary(
        ("rmu", "unlearning", {"edit_success": 0.5, "wmdp": 0.3, "sparsity": 0.0}),
        ("ft", "editing", {"edit_success": 0.4, "wmdp": 0.3001, "sparsity": 0.5}),
        base={"edit_success": 0.5, "wmdp": 0.9, "sparsity": 0.0},
    )
    lines = run_table(found, 200).splitlines()
    assert lines[0].split() == list(CRITERIA)
    assert lines[1].split() == ["base", "model", "-", "0.50", "0.90", "-", "-", "0.00"]
    # a lower wmdp is better; the same digits are no change; sparsity is neither
    assert lines[2].split() == ["rmu", "-", "0.50", "0.30▲", "-", "-", "0.00"]
    assert lines[3].split() == ["ft", "-", "0.40▼", "0.30", "-", "-", "0.50"]
    assert len({len(line) for line in lines[1:]} | {len(lines[1])}) <= 2


def test_criteria_that_do_not_fit_stand_below_under_the_same_rows() -> None:
    tables = run_table(pair(0.7), 45).split("\n\n")
    assert len(tables) > 1 and all(len(line) <= 45 for t in tables for line in t.splitlines())
    assert [name for t in tables for name in t.splitlines()[0].split()] == list(CRITERIA)
    assert all(t.splitlines()[2].startswith("lora") for t in tables)


@pytest.mark.parametrize(
    ("success", "fate"),
    [
        (0.8, "survived wanda(sparsity=0.5): edit_success 0.80 → 0.80, 100%"),
        (0.72, "survived wanda(sparsity=0.5): edit_success 0.80 → 0.72, 90%"),
        (0.71, "survived wanda(sparsity=0.5) in part: edit_success 0.80 → 0.71, 89%"),
        (0.4, "survived wanda(sparsity=0.5) in part: edit_success 0.80 → 0.40, 50%"),
        (0.39, "did not survive wanda(sparsity=0.5): edit_success 0.80 → 0.39, 49%"),
        (0.0, "did not survive wanda(sparsity=0.5): edit_success 0.80 → 0.00, 0%"),
    ],
)
def test_a_sentence_says_what_is_left_of_an_edit(success: float, fate: str) -> None:
    assert fates(pair(success)) == [f"the edit {fate} of its gain is left"]


def test_unlearning_is_judged_by_what_it_took_away() -> None:
    found = summary(
        ("rmu", "unlearning", {"wmdp": 0.3}),
        ("gptq(bits=4)", "compression", {"wmdp": 0.6}),
        ("rtn(bits=3)", "compression", {"wmdp": 0.7}),
        base={"wmdp": 0.9},
    )
    assert fates(found) == [
        "the unlearning did not survive gptq(bits=4) and rtn(bits=3): wmdp 0.30 → 0.70, 33% of its"
        " gain is left"
    ]


def test_a_compression_gains_nothing_and_is_followed_by_its_perplexity() -> None:
    found = summary(
        ("wanda(sparsity=0.5)", "compression", {"wikitext_ppl": 5.5, "average_bits": 8.5}),
        ("lora", "editing", {"wikitext_ppl": 5.25, "average_bits": 16.0}),
        base={"wikitext_ppl": 5.0, "average_bits": 16.0},
    )
    assert fates(found) == ["wanda(sparsity=0.5), then lora: wikitext_ppl 5.50 → 5.25"]


@pytest.mark.parametrize(
    ("base", "after", "end"),
    [(0.79, 0.8, 0.1), (0.8, 0.8, 0.8), (0.9, 0.5, 0.5), (0.0, math.inf, 0.5)],
)
def test_of_a_gain_that_was_none_no_share_is_said(base: float, after: float, end: float) -> None:
    found = summary(
        ("lora", "editing", {"edit_success": after}),
        ("wanda", "compression", {"edit_success": end}),
        base={"edit_success": base},
    )
    (sentence,) = fates(found)
    assert "%" not in sentence and "survive" not in sentence


def test_where_the_criterion_failed_nothing_is_said() -> None:
    assert not fates(summary(("lora", "editing", {}), ("ft", "editing", {}), base={}))


def test_another_order_is_compared_and_a_missing_one_is_named_as_a_command() -> None:
    (missing,) = order_sentences(pair(0.7))
    assert missing.endswith('composability run "wanda(sparsity=0.5) | lora"')
    assert missing in run_text(pair(0.7), 60).splitlines()  # to be copied, in one line
    (missing,) = order_sentences(pair(0.7), "--model ./ours --seed 3")
    assert missing.endswith('"wanda(sparsity=0.5) | lora" --model ./ours --seed 3')
    assert missing in run_text(pair(0.7), options="--model ./ours --seed 3").splitlines()
    other = OtherOrder("wanda(sparsity=0.5) | lora", "0b", {"edit_success": 0.75})
    with_other = summary(
        ("lora", "editing", {"edit_success": 0.8}),
        ("wanda(sparsity=0.5)", "compression", {"edit_success": 0.7, "wikitext_ppl": 5.0}),
        base={},
        others=(other,),
    )
    (sentence,) = order_sentences(with_other)
    assert "(run 0b): edit_success 0.75 against 0.70 here" in sentence


def test_the_same_step_twice_and_three_steps_have_no_one_other_order() -> None:
    step = ("ft", "editing", {"edit_success": 0.5})
    assert not order_sentences(summary(step, step, base={}))
    three = summary(step, step, ("wanda", "compression", {}), base={})
    assert not three.reversed_composition and not order_sentences(three)


def test_a_run_from_the_cache_alone_says_so() -> None:
    sentence = "nothing was computed: every step and every score came from the cache"
    assert sentence not in run_text(pair(0.5), 200)
    cached = dataclasses.replace(pair(0.5), is_all_cached=True)
    assert run_text(cached, 200).splitlines()[-1] == sentence


def test_the_base_model_alone_has_a_row_and_no_legend() -> None:
    text = run_text(summary(base={"edit_success": 0.5}), 200)
    assert text.splitlines()[-1].startswith("base model") and "▲" not in text


def test_the_command_prints_it_as_json_and_a_summary_that_fails_is_a_warning(
    local_store: str,
    kept_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept_folder))
    command = ["run", "magnitude", "--criteria", "sparsity", "--checkpoints", "none"]
    assert main([*command, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [step["step"] for step in values["steps"]] == ["base model", "magnitude(sparsity=0.5)"]

    def broken(run_id: str) -> None:
        raise RuntimeError("the artifacts\nare away")

    monkeypatch.setattr("tracking.run_summary.run_summary", broken)
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "cannot be read back: the artifacts are away" in printed.err
    first, link = printed.out.splitlines()
    assert first.endswith(" (start the UI with `composability setup --ui 5000 --serve`)")
    assert first.startswith("run ")
    page = link.removeprefix("http://127.0.0.1:5000/#/experiments/1/runs/")
    assert page == f"{first.split()[1]}?workflowType=machine_learning"
