"""The paper's data as a whole: batches, questions, splits, identities."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from interventions.composition import Composition
from interventions.criteria.base import measure
from interventions.data import hub, lm_eval_tasks
from interventions.data.base import Data, Questions
from interventions.data.hub import Source
from interventions.data.paper import MMLU, WMDP_BIO, WMDP_CYBER, _questions, paper
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.interventions.data.local_copies import (
    PARAGRAPH,
    SUBJECTS,
    question,
    record,
    write_parquet,
)
from tracking.plan import plan_run
from tracking.settings import Settings


def questions_of(data: Data, task: str) -> list[str]:
    return [
        doc["question"] for doc in lm_eval_tasks.tasks(data.questions)["tasks"][task].test_docs()
    ]


@pytest.mark.parametrize("batch", [-1, 10])
def test_another_batch_than_the_ten_is_refused(batch: int, copies: Path) -> None:
    with pytest.raises(
        InvalidInput, match=f"edit_batch must be 0 to 9 on the paper's data, but got {batch}"
    ):
        paper(batch, source=copies)


def likeliest(lm: LM, prompt: str, answers: list[str]) -> int:
    likelihoods = []
    start = len(lm.tokenizer.encode(prompt))
    for answer in answers:
        ids = torch.tensor([lm.tokenizer.encode(prompt + answer)])
        with torch.no_grad():
            logits = lm.model(ids).logits[0, :-1]
        likelihoods.append(
            -float(F.cross_entropy(logits[start - 1 :], ids[0, start:], reduction="sum"))
        )
    return likelihoods.index(max(likelihoods))


def test_lm_evals_own_tasks_are_asked_of_the_local_copies(lm: LM, copies: Path) -> None:
    """Reference: the likeliest of " A" to " D" after lm-eval's prompt, one question at a time."""
    data = paper(0, source=copies)
    measured = measure(lm, data, ["mmlu", "wmdp_bio", "wmdp_cyber", "wmdp"])
    assert set(measured["mmlu"].items) == {
        f"mmlu_{subject}/{i}" for subject in SUBJECTS for i in range(5)
    }
    assert set(measured["wmdp_bio"].items) == {str(i) for i in range(6)}
    assert len(measured["wmdp"].items) == 12
    right = []
    for subject in SUBJECTS:
        for i in range(5):
            prompt = (
                f"The following are multiple choice questions (with answers) about {subject}.\n\n"
                f"Which colour has {subject} test {i}?\nA. red\nB. green\nC. blue\nD. grey\nAnswer:"
            )
            right.append(float(likeliest(lm, prompt, [" A", " B", " C", " D"]) == (i + 1) % 4))
    assert list(measured["mmlu"].items.values()) == right
    assert measured["mmlu"].value == pytest.approx(sum(right) / 10)


def test_the_hubs_tasks_are_lm_evals_57_subjects_and_wmdp_at_pinned_commits() -> None:
    sources = tuple((source.name, source.revision) for source in (WMDP_BIO, MMLU))
    names = ("mmlu", "wmdp_bio", "wmdp_cyber")
    questions = Questions(tuple((name, name) for name in names), sources=sources)
    configs = lm_eval_tasks.configs(questions)
    assert sum(config["task"].startswith("mmlu_") for config in configs) == 57
    assert {(c["dataset_path"], c["dataset_kwargs"]["revision"]) for c in configs} == {*sources}
    assert {config["num_fewshot"] for config in configs} == {0}
    assert [c["dataset_name"] for c in configs if c["task"].startswith("wmdp")] == [
        "wmdp-bio",
        "wmdp-cyber",
    ]


def test_tuning_and_what_judges_it_share_no_edit_question_or_text(lm: LM, copies: Path) -> None:
    """WMDP has test questions only: half of them are for tuning, and then the other half judges."""
    zsre = [record(i) for i in range(560)]
    (copies / "zsre_mend_eval.json").write_text(json.dumps(zsre))
    tuning, judging, test = (
        paper(0, split, copies) for split in ("validation", "held_out", "test")
    )
    tested = {edit.subject for batch in range(10) for edit in paper(batch, source=copies).edits}
    assert len(tuning.edits) == 50 and not tested & {edit.subject for edit in tuning.edits}
    assert judging.edits == test.edits and judging.test_text == test.test_text
    assert tuning.test_text == (PARAGRAPH.format("tuning"),)
    questions = {
        split: {name: questions_of(data, name) for name in ("wmdp_bio", "mmlu_anatomy")}
        for split, data in (("validation", tuning), ("held_out", judging), ("test", test))
    }
    bio = [f"Which colour has wmdp-bio {i}?" for i in range(6)]
    assert [questions[split]["wmdp_bio"] for split in questions] == [bio[::2], bio[1::2], bio]
    assert questions["validation"]["mmlu_anatomy"] == [
        f"Which colour has anatomy validation {i}?" for i in range(2)
    ]
    assert questions["held_out"]["mmlu_anatomy"] == questions["test"]["mmlu_anatomy"]
    assert len({data.identity("questions") for data in (tuning, judging, test)}) == 3
    values = measure(lm, tuning, ["wmdp", "mmlu"])
    assert len(values["wmdp"].items) == 6 and len(values["mmlu"].items) == 4
    with pytest.raises(
        InvalidInput,
        match="edit_batch must be 0 to 4 on the paper's data with split=validation, but",
    ):
        paper(5, "validation", copies)


def test_questions_are_known_by_their_content_not_their_place(copies: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(copies, tmp_path / "moved"))
    (moved / "cais/mmlu/.cache").mkdir()
    (moved / "cais/mmlu/.cache/download").write_text("a note of the downloader")
    before = paper(0, source=copies).identity("questions")
    assert paper(0, source=moved).identity("questions") == before
    changed = Path(shutil.copytree(copies, tmp_path / "changed"))
    file = changed / "cais/mmlu/anatomy/test-00000-of-00001.parquet"
    write_parquet(file, [question("Which colour has another?", 0)])
    assert paper(0, source=changed).identity("questions") != before


def test_the_paper_profile_of_a_composition_is_planned_on_the_papers_data(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hub.VARIABLE, str(copies))
    plan = plan_run("wanda", Settings(data="paper", edit_batch=2))
    assert plan.composition == Composition.parse("wanda(sparsity=0.25)")
    assert plan.data.edits == paper(2, source=copies).edits
    assert len(plan.keys) == 2


@pytest.mark.parametrize("source", [MMLU, WMDP_BIO, WMDP_CYBER], ids=lambda source: source.name)
def test_questions_without_rows_are_refused_before_a_run(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(read: Source, folder: Path | None) -> Iterator[dict[str, Any]]:
        return iter([] if read is source else [{"question": "Which?"}])

    monkeypatch.setattr(Source, "rows", rows)
    with pytest.raises(InvalidInput) as error:
        _questions.__wrapped__(None, "test")
    assert str(error.value) == f"{source.name} ({source.files}) has no rows"
