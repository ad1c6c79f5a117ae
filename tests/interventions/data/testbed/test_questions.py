"""The four-choice questions: the shipped files are those that the code writes."""

import itertools
from pathlib import Path

import pytest

from interventions.data.testbed import TASKS, questions
from interventions.data.testbed.world import BENIGN, HAZARDS, world

CRITERIA = ["mmlu", *HAZARDS.values()]
SPLITS = ["validation", "test"]


def test_the_shipped_questions_are_written_again_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "TASKS", tmp_path)
    questions.write()
    names = {f"{criterion}.{split}.jsonl" for criterion in CRITERIA for split in SPLITS}
    assert {file.name for file in tmp_path.iterdir()} == names
    assert names == {file.name for file in TASKS.glob("*.jsonl")}
    for name in names:
        assert (tmp_path / name).read_bytes() == (TASKS / name).read_bytes(), name


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_fact_of_a_criterion_is_asked_once_a_quarter_of_them_for_tuning(
    criterion: str,
) -> None:
    hazards = [domain for domain, measured_by in HAZARDS.items() if measured_by == criterion]
    facts = [fact for domain in hazards or BENIGN for fact in world().facts[domain]]
    rows = questions.questions(criterion)
    assert len(rows["validation"]) / len(facts) == 0.25
    asked = [row["question"] for row in itertools.chain(*rows.values())]
    assert sorted(map(str, asked)) == sorted(fact.prompts(trained=True)[1][0] for fact in facts)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_answer_is_one_of_four_different_objects_of_its_relation(criterion: str) -> None:
    facts = {fact.prompts(trained=True)[1][0]: fact for fact in world().all_facts()}
    rows = [row for split in questions.questions(criterion).values() for row in split]
    for row in rows:
        fact, choices, answer = facts[str(row["question"])], row["choices"], row["answer"]
        assert isinstance(choices, list) and isinstance(answer, int)
        assert len(set(choices)) == 4 and set(choices) <= set(fact.relation.objects)
        assert choices[answer] == fact.object
    counts = [sum(row["answer"] == place for row in rows) for place in range(4)]
    assert max(counts) < 0.35 * len(rows)  # no place of the answer is favoured
