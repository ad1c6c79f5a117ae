"""lm-eval's tasks: whose questions are whose, which are asked, in which order and from where."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interventions.data import lm_eval_tasks
from interventions.data.base import Questions
from interventions.data.lm_eval_tasks import (
    _relocated,
    by_length,
    configs,
    criterion_of_task,
    sampled,
)
from interventions.data.question_set import Question, QuestionSet
from interventions.errors import InvalidInput

DOCS = {
    "mmlu_law": [("aaa", ["b", "ccccc"]), ("a", ["bb", "c"]), ("aaaaa", ["b" * 9, "c"])],
    "wmdp": [("aaaaaaa", ["b", "cc"]), ("aaa", [])],
}


def stand_in(docs: list[tuple[str, list[str]]]) -> Any:
    return SimpleNamespace(
        eval_docs=[{"text": text, "options": options} for text, options in docs],
        doc_to_text=lambda doc: doc["text"],
        doc_to_choice=lambda doc: doc["options"],
    )


@pytest.fixture(autouse=True)
def _tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {"tasks": {name: stand_in(docs) for name, docs in DOCS.items()}}
    monkeypatch.setattr(lm_eval_tasks, "tasks", lambda questions: objects)


QUESTIONS = Questions((("facts", "mmlu"), ("hazards", "wmdp")))


def test_a_subtask_counts_for_the_longest_group_that_begins_its_name() -> None:
    questions = Questions((("a", "mmlu"), ("b", "mmlu_pro"), ("c", "mm")))
    assert criterion_of_task(questions, "mmlu_pro") == ("b", "")
    assert criterion_of_task(questions, "mmlu_pro_law") == ("b", "mmlu_pro_law/")
    assert criterion_of_task(questions, "mmlu_law") == ("a", "mmlu_law/")


def test_the_questions_with_the_most_characters_come_first() -> None:
    """By hand: 5 + 9, 7 + 2, 3 + 5, 1 + 2 and 3; the longest option counts."""
    assert by_length(QUESTIONS) == [
        ("mmlu_law", 2), ("wmdp", 0), ("mmlu_law", 0), ("mmlu_law", 1), ("wmdp", 1),
    ]  # fmt: skip


def test_a_sample_has_as_many_questions_of_each_criterion() -> None:
    assert sampled(QUESTIONS) is None
    limited = Questions(QUESTIONS.tasks, limit=2)
    sample = sampled(limited)
    assert sample is not None
    assert {name: len(indices) for name, indices in sample.items()} == {"mmlu_law": 2, "wmdp": 2}
    asked = [(name, index) for name, indices in sample.items() for index in indices]
    assert by_length(limited) == [place for place in by_length(QUESTIONS) if place in asked]


def test_a_set_of_ones_own_is_a_task_in_memory() -> None:
    question = Question("Which?", ("a", "b", "c", "d"), 2, "stones")
    own = QuestionSet("stones", (question,), "higher", letters=False)
    (config,) = configs(Questions((("stones", "own_stones"),), sets=(own,)))
    rows = config.pop("custom_dataset")()["test"].to_list()
    assert rows == [
        {
            "prompt": own.prompt(question),
            "answers": ["a", "b", "c", "d"],
            "right": 2,
            "subject": "stones",
        }
    ]
    assert config == {
        "task": "own_stones",
        "output_type": "multiple_choice",
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "doc_to_choice": "answers",
        "doc_to_target": "right",
        "target_delimiter": " ",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }


CONFIG = {"task": "mmlu_law", "dataset_path": "cais/mmlu", "dataset_name": "law"}
UNUSED = dict.fromkeys(("training_split", "validation_split", "fewshot_split"))


def test_a_task_of_lm_evals_is_asked_without_examples_from_the_hub_or_a_copy(
    tmp_path: Path,
) -> None:
    asked = {**CONFIG, **UNUSED, "test_split": "test", "num_fewshot": 0}
    from_hub = Questions(QUESTIONS.tasks, sources=(("cais/mmlu", "abc"),))
    config = _relocated(CONFIG, from_hub)
    assert config == {**asked, "dataset_kwargs": {"revision": "abc"}}
    from_copy = Questions(QUESTIONS.tasks, sources=(("cais/mmlu", tmp_path),))
    (tmp_path / "law").mkdir()
    assert _relocated(CONFIG, from_copy) is None
    (tmp_path / "law" / "test-0.parquet").touch()
    assert _relocated(CONFIG, from_copy) == {
        **asked,
        "dataset_path": str(tmp_path),
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"test": "law/test*"}},
    }


def test_a_task_of_somebodys_choice_is_asked_in_the_split_by_which_lm_eval_judges() -> None:
    chosen = Questions((("law", "mmlu_law"),), sets=(QuestionSet("law", (), "higher"),))
    for splits, split in (
        ({"test_split": "exam", "validation_split": "dev"}, "exam"),
        ({"validation_split": "dev"}, "dev"),
    ):
        config = _relocated({**CONFIG, **splits}, chosen)
        assert config is not None and config["test_split"] == split
        assert config["validation_split"] is None and "process_docs" not in config


def test_of_a_halved_data_set_every_second_question_is_asked() -> None:
    halved = Questions(QUESTIONS.tasks, split="validation", halved=("cais/mmlu",))
    config = _relocated(CONFIG, halved)
    assert config is not None and config["test_split"] == "test"

    class Docs(list[int]):
        def select(self, indices: list[int]) -> list[int]:
            return [self[index] for index in indices]

    assert config["process_docs"](Docs([10, 11, 12, 13, 14])) == [10, 12, 14]


def test_a_copy_without_any_data_of_a_task_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm_eval_tasks, "task_configs", lambda task: [CONFIG])
    questions = Questions((("facts", "mmlu"),), sources=(("cais/mmlu", tmp_path),))
    with pytest.raises(InvalidInput, match=r"^no test questions of mmlu in "):
        configs(questions)
