"""Batches, splits and the identity of data of somebody's own."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from interventions.data.own.reading import own_data, read_data_set
from interventions.errors import InvalidInput
from tests.interventions.data.own.parts import edit, question, question_set

YAML = "edits: edits.jsonl\nretain: [a text]\nbatch: 2\n"


def write(folder: Path, yaml: str = YAML) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([edit(number) for number in range(5)]).to_json(
        folder / "edits.jsonl", orient="records", lines=True
    )
    (folder / "ours.yaml").write_text(yaml)
    return folder / "ours.yaml"


def test_a_moved_file_is_the_same_data_and_a_changed_one_is_not(tmp_path: Path) -> None:
    before, moved = read_data_set(write(tmp_path / "a")), read_data_set(write(tmp_path / "b"))
    assert str(before) == str(moved) and before == moved and hash(before) == hash(moved)
    assert before.batch().identity("edits") == moved.batch().identity("edits")
    assert str(before).startswith("ours@") and before.path != moved.path
    path = tmp_path / "a" / "edits.jsonl"
    path.write_text(path.read_text().replace("River 3", "River 4"))
    (tmp_path / "a" / "ours.yaml").write_text(YAML + "# looked at again\n")
    changed = read_data_set(tmp_path / "a" / "ours.yaml")
    assert changed.digest != before.digest
    assert changed.batch(1).identity("edits") != before.batch(1).identity("edits")
    assert changed.batch(0).identity("edits") == before.batch(0).identity("edits")


def test_a_data_file_that_changes_is_read_again_though_its_description_does_not(
    tmp_path: Path,
) -> None:
    path = write(tmp_path)
    before = read_data_set(path)
    (tmp_path / "edits.jsonl").write_text("")
    with pytest.raises(InvalidInput, match="has no rows"):
        read_data_set(path)
    write(tmp_path)
    assert read_data_set(path) == before


PARTS: dict[str, Any] = {
    "edits": [edit(number) for number in range(3)],
    "locality": [{"prompt": "Harun is", "answer": "a town"}],
    "forget": ["one"],
    "retain": ["two"],
    "calibration": ["three"],
    "statistics": ["four"],
    "perplexity": ["five"],
    "questions": {"stones": question_set(question())},
    "batch": 2,
    "window": 64,
}
CHANGED: dict[str, Any] = {
    "edits": [edit(0), edit(1), edit(2, target="Other")],
    "locality": [{"prompt": "Harun is", "answer": "a river"}],
    "forget": ["1"],
    "retain": ["2"],
    "calibration": ["3"],
    "statistics": ["4"],
    "perplexity": ["5"],
    "questions": {"stones": question_set(question(answer=1))},
    "batch": 3,
    "window": 32,
}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_in_the_identity(part: str) -> None:
    digests = {own_data(**PARTS).digest, own_data(**{**PARTS, part: CHANGED[part]}).digest}
    without = {key: value for key, value in PARTS.items() if key != part}
    assert len(digests | {own_data(**without).digest}) == 3


@pytest.mark.parametrize("fact", ["better", "chance", "title", "answers"])
def test_the_facts_of_a_set_are_in_the_identity_of_its_questions(fact: str) -> None:
    facts = {"better": "lower", "chance": 0.2, "title": "Stones", "answers": "texts"}
    changed = question_set(question(), **{fact: facts[fact]})
    before, after = (
        own_data(questions={"stones": each}).batch().identity("questions")
        for each in (question_set(question()), changed)
    )
    assert before != after


def test_a_text_that_moves_to_another_part_makes_other_data() -> None:
    assert own_data(forget=["a"], retain=["b"]) != own_data(forget=["b"], retain=["a"])
    assert own_data(retain=["a"]).digest != own_data(calibration=["a"]).digest
    assert len(own_data(retain=["a"]).digest) == 32
    assert own_data(retain=["ab"]) != own_data(retain=["a", "b"])
    for_tuning = own_data(perplexity={"rows": ["a"], "validation": ["b"]})
    assert for_tuning != own_data(perplexity=["a", "b"])


def test_edits_come_in_batches_and_the_last_has_the_rest() -> None:
    data = own_data(edits=[edit(number) for number in range(5)], batch=2)
    batches = [[each.target for each in data.batch(index).edits] for index in range(3)]
    assert batches == [["River 0", "River 1"], ["River 2", "River 3"], ["River 4"]]
    assert [prompt.answer for prompt in data.batch(2).locality] == ["Singer 4"]
    with pytest.raises(InvalidInput, match="edit_batch must be 0 to 2 on ours, which has 5 edits"):
        data.batch(3)
    assert own_data(retain=["x"]).batch(0).edits == ()


def test_a_share_is_drawn_for_tuning_and_the_rest_judges() -> None:
    rows = [edit(number // 2, prompt=f"Bridge {number // 2} is {number}") for number in range(8)]
    stones = question_set(*[question(number) for number in range(10)])
    parts: dict[str, Any] = {"edits": rows, "questions": {"stones": stones}, "validation": 0.3}
    data = own_data(**parts)
    judged, tuned = data.batch(0), data.batch(0, "validation")
    assert {each.subject for each in judged.edits}.isdisjoint(e.subject for e in tuned.edits)
    assert (len(judged.edits), len(tuned.edits)) == (6, 2)
    counts = [len(each.questions.sets[0].questions) for each in (judged, tuned)]
    assert counts == [7, 3]
    assert own_data(**parts) == data and own_data(**parts, seed=1) != data
    with pytest.raises(InvalidInput, match="split must be test or validation"):
        data.batch(0, "held_out")


def test_rows_of_their_own_are_for_tuning() -> None:
    stones = question_set(question(0), question(1), validation=[question(2)])
    data = own_data(questions={"stones": stones}, retain=["text"])
    sets = [data.batch(0, split).questions.sets[0] for split in ("test", "validation")]
    assert [len(each.questions) for each in sets] == [2, 1]
    both = question_set(question(0), question(1), validation=[question(1)])
    with pytest.raises(InvalidInput, match=r"questions\.stones: .*, row 1 of validation"):
        own_data(questions={"stones": both})
    with pytest.raises(InvalidInput, match="have nothing for split=validation"):
        own_data(retain=["text"]).batch(0, "validation")


def test_topics_take_turns() -> None:
    data = own_data(forget={"topics": {"a": ["a1", "a2"], "b": ["b1", "b2"]}}).batch()
    assert data.forget == ("a1", "b1", "a2", "b2") and data.forget_topics == ("a", "b")


def test_a_table_is_read_as_rows_are() -> None:
    rows = [edit(number) for number in range(3)]
    frame = pd.DataFrame([*rows[:2], edit(2, original=None, rephrasings=None)])
    expected = [*rows[:2], edit(2, original="ABSENT", rephrasings="ABSENT")]
    assert own_data(edits=frame) == own_data(edits=expected)
    choices = pd.DataFrame([question(0)])
    stones = {"rows": choices, "better": "higher"}
    assert own_data(questions={"stones": stones}) == own_data(
        questions={"stones": question_set(question(0))}
    )
    assert own_data(retain=pd.Series(["a"])) == own_data(retain=pd.DataFrame({"text": ["a"]}))
    with pytest.raises(InvalidInput, match="the columns of a table must have names"):
        own_data(edits=pd.DataFrame([["a", "b"]]))


@pytest.mark.parametrize("value", [3, object(), {"a", "b"}])
def test_what_is_no_part_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="retain"):
        own_data(retain=value)
    with pytest.raises(InvalidInput, match=r"questions"):
        own_data(questions={"stones": value})


def test_data_are_sent_to_workers_whole_and_never_copied() -> None:
    data = own_data(**PARTS)
    assert copy.deepcopy(data) is data
    assert pickle.loads(pickle.dumps(data)) == data
    assert repr(data) == f"DataSet('{data}')"


def test_overlaps_that_are_allowed_are_named_in_order() -> None:
    overlaps = ["retain-questions", "forget-questions", "edits-locality", "calibration-questions"]
    assert own_data(retain=["a"], allow_leak=overlaps).leakage == (
        "none found; allowed, and not looked for:"
        " calibration-questions, edits-locality, forget-questions, retain-questions"
    )
    assert own_data(retain=["a"]).leakage == "none found"
