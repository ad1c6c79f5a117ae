"""What would be taken for something else, or for nothing, is refused; a whole number is one."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from interventions.data.own.reading import own_data, read_data_set
from interventions.errors import InvalidInput
from tests.interventions.data.own.parts import edit, question, question_set


def questions_of(*rows: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"stones": question_set(*rows, **facts)}


def test_a_whole_number_may_be_written_as_a_fraction() -> None:
    table = pd.DataFrame([question(0), question(1)])
    as_fractions = table.assign(answer=table["answer"].astype(float))
    data = [
        own_data(questions={"stones": {"rows": rows, "better": "higher"}})
        for rows in (table, as_fractions)
    ]
    assert data[0].batch().questions == data[1].batch().questions


def test_settings_of_a_file_may_be_written_so_too(tmp_path: Path) -> None:
    rows = "\n".join(f"  - {{subject: S{n}, prompt: S{n} is, target: t}}" for n in range(5))
    text = (
        "validation: 0.4\nseed: {0}\nbatch: 2{1}\nwindow: 64{1}\n"
        "perplexity: {{rows: [a b], first: 1{1}}}\n"
    )
    digests = set()
    for number, end in enumerate(("", ".0")):
        path = tmp_path / f"{number}" / "ours.yaml"
        path.parent.mkdir()
        path.write_text(text.format(f"1{end}", end) + f"edits:\n{rows}\n")
        digests.add(str(read_data_set(path)))
    assert len(digests) == 1


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(InvalidInput, match=r"field 'validation' must be (a number|less than 1)"):
        own_data(edits=[edit(0), edit(1)], validation=number)
    with pytest.raises(InvalidInput, match=r"stones\.chance' must be (a number|at most 1)"):
        own_data(questions=questions_of(chance=number))


def test_two_right_answers_to_one_question_are_refused() -> None:
    rows = [question(0), question(0, question="which colour has stone 0", answer=2)]
    with pytest.raises(InvalidInput, match="row 2: field 'answer' is 'blue', but row 1 asks"):
        own_data(questions=questions_of(*rows))
    rows[1]["choices"] = ["blue", "green", "red", "grey"]  # the same answer, in another place
    assert own_data(questions=questions_of(*rows))


def test_a_list_that_is_no_json_is_refused() -> None:
    said = r"edits row 1: field 'rephrasings' must be a list in JSON"
    with pytest.raises(InvalidInput, match=said):
        own_data(edits=[edit(rephrasings="['one', 'two']")])
    (made,) = own_data(edits=[edit(rephrasings="[sic] one")]).batch().edits
    assert made.rephrasings == ("[sic] one",)


def test_a_field_that_a_row_or_a_table_has_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "one"}\n{"text": "two", "text": "three"}\n')
    with pytest.raises(InvalidInput, match="row 2: the field 'text' is there twice"):
        own_data(retain=str(tmp_path / "texts.jsonl"))
    table = pd.DataFrame([["one", "two"]], columns=["text", "text"])
    with pytest.raises(InvalidInput, match="columns of a table must have different names"):
        own_data(retain=table)


@pytest.mark.parametrize(
    "said",
    [
        {"texts": "lines"}, {"placeholder": "{}"}, {"repeats": "first"}, {"config": "en"},
        {"split": "train"},
    ],
)  # fmt: skip
def test_what_would_change_nothing_is_refused(said: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=f"retain: {next(iter(said))} says something of"):
        own_data(retain={"rows": ["one"], **said})


@pytest.mark.parametrize(
    ("part", "rows", "near"),
    [
        ("perplexity", ["One text"], ["one  TEXT."]),
        ("edits", [edit(0)], [edit(0, subject="bridge 0", prompt="The bridge 0 is")]),
    ],
)
def test_what_judges_is_not_for_tuning_in_another_case(part: str, rows: Any, near: Any) -> None:
    parts: dict[str, Any] = {part: {"rows": rows, "validation": near}}
    with pytest.raises(InvalidInput, match="row 1 of validation"):
        own_data(**parts)
