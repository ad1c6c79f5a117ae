"""Sets of questions of somebody's own as criteria, and samples of what is measured."""

import json
from dataclasses import replace
from typing import Any

import pytest

from interventions.criteria import base
from interventions.criteria.base import CRITERIA, applicable, criterion_of, measure, selected
from interventions.criteria.question_answering import accuracies
from interventions.data import testbed as world
from interventions.data.base import Data, Edit
from interventions.data.lm_eval_tasks import sampled
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.interventions.data.own.parts import edit, question, question_set


def rows_of_the_testbed(count: int) -> list[dict[str, Any]]:
    """The testbed's first questions, as somebody would write them."""
    lines = (world.TASKS / "mmlu.test.jsonl").read_text().splitlines()[:count]
    rows = [json.loads(line) for line in lines]
    for number, row in enumerate(rows):
        row["question"] = row["question"].removeprefix("Question: ").removesuffix("\nAnswer:")
        row["subject"] = "ab"[number % 4 == 0]
    return rows


def test_a_set_is_answered_as_the_same_questions_of_a_task(lm: LM) -> None:
    """Reference: lm-eval's task from a file, question by question."""
    sets = {"trivia": {"rows": rows_of_the_testbed(40), "better": "higher", "answers": "texts"}}
    own = measure(lm, own_data(questions=sets).batch(), ["trivia"])["trivia"]
    of_task = accuracies(lm, world.testbed().questions.only({"mmlu"}))["mmlu"]
    assert own.items == {str(number): of_task[str(number)] for number in range(40)}
    assert own.value > 0.8


def test_letters_are_scored_after_choices_as_in_mmlu() -> None:
    data = own_data(questions={"stones": question_set(question(0))}).batch()
    (stones,) = data.questions.sets
    assert stones.prompt(stones.questions[0]) == (
        "Which colour has stone 0?\nA. red\nB. green\nC. blue\nD. grey\nAnswer:"
    )
    assert stones.answers(stones.questions[0]) == ("A", "B", "C", "D")


def test_sets_whose_names_begin_alike_are_apart(lm: LM) -> None:
    rows = [question(number) for number in range(3)]
    sets = {
        "a": question_set(*rows),
        "a_b": question_set(*rows[:2]),
        "own_a": question_set(rows[0]),
    }
    measured = measure(lm, own_data(questions=sets).batch(), list(sets))
    assert {name: len(scores.items) for name, scores in measured.items()} == {
        "a": 3, "a_b": 2, "own_a": 1,
    }  # fmt: skip


def test_a_set_has_the_facts_that_it_says() -> None:
    said = question_set(question(), better="lower", chance=0.5, title="Stones")
    criterion = criterion_of(own_data(questions={"stones": said}).batch(), "stones")
    facts = (criterion.better, criterion.chance, criterion.title, criterion.category)
    assert facts == ("lower", 0.5, "Stones", "unlearning")
    assert criterion.unit == "accuracy" and criterion.items == "crossed"
    with pytest.raises(InvalidInput, match="no criterion is named 'stones'"):
        CRITERIA.get("stones")


def test_a_set_of_a_known_name_is_what_that_criterion_is_measured_on() -> None:
    names = ["mmlu", "wmdp_bio", "wmdp_cyber"]
    sets = {name: question_set(better=CRITERIA.get(name).better) for name in names}
    data = own_data(questions=sets).batch()
    assert {*names, "wmdp"} <= {each.name for each in applicable(data)}
    assert criterion_of(data, "mmlu") is CRITERIA.get("mmlu")
    del sets["wmdp_cyber"]
    assert "wmdp" not in {each.name for each in applicable(own_data(questions=sets).batch())}


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("mmlu", {"better": "lower"}, "but the criterion mmlu has higher and 0.25"),
        ("mmlu", {"chance": 0.2}, "but the criterion mmlu has higher and 0.25"),
        ("sparsity", {}, "no set of questions can be called sparsity"),
        ("wmdp", {"better": "lower"}, "no set of questions can be called wmdp"),
    ],
)
def test_a_set_may_not_be_called_as_something_else(
    name: str, said: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        applicable(own_data(questions={name: question_set(question(), **said)}).batch())


def test_only_the_questions_of_the_criteria_are_asked(
    lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(lm: LM, data: Data) -> base.Scores:
        asked.append(data.questions.names)
        return base.Scores(1.0, 0.0, {})

    data = replace(world.testbed(), questions=world.testbed().questions)
    for name in ("mmlu", "wmdp_bio"):
        criterion = replace(CRITERIA.get(name), function=answer)
        monkeypatch.setitem(base.CRITERIA._entries, name, criterion)
        measure(lm, data, [name])
    assert asked == [("mmlu",), ("wmdp_bio",)]


def test_generalization_is_that_of_the_edits_that_have_rephrasings(lm: LM) -> None:
    none, some = edit(0, rephrasings=[]), edit(1)
    assert "edit_generalization" not in {
        each.name for each in applicable(own_data(edits=[none]).batch())
    }
    data = own_data(edits=[none, some]).batch()
    assert list(measure(lm, data, ["edit_generalization"])["edit_generalization"].items) == ["1"]


def test_a_sample_of_questions_is_stratified_by_subject_and_keeps_their_numbers(lm: LM) -> None:
    sets = {"trivia": {"rows": rows_of_the_testbed(40), "better": "higher", "answers": "texts"}}
    data = own_data(questions=sets).batch()
    whole = measure(lm, data, ["trivia"])["trivia"].items
    some = measure(lm, data.limited(8), ["trivia"])["trivia"].items
    assert len(some) == 8 and some.items() <= whole.items()
    assert sum(int(item) % 4 == 0 for item in some) == 2
    assert sampled(data.questions) is None


def test_every_criterion_of_the_testbed_measures_no_more_items_than_the_limit(lm: LM) -> None:
    data = world.testbed().limited(6)
    data = replace(data, base_answers=("answer",) * 6)
    counts = {name: len(scores.items) for name, scores in measure(lm, data).items()}
    assert counts.pop("wmdp") == 12  # of each of its two parts
    of_edits = {name: counts.pop(name) for name in list(counts) if "portability" in name}
    of_weights = [counts.pop(name) for name in ("sparsity", "average_bits")]
    assert set(counts.values()) == {6} and len(set(of_weights)) == 1
    edits = {item for item in of_edits}
    assert edits <= set(CRITERIA.all())


@pytest.mark.parametrize("limit", [1, 10**6])
def test_scores_of_a_sample_are_not_those_of_all_even_if_it_has_all(limit: int) -> None:
    data = Data("one", edits=(Edit("a", "a is", "b", "", ()),))
    success, sparsity = CRITERIA.get("edit_success"), CRITERIA.get("sparsity")
    assert success.identity(data.limited(limit)) != success.identity(data)
    assert sparsity.identity(data.limited(limit)) == sparsity.identity(data)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("mmul", "no criterion is named 'mmul'. Did you mean 'mmlu'"),
        ("mmlu,", "no criterion is named ''"),
        ("mmlu,mmlu", "names 'mmlu' twice"),
        ("edit_success", "is measured on edits, of which the data 'ours' have none"),
    ],
)
def test_criteria_that_cannot_be_measured_are_refused(names: str, message: str) -> None:
    data = own_data(questions={"mmlu": question_set()}).batch()
    with pytest.raises(InvalidInput, match=message):
        selected(data, names)
    assert [each.name for each in selected(data, " sparsity , mmlu")] == ["mmlu", "sparsity"]
