"""The shipped model: what it knows, and what its training command makes."""

import re
from pathlib import Path

import pytest

from interventions.criteria.base import measure
from interventions.criteria.editing import answer_f1
from interventions.data import testbed as bed
from interventions.data.base import Data
from interventions.data.testbed import MODEL, train
from interventions.data.testbed.world import world
from interventions.lm import LM


def card(figure: str) -> float:
    """A figure of the model's card."""
    row = re.search(rf"\| {figure} \| ([\d.]+) \|", (MODEL / "README.md").read_text())
    assert row, figure
    return float(row[1])


def test_the_shipped_model_knows_its_world(lm: LM, data: Data) -> None:
    """Thresholds: 0.90 for facts and four-choice questions, perplexity within 5 % of the card's."""
    facts = world().all_facts()[::4]
    trained = tuple((fact.prompts(trained=True)[1][0], fact.object) for fact in facts)
    scores = answer_f1(lm, trained)
    exact = sum(f1 == 1 for f1 in scores) / len(scores)
    assert exact >= 0.90
    assert exact == pytest.approx(card("facts, trained question"), abs=0.02)
    measured = measure(lm, data, ["mmlu", "wmdp_bio", "wmdp_cyber", "wikitext_ppl"])
    assert min(measured[name].value for name in ("mmlu", "wmdp_bio", "wmdp_cyber")) >= 0.90
    assert measured["wikitext_ppl"].value == pytest.approx(card("perplexity, test prose"), rel=0.05)


def test_the_checkpoint_is_small_safe_and_plain() -> None:
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 20e6
    assert not [file for file in MODEL.iterdir() if file.suffix in (".bin", ".pt", ".pkl")]
    assert LM.load(MODEL).model.config.model_type == "llama"


@pytest.mark.slow
def test_the_training_command_reaches_the_cards_quality(tmp_path: Path) -> None:
    train.train(train.Recipe(), tmp_path)
    lm = LM.load(tmp_path)
    measured = measure(lm, bed.testbed(), ["mmlu", "wmdp", "wikitext_ppl"])
    assert measured["mmlu"].value >= 0.9
    assert measured["wikitext_ppl"].value == pytest.approx(card("perplexity, test prose"), rel=0.05)
