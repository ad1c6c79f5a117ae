"""How a rehearsal adds up what criteria take, and what it leaves open; nothing is rehearsed."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.data.base import Data
from interventions.rehearsal import steps
from interventions.rehearsal.meta import Takes
from interventions.rehearsal.steps import Stage, Unknown

EDITING, ASKING, READING = (
    SimpleNamespace(name=part, reads={part}, needs=())
    for part in ("edits", "questions", "test_text")
)


class Script(Stage):
    """A stage of 1000 bytes that says, in order, what it is given to say."""

    def __init__(self, *takes: Takes) -> None:
        self.weight_bytes, self.kept_bytes = 1000, 50
        self.takes, self.actions = iter(takes), list[Any]()

    def _rehearsed(self, action: Any) -> Takes | Unknown:
        self.actions.append(action)
        return next(self.takes)


def whole_data(**sizes: Any) -> Data:
    return Data("own", test_text=("10", "25"), **sizes)


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """How many times as many questions and windows there are as are rehearsed; may be set."""
    times = SimpleNamespace(questions=5.0, windows=24)

    def measuring(criteria: Sequence[Any], data: Data) -> Any:
        return [criterion.name for criterion in criteria], data.limit

    monkeypatch.setattr(steps, "_measuring", measuring)
    monkeypatch.setattr(
        steps, "_times_sampled", lambda criteria, data: times.questions if criteria else 1.0
    )
    monkeypatch.setattr(steps, "_asked_questions", lambda criteria, data: "questions")
    monkeypatch.setattr(steps, "_filling_batches", lambda questions: f"filling with {questions}")
    monkeypatch.setattr(Script, "_windows", lambda stage, data: times.windows)
    return times


TAKEN = (Takes(2000, 0, 7.0), Takes(3000, 0, 11.0), Takes(2500, 0, 13.0), Takes(9000, 0, 100.0))


def total(stage: Script, *criteria: Any) -> Takes | Unknown:
    return stage.criteria(criteria, whole_data())


@pytest.mark.usefixtures("sampled")
def test_a_samples_seconds_count_as_often_as_there_are_samples_and_full_batches_are_memory() -> (
    None
):
    stage = Script(*TAKEN)
    # 24 windows are 3 times the 8 that are rehearsed
    assert total(stage, READING, EDITING, ASKING) == Takes(9000, 1050, 7.0 + 5 * 11.0 + 3 * 13.0)
    assert stage.actions == [
        (["edits"], 0), (["questions"], 40), (["test_text"], 8), "filling with questions"
    ]  # fmt: skip


def test_what_is_no_more_than_a_sample_is_rehearsed_as_a_whole(sampled: SimpleNamespace) -> None:
    sampled.questions, sampled.windows = 1.0, 6
    stage = Script(*TAKEN)
    assert total(stage, READING, EDITING, ASKING) == Takes(3000, 1050, 31.0)
    assert stage.actions == [(["edits"], 0), (["questions"], 0), (["test_text"], 0)]


def test_a_little_more_than_a_sample_is_sampled(sampled: SimpleNamespace) -> None:
    sampled.questions, sampled.windows = 1.5, 12
    stage = Script(*TAKEN[1:])
    assert total(stage, READING, ASKING) == Takes(9000, 1050, 1.5 * 11.0 + 1.5 * 13.0)
    assert stage.actions[:2] == [(["questions"], 40), (["test_text"], 8)]
    assert total(Script()) == Takes(1000, 1050, 0)


@pytest.mark.parametrize(
    ("sizes", "windows"),
    [({}, 2 + 4), ({"stride": 4}, 3 + 7), ({"limit": 5}, 5), ({"limit": 7}, 6)],
)
def test_windows_begin_a_stride_after_another_up_to_the_limit(
    sizes: dict[str, int], windows: int
) -> None:
    """Texts of 10 and 25 tokens, in windows of 8."""

    def tokenizer(texts: list[str], verbose: bool) -> dict[str, Any]:
        assert not verbose
        return {"input_ids": [[0] * int(text) for text in texts]}

    stage: Any = SimpleNamespace(_tokenizer=tokenizer)
    assert Stage._windows(stage, whole_data(window=8, **sizes)) == windows
    assert Stage._windows(stage, Data("own", window=8)) == 0


@pytest.mark.parametrize(
    ("limit", "times"), [(0, 150 / 70), (100, 130 / 70), (41, 71 / 70), (40, 1.0), (3, 1.0)]
)
def test_a_sample_is_of_forty_questions_of_a_criterion(
    limit: int, times: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100 and 20 questions of one criterion, and 30 of another."""
    counts = {"first/a": 100, "first/b": 20, "second": 30}
    named = {name: SimpleNamespace(eval_docs=[0] * count) for name, count in counts.items()}
    monkeypatch.setattr(steps, "_asked_questions", lambda criteria, data: None)
    monkeypatch.setattr(steps, "tasks", lambda questions: {"tasks": named})
    monkeypatch.setattr(
        steps, "criterion_of_task", lambda questions, name: (name.partition("/")[0], None)
    )
    criteria: Any = [ASKING]
    data = Data("own", limit=limit)
    assert steps._times_sampled(criteria, data) == pytest.approx(times)
    assert steps._times_sampled([], data) == 1.0


def test_nothing_is_known_of_a_step_with_a_strangers_that_asked_for_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (step,) = Composition.parse("merge(ft, ga)")

    def is_ours(inner: Intervention) -> bool:
        return inner.name != "ga"

    monkeypatch.setattr(steps, "_is_ours", is_ours)
    stage = Script(Takes(2000, 1300, 1.0, made_up=1), Takes(2000, 1300, 1.0))
    assert isinstance(stage.step(step, Data("own")), Unknown) and stage.kept_bytes == 50
    assert stage.step(step, Data("own")) == Takes(2000, 1300, 1.0) and stage.kept_bytes == 300
    monkeypatch.undo()
    numbers = Takes(2000, 1200, 1.0, made_up=1)
    stage.takes = iter([numbers])
    assert stage.step(step, Data("own")) == numbers and stage.kept_bytes == 300
