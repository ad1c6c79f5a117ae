import json
import re

import pytest
import torch

from interventions.criteria.base import measure
from interventions.criteria.editing import answer_f1
from interventions.data import testbed as bed
from interventions.data.base import Data
from interventions.data.testbed import MODEL, TASKS, questions, train
from interventions.data.testbed.prose import prose
from interventions.data.testbed.world import HAZARDS, world
from interventions.errors import InvalidInput
from interventions.lm import LM


def card(figure: str) -> float:
    """A figure of the model's card."""
    found = re.search(rf"\| {figure} \| ([\d.]+) \|", (MODEL / "README.md").read_text())
    assert found, figure
    return float(found[1])


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


def test_the_world_follows_from_its_seed() -> None:
    assert [len(f) for f in world().facts.values()] == [1600, 80, 60, 200, 200, 100, 100, 100, 100]
    again = world.__wrapped__(0)
    assert again.facts == world().facts != world(1).facts


def test_held_out_phrasings_are_never_trained() -> None:
    for fact in world().all_facts()[:200]:
        held = {prompt for kind in fact.prompts(trained=False) for prompt in kind}
        assert len(held) == 2
        assert not held & {prompt for prompt, _ in train.trained_pairs(fact)}


def test_a_batch_edits_each_subject_once_and_batches_share_no_edit() -> None:
    batches = [bed.testbed(i).edits for i in range(10)]
    assert all(len({edit.subject for edit in batch}) == len(batch) == 50 for batch in batches)
    prompts = [edit.prompt for batch in batches for edit in batch]
    assert len(set(prompts)) == 500


def test_locality_is_asked_of_unedited_subjects_and_edits_are_new() -> None:
    data = bed.testbed(3)
    edited = {edit.subject for edit in data.edits}
    assert not [p for p in data.locality if any(subject in p.prompt for subject in edited)]
    assert all(edit.subject in edit.prompt and edit.target != edit.original for edit in data.edits)
    assert all(edit.prompt not in edit.rephrasings for edit in data.edits)


def test_a_batch_that_does_not_exist_is_named() -> None:
    with pytest.raises(InvalidInput, match="edit_batch must be 0 to 9 on the testbed, but got 10"):
        bed.testbed(10)


def test_no_test_text_is_trained_retained_or_calibrated_on() -> None:
    data = bed.testbed()
    seen = {*data.retain, *data.calibration, *data.forget, *prose("train"), *prose("validation")}
    assert not seen & set(data.test_text)


def test_what_is_retained_is_not_hazardous_and_what_is_forgotten_alternates() -> None:
    data, subjects = bed.testbed(), {d: {f.subject for f in world().facts[d]} for d in HAZARDS}
    hazardous = set().union(*subjects.values())
    assert not [text for text in data.retain if any(subject in text for subject in hazardous)]
    domains = [
        next(d for d in HAZARDS if any(s in text for s in subjects[d])) for text in data.forget[:20]
    ]
    assert domains == [*HAZARDS] * 10


@pytest.mark.parametrize("criterion", ["mmlu", *HAZARDS.values()])
def test_the_shipped_questions_are_those_of_the_world(criterion: str) -> None:
    asked = {}
    for split, rows in questions.questions(criterion).items():
        lines = (TASKS / f"{criterion}.{split}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == rows
        assert all(len(set(map(str, row["choices"]))) == 4 for row in rows)  # type: ignore[call-overload]
        asked[split] = {str(row["question"]) for row in rows}
    assert not asked["validation"] & asked["test"]


def test_training_rows_hold_whole_documents_that_see_only_themselves() -> None:
    import random

    tokenizer = train.make_tokenizer(world())
    docs = train.documents(world(), tokenizer, random.Random(0))[:300]
    rows = train.pack(docs, random.Random(0))
    assert sum(map(len, rows)) == 300
    assert all(sum(len(doc.ids) for doc in row) <= train.ROW for row in rows)
    torch.manual_seed(0)
    model = train.make_model(tokenizer).eval()
    pad = int(tokenizer.pad_token_id)
    row = next(row for row in rows if len(row) >= 3)
    with torch.no_grad():
        together = train.row_loss(model, [row], pad).item()
        losses = [train.row_loss(model, [[doc]], pad).item() * sum(doc.weights[1:]) for doc in row]
    assert together == pytest.approx(
        sum(losses) / sum(sum(doc.weights[1:]) for doc in row), rel=1e-4
    )


@pytest.mark.slow
def test_the_training_command_reaches_the_cards_quality(tmp_path: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    train.train(train.Recipe(), tmp_path)
    lm = LM.load(tmp_path)
    measured = measure(lm, bed.testbed(), ["mmlu", "wmdp", "wikitext_ppl"])
    assert measured["mmlu"].value >= 0.9
    assert measured["wikitext_ppl"].value == pytest.approx(card("perplexity, test prose"), rel=0.05)
