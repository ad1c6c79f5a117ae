"""The shipped model: what it knows, and what its training command makes."""

import re
from pathlib import Path

import pytest

from interventions.criteria.base import measure
from interventions.criteria.editing import answer_f1
from interventions.data import testbed as bed
from interventions.data.base import Data
from interventions.data.testbed import MODEL, train
from interventions.data.testbed.portability import HOPS, by_alias, hop, training_pairs
from interventions.data.testbed.world import world
from interventions.lm import LM


def card(figure: str) -> float:
    """A figure of the model's card."""
    row = re.search(rf"\| {figure} \| ([\d.]+) \|", (MODEL / "README.md").read_text())
    assert row, figure
    return float(row[1])


def test_the_shipped_model_knows_its_world(lm: LM, data: Data) -> None:
    """Thresholds: 0.90 for facts, 0.80 to 0.95 for questions, perplexity near the card's."""
    facts = world().all_facts()[::4]
    trained = tuple((fact.prompts(trained=True)[1][0], fact.object) for fact in facts)
    exact = _exact(lm, trained)
    assert exact >= 0.90
    assert exact == pytest.approx(card("facts, trained question"), abs=0.02)
    measured = measure(lm, data, ["mmlu", "wmdp_bio", "wmdp_cyber", "wikitext_ppl"])
    for name in ("mmlu", "wmdp_bio", "wmdp_cyber"):
        assert 0.80 <= measured[name].value <= 0.95, name
    assert measured["wikitext_ppl"].value == pytest.approx(card("perplexity, test prose"), rel=0.05)


def test_the_model_answers_portability_questions_that_training_never_showed(lm: LM) -> None:
    """Thresholds: 0.05 below the card's; chance is one in 15."""
    people = [fact for fact in world().facts["person"] if fact.relation.name in HOPS]
    hops = [hop(world(), fact, fact.object) for fact in people[::2]]
    told = {*training_pairs(world())}
    untold = tuple(pair for pair in hops if pair and pair not in told)
    aliases = tuple(
        (by_alias(fact, fact.prompts(trained=True)[1][0]), fact.object) for fact in people[::8]
    )
    assert 150 < len(untold) < 250
    assert _exact(lm, untold) == pytest.approx(card("hops that training did not tell"), abs=0.05)
    assert _exact(lm, aliases) >= 0.95


def _exact(lm: LM, pairs: tuple[tuple[str, str], ...]) -> float:
    return sum(f1 == 1 for f1 in answer_f1(lm, pairs)) / len(pairs)


def test_both_checkpoints_are_small_safe_and_plain() -> None:
    folders = (MODEL, MODEL.with_name("model-without-forget"))
    files = [file for folder in folders for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) < 20e6
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pkl")]
    assert LM.load(MODEL).model.config.model_type == "llama"


@pytest.mark.slow
def test_the_training_command_reaches_the_cards_quality(tmp_path: Path) -> None:
    train.train(train.Recipe(), tmp_path)
    lm = LM.load(tmp_path)
    measured = measure(lm, bed.testbed(), ["mmlu", "wikitext_ppl"])
    assert measured["mmlu"].value == pytest.approx(
        card(r"four-choice, benign \(`mmlu`\)"), abs=0.05
    )
    assert measured["wikitext_ppl"].value == pytest.approx(card("perplexity, test prose"), rel=0.05)
