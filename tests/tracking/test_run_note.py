"""A run's description: its table has the values, the marks and the link."""

import math
from typing import Any

import mlflow
import pytest

from interventions.composition import Composition
from tracking import schema
from tracking.checkpoints.store import Checkpoints
from tracking.facts import CriterionFacts
from tracking.log import Log
from tracking.run import run
from tracking.run_note import run_note

FACTS = {
    "mmlu": CriterionFacts("higher", "accuracy"),
    "wikitext_ppl": CriterionFacts("lower", "perplexity"),
    "sparsity": CriterionFacts("neither", "share"),
}


def step(intervention: str | None, **values: float | str) -> dict[str, Any]:
    return {
        "intervention": intervention,
        "criteria": {name: {"value": value} for name, value in values.items()},
    }


def rows(note: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in note.splitlines()
        if line.startswith("|")
    ]


def test_each_criterion_is_a_row_with_its_value_after_every_step() -> None:
    steps = [
        step(None, mmlu=0.9, wikitext_ppl=5.0, sparsity=0.0),
        step("rtn(bits=2)", mmlu=0.25, wikitext_ppl="inf", sparsity=0.5),
        step("lora", mmlu=0.25, wikitext_ppl=4.0),
    ]
    head, _, *body = rows(run_note(steps, FACTS))
    assert head == ["criterion", "base model", "rtn(bits=2)", "lora"]
    assert body == [
        ["mmlu ↑", "0.900", "0.250 ▼", "0.250"],
        ["wikitext_ppl ↓", "5.000", "inf ▼", "4.000 ▲"],
        ["sparsity", "0.000", "0.500", "–"],
    ]


def test_a_pair_links_to_both_orders_in_the_mode_for_training_runs() -> None:
    first = run_note([step(None, mmlu=math.pi)], FACTS, "7", "a + b").splitlines()[0]
    assert first == (
        "[Both orders of a + b in charts](#/experiments/7/runs?workflowType=machine_learning"
        "&compareRunsMode=CHART&searchFilter=params.pair%20%3D%20%27a%20%2B%20b%27)"
    )
    assert "charts" not in run_note([step(None, mmlu=0.5)], FACTS, "7")


def test_names_of_others_stay_plain_text() -> None:
    facts = {"[a](javascript:b)": CriterionFacts("higher", "share")}
    note = run_note([step("x | <b>")], facts)
    assert r"\[a\](javascript:b)" in note and r"x \| &lt;b>" in note


def test_a_description_fits_into_a_tag() -> None:
    facts = {f"criterion_{n}": CriterionFacts("higher", "share") for n in range(400)}
    steps = [step(None), step("lora")]
    assert 4000 < len(run_note(steps, facts)) <= 5000
    assert run_note([step(None)] * 13, facts) == ""


def test_a_finished_run_is_described_by_its_values(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("magnitude(sparsity=0.5)", criteria="mmlu,sparsity", cache=checkpoints)
    logged = mlflow.get_run(run_id)
    table = {row[0]: row[1:] for row in rows(logged.data.tags[schema.NOTE])}
    assert table["mmlu ↑"][1].startswith(f"{logged.data.metrics['mmlu']:.3f}")
    assert table["sparsity"][1] == "0.500"


def test_a_description_that_somebody_wrote_meanwhile_stays(
    local_store: str, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_ids: list[str] = []
    describe = Log._describe

    def written_before(log: Log) -> None:
        run_ids.append(log.run_id)
        log.client.set_tag(log.run_id, schema.NOTE, "mine")
        describe(log)

    monkeypatch.setattr(Log, "_describe", written_before)
    run(Composition.parse("none"), criteria="sparsity", cache=checkpoints)
    assert mlflow.get_run(run_ids[0]).data.tags[schema.NOTE] == "mine"


def test_a_change_is_marked_against_the_column_before_and_large_numbers_have_an_exponent() -> None:
    steps = [step(None, mmlu=0.5), step("rtn", mmlu=0.9), step("ft", mmlu=0.7)]
    assert rows(run_note(steps, FACTS))[2] == ["mmlu ↑", "0.500", "0.900 ▲", "0.700 ▼"]
    large = [step(None, wikitext_ppl=9999.5), step("rtn", wikitext_ppl=10000.0)]
    assert rows(run_note(large, FACTS))[3] == ["wikitext_ppl ↓", "9999.500", "1.0e+04 ▼"]


def test_a_table_has_twelve_columns_and_five_thousand_characters_at_most() -> None:
    assert run_note([step(None)] * 12, FACTS) and not run_note([step(None)] * 13, FACTS)

    def note_of(length: int) -> str:
        facts = {"mmlu": FACTS["mmlu"], "a" * length: FACTS["sparsity"]}
        return run_note([step(None)], facts)

    longest = 5000 - len(note_of(10)) + 10
    assert len(note_of(longest)) == 5000 and len(rows(note_of(longest))) == 4
    assert len(rows(note_of(longest + 1))) == 3
