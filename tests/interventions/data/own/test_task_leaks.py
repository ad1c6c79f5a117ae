"""The questions of lm-eval's own tasks are looked for among what is learned from."""

from pathlib import Path
from typing import Any

import pytest

from interventions.composition import Composition
from interventions.data import hub
from interventions.data.own.data_set import DataSet
from interventions.data.own.leaks import LEARNED
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from tests.interventions.data.local_copies import question, write_parquet
from tracking.plan import plan_run
from tracking.settings import Settings

LEAKS = [
    "Which colour has stone 3?",
    "Before.\n which COLOUR has stone 3?\nAfter.",
    "Which colour has stone 3? D",
    "Which colour has stone 3? grey",
    "Which colour has stone 3?\nA. red\nB. green\nC. blue\nD. grey\nAnswer:",
    "Which colour has stone 3? A. red B. green C. blue D. grey Answer:",
    "Really 3?",
]
PASSAGE = "Here is where it ends.\nThe old harbour lies behind it.\nBirds sing."
ENDINGS = {
    "activity_label": "Baking a cake",
    "ctx_a": "A woman stands in a small kitchen.",
    "ctx_b": "she",
    "endings": ["bakes a cake.", "runs.", "sings.", "sleeps."],
    "label": "0",
}


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [question(f"Which colour has stone {number}?", number % 4) for number in range(5)]
    rows.append(question("Really 3?", 0))
    write_parquet(tmp_path / "cais/mmlu/anatomy/test-00000-of-00001.parquet", rows)
    write_parquet(tmp_path / "Rowan/hellaswag/data/validation-0.parquet", [ENDINGS])
    monkeypatch.setenv(hub.VARIABLE, str(tmp_path))
    return tmp_path


def learned(part: str, *texts: str, task: str = "mmlu_anatomy", **said: Any) -> DataSet:
    parts: dict[str, Any] = {part: ["something else", *texts]}
    return own_data(questions={"facts": {"task": task, "better": "higher"}}, **parts, **said)


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("text", LEAKS)
def test_a_question_that_is_learned_from_is_refused_and_allowed_by_name(text: str) -> None:
    texts = learned("retain", text).batch()
    with pytest.raises(
        InvalidInput, match=r"leak retain-questions: text 2 .* question \d of mmlu_an"
    ) as error:
        texts.identity("retain")
    assert "allow_leak: [retain-questions]" in str(error.value) and len(str(error.value)) <= 390
    allowed = learned("retain", text, allow_leak=["retain-questions"]).batch()
    assert list(allowed.retain) == ["something else", text]


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("part", LEARNED)
def test_every_part_that_is_learned_from_is_compared(part: str) -> None:
    with pytest.raises(InvalidInput, match=f"leak {part}-questions"):
        learned(part, LEAKS[0]).batch().identity(part)


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize(
    "text",
    ["Which colour has stone 33?", "red", "any", "Answer:", "A. red", "Colour of stone 3?"],
)
def test_other_words_and_short_lines_are_no_leak(text: str) -> None:
    assert list(learned("forget", text).batch().forget) == ["something else", text]


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize(
    "text",
    [
        "A woman stands in a small kitchen.",
        "Baking a cake: A woman stands in a small kitchen. She bakes a cake.",
    ],
)
def test_texts_of_the_row_and_the_prompt_with_its_answer_count(text: str) -> None:
    with pytest.raises(InvalidInput, match="leak retain-questions: text 2 of retain"):
        learned("retain", text, task="hellaswag").batch().identity("retain")


@pytest.mark.usefixtures("copies")
def test_only_a_step_that_learns_from_it_is_refused_before_the_run() -> None:
    leaking = learned("calibration", LEAKS[0])
    settings = Settings(model="testbed", data=leaking)
    with pytest.raises(InvalidInput, match="leak calibration-questions"):
        plan_run(Composition.parse("wanda"), settings)
    assert plan_run(Composition.parse("magnitude"), settings)


def test_questions_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(questions: Any) -> Any:
        raise ConnectionError("no route")

    monkeypatch.setattr("interventions.data.own.task_questions.tasks", away)
    task = {"task": "hellaswag", "better": "higher", "revision": "a" * 40}
    data = own_data(questions={"endings": task}, retain=["a text"]).batch()
    with pytest.raises(InvalidInput, match=r"questions of hellaswag.*compared with"):
        data.identity("retain")


class FakeTask:
    """A task whose right answer is a letter, with its words in a list of the row."""

    eval_docs = ({"passage": PASSAGE, "choices": {"text": ["a red boat", "two birds"]}},)

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        return "What is seen from there?"

    def doc_to_choice(self, doc: dict[str, Any]) -> list[str]:
        return ["A", "B"]

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        return "B"


@pytest.mark.parametrize(
    ("text", "is_leak"),
    [
        ("What is seen from there? B", True),
        ("What is seen from there? two birds", True),
        ("What is seen from there? a red boat", False),
        (PASSAGE.splitlines()[1], True),
        (PASSAGE.splitlines()[2], False),
    ],
)
def test_the_right_answers_words_and_the_lines_of_a_passage_count(
    text: str, is_leak: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {"tasks": {"hellaswag": FakeTask()}}
    monkeypatch.setattr("interventions.data.own.task_questions.tasks", lambda asked: objects)
    task = {"task": "hellaswag", "better": "higher", "revision": "a" * 40}
    retained = own_data(questions={"endings": task}, retain=["something else", text]).batch()
    if not is_leak:
        assert list(retained.retain) == ["something else", text]
        return
    with pytest.raises(InvalidInput, match="leak retain-questions: text 2 of retain"):
        retained.identity("retain")
