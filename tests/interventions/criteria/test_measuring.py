"""Which criteria are measured, in which order, on which questions, and what is told of them."""

from typing import Any

import pytest

from interventions.criteria import base
from interventions.criteria.base import (
    Criterion,
    Scores,
    applicable,
    criterion,
    makes_criteria,
    measure,
    selected,
)
from interventions.data.base import Data, Edit, Questions
from interventions.errors import InvalidInput

EDIT = Edit("Ann", "The home of Ann is", "Rome", "Oslo", ())
QUESTIONS = Questions((("facts", "mmlu"), ("law", "mmlu_law")))
DATA = Data("own", questions=QUESTIONS)
NO_MODEL: Any = None


def made(name: str, reads: str = "", **facts: Any) -> Criterion:
    """Return a criterion whose items are the questions that it is measured on."""

    def function(lm: Any, data: Data) -> Scores:
        if name == "broken":
            raise ZeroDivisionError(name)
        return Scores(1.0, 0.0, dict.fromkeys(data.questions.names, 1.0))

    return Criterion(name, "higher", "", 1, frozenset(reads.split()), function, **facts)


@pytest.fixture(autouse=True)
def _criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    criteria = [
        made("weights"),
        made("broken"),
        made("success", "edits"),
        made("law", "questions", needs=("questions.law",)),
        made("rare", opt_in=True),
        made("answers", "questions"),
    ]
    base.CRITERIA.all()  # what it reads on first use would else be added to these
    monkeypatch.setattr(base.CRITERIA, "_entries", {each.name: each for each in criteria})
    monkeypatch.setattr(base, "_MAKERS", [])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("all", "answers broken law weights"),
        ("weights, answers", "answers weights"),
        ("rare", "rare"),
        ("rare,all", "answers broken law rare weights"),
    ],
)
def test_criteria_are_selected_in_the_order_of_their_names(names: str, expected: str) -> None:
    assert [each.name for each in selected(DATA, names)] == expected.split()
    assert applicable(DATA) == selected(DATA)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("weights,law,weights", "criteria names 'weights' twice, in 'weights,law,weights'"),
        ("all,all", "criteria names 'all' twice, in 'all,all'"),
        ("all,weigths", "no criterion is named 'weigths'. Did you mean 'weights'? Known: "),
        ("weights,success", "success"),
    ],
)
def test_names_that_are_unknown_repeated_or_not_measurable_are_refused(
    names: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        selected(DATA, names)
    assert message in str(error.value)


def test_a_criterion_that_fails_is_told_and_the_rest_is_measured() -> None:
    started: list[str] = []
    failures: list[tuple[str, str]] = []
    scores = measure(
        NO_MODEL,
        DATA,
        ["weights", "broken", "law"],
        on_failure=lambda name, error: failures.append((name, str(error))),
        on_start=started.append,
    )
    assert started == ["weights", "broken", "law"]
    assert failures == [("broken", "broken")]
    assert list(scores) == ["weights", "law"]
    with pytest.raises(ZeroDivisionError):
        measure(NO_MODEL, DATA)


@pytest.mark.parametrize(
    ("names", "questions"),
    [("weights", []), ("law", ["law"]), ("law weights", ["law"]), ("answers", ["facts", "law"])],
)
def test_the_questions_are_those_that_the_criteria_need(names: str, questions: list[str]) -> None:
    scores = measure(NO_MODEL, DATA, names.split())
    assert [sorted(each.items) for each in scores.values()] == [questions] * len(scores)


def test_criteria_of_the_datas_own_are_measured_too() -> None:
    @makes_criteria
    def of_edits(data: Data) -> list[Criterion]:
        return [made(edit.subject, "edits") for edit in data.edits]

    data = Data("own", (EDIT,))
    names = [each.name for each in applicable(data)]
    assert names == ["broken", "success", "weights", "Ann"]
    assert of_edits(data)[0].name == "Ann"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"reads": iter([1])}, "reads must be several of a string, but got [1]"),
        ({"judges": iter([1])}, "judges must be several of a string, but got [1]"),
        ({"needs": iter([1])}, "needs must be several of a string, but got [1]"),
        ({"version": 0}, "version must be "),
        (
            {"reads": ["locality", "reversals", "edits", "hops"], "items": "crossed"},
            "items cannot be crossed: another batch of edits has other edits, which reads names;",
        ),
    ],
)
def test_a_wrong_fact_of_a_criterion_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        criterion("lower", "bits", **facts)
    assert str(error.value).startswith(message)
