"""lm-eval's own tasks as sets of questions, by name, with local copies of their data."""

from pathlib import Path
from typing import Any

import pytest

from interventions.data import hub, lm_eval_tasks
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from tests.interventions.data.local_copies import question, write_parquet

COMMIT = "a" * 40


def of_task(task: str, **said: Any) -> dict[str, Any]:
    return {"facts": {"task": task, "better": "higher", **said}}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"task": "arc_eesy"}, "lm-eval has no task named 'arc_eesy'. Did you mean 'arc_easy'"),
        ({"task": "gsm8k"}, "is not answered by a choice whose accuracy"),
        ({"task": "arc_easy"}, "say the revision .a commit. of 'allenai/ai2_arc'"),
        ({"task": "arc_easy", "revision": "main"}, "'questions.facts.revision' must be a commit"),
        ({"task": "tasks/x.yaml"}, "no file, which could run code"),
        ({"task": "arc_easy", "fields": {"a": "b"}}, "fields says how rows are read"),
    ],
)
def test_what_is_no_task_of_lm_evals_is_refused(said: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        own_data(questions={"facts": {"better": "higher", **said}})


def test_a_task_is_asked_of_its_own_split_and_revision() -> None:
    data = own_data(questions=of_task("hellaswag", revision=COMMIT)).batch()
    (config,) = lm_eval_tasks.configs(data.questions)
    assert (config["task"], config["test_split"]) == ("hellaswag", "validation")
    assert config["dataset_kwargs"] == {"revision": COMMIT} and config["num_fewshot"] == 0
    other = own_data(questions=of_task("hellaswag", revision="b" * 40)).batch()
    assert other.identity("questions") != data.identity("questions")


def test_a_local_copy_of_a_tasks_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [question(f"Which colour has {number}?", number % 4) for number in range(5)]
    write_parquet(tmp_path / "cais/mmlu/anatomy/test-00000-of-00001.parquet", rows)
    monkeypatch.setenv(hub.VARIABLE, str(tmp_path))
    data = own_data(questions=of_task("mmlu_anatomy")).batch()
    docs = lm_eval_tasks.tasks(data.questions)["tasks"]["mmlu_anatomy"].eval_docs
    assert [doc["question"] for doc in docs] == [row["question"] for row in rows]
    assert lm_eval_tasks.criterion_of_task(data.questions, "mmlu_anatomy") == ("facts", "")
