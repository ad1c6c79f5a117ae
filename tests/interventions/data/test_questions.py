"""What tells questions from others, and which rows of a data set are asked."""

from pathlib import Path

import pytest

from interventions.data.base import Questions
from interventions.data.question_set import Question, QuestionSet

TASKS = (("facts", "mmlu"), ("hazards", "wmdp"))


def test_the_questions_of_some_criteria_alone() -> None:
    sets = tuple(QuestionSet(name, (), "higher") for name in ("facts", "hazards"))
    questions = Questions(TASKS, sets=sets)
    assert questions.only(["hazards", "facts", "more"]) is questions
    assert questions.only(["facts", "hazards"]) is questions
    assert questions.only(["hazards"]) == Questions((("hazards", "wmdp"),), sets=sets[1:])


def test_an_identity_has_what_there_is_and_no_more() -> None:
    """Scores are stored by it: data without sets or a limit are called as before there were any."""
    plain = "(('facts', 'mmlu'), ('hazards', 'wmdp'))--1-test-{'cais/mmlu': 'abc'}"
    questions = Questions(TASKS, revision="1", sources=(("cais/mmlu", "abc"),))
    assert questions.identity == plain
    halved = Questions(TASKS, revision="1", sources=questions.sources, halved=("x",), limit=3)
    assert halved.identity == f"{plain}('x',)-3 of each"
    question_set = QuestionSet("stones", (Question("Which?", ("a", "b", "c", "d"), 2),), "higher")
    own = Questions(TASKS, revision="1", sources=questions.sources, sets=(question_set,))
    assert own.identity.startswith(f"{plain}-[('stones', (('Which?', ('a', 'b', 'c', 'd'), 2, '')")


def test_an_identity_changes_with_visible_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows").write_text("rows")

    def identities() -> list[str]:
        in_folder = Questions(TASKS, folder=tmp_path)
        return [in_folder.identity, Questions(TASKS, sources=(("x", tmp_path),)).identity]

    before = identities()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "note").write_text("a downloader's")
    (tmp_path / "data" / ".note").write_text("a downloader's")
    (tmp_path / "empty").mkdir()
    assert identities() == before
    (tmp_path / "data" / "more").write_text("rows")
    assert not set(identities()) & set(before)


@pytest.mark.parametrize(
    ("split", "source", "name", "rows"),
    [
        ("test", "halved", "test", [1, 3]),
        ("held_out", "halved", "test", [1, 3]),
        ("validation", "halved", "test", [0, 2, 4]),
        ("test", "whole", "test", [0, 1, 2, 3, 4]),
        ("held_out", "whole", "test", [0, 1, 2, 3, 4]),
        ("validation", "whole", "validation", [0, 1, 2, 3, 4]),
    ],
)
def test_every_second_row_of_a_halved_data_set_is_for_tuning(
    split: str, source: str, name: str, rows: list[int]
) -> None:
    asked, part = Questions(TASKS, split=split, halved=("halved",)).rows(source)
    assert asked == name and list(range(5))[part] == rows
