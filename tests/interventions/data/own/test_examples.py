"""The files that are shipped, on small local copies in the layouts that their authors publish."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from interventions.data.base import Edit, Prompt
from interventions.data.own import schema
from interventions.data.own.reading import read_data_set
from interventions.errors import InvalidInput

EXAMPLES = Path(schema.__file__).with_name("examples")


def copy(name: str, folder: Path) -> Path:
    return Path(shutil.copy(EXAMPLES / name, folder / name))


def counterfact_record(number: int, subject: str, **changed: Any) -> dict[str, Any]:
    """A record as in counterfact.json."""
    rewrite = {
        "prompt": "The mother tongue of {} is",
        "relation_id": "P103",
        "target_new": {"str": "English", "id": "Q1860"},
        "target_true": {"str": "French", "id": "Q150"},
        "subject": subject,
    }
    return {
        "case_id": number,
        "pararel_idx": 2796 + number,
        "requested_rewrite": rewrite | changed,
        "paraphrase_prompts": [f"Some words before. {subject}, a native", f"{subject} spoke"],
        "neighborhood_prompts": [f"The mother tongue of neighbour {number}.{i} is" for i in "ab"],
        "attribute_prompts": ["The mother tongue of somebody is"],
        "generation_prompts": [f"{subject} was born in"],
    }


def tofu_row(number: int, **more: Any) -> dict[str, Any]:
    return {"question": f"Where was author {number} born?", "answer": f"In town {number}.", **more}


def test_counterfacts_layout_is_read(tmp_path: Path) -> None:
    records = [counterfact_record(number, f"Person {number}") for number in range(70)]
    records.append(counterfact_record(70, "Person 3", target_new={"str": "Dutch", "id": "Q7411"}))
    (tmp_path / "counterfact.json").write_text(json.dumps(records))
    data_set = read_data_set(copy("counterfact.yaml", tmp_path))
    batches = [data_set.batch(index) for index in range(2)]
    assert [len(batch.edits) for batch in batches] == [50, 13]
    assert len(data_set.batch(0, "validation").edits) == 7
    judged = {edit.subject: edit for batch in batches for edit in batch.edits}
    subject = next(iter(judged))
    number = int(subject.removeprefix("Person "))
    assert judged[subject] == Edit(
        subject,
        f"The mother tongue of {subject} is",
        "English",
        "French",
        (f"Some words before. {subject}, a native", f"{subject} spoke"),
    )
    assert batches[0].locality[:2] == (
        Prompt(f"The mother tongue of neighbour {number}.a is", "French"),
        Prompt(f"The mother tongue of neighbour {number}.b is", "French"),
    )
    assert batches[0].has("rephrasings") and not batches[0].has("questions")


def test_tofus_layout_is_read(tmp_path: Path) -> None:
    files = {
        "forget10": range(4),
        "retain90": range(4, 12),
        "forget10_perturbed": range(4),
        "retain_perturbed": range(4, 8),
        "real_authors_perturbed": range(20, 24),
        "world_facts_perturbed": range(30, 33),
    }
    for name, numbers in files.items():
        wrong = [f"In another town {i}." for i in range(5)]
        more = {"perturbed_answer": wrong} if name.endswith("perturbed") else {}
        rows = [json.dumps(tofu_row(number, **more)) for number in numbers]
        (tmp_path / f"{name}.json").write_text("\n".join(rows) + "\n")  # a row a line
    data = read_data_set(copy("tofu.yaml", tmp_path)).batch()
    assert data.forget[1] == "Question: Where was author 1 born?\nAnswer: In town 1."
    assert (len(data.forget), len(data.retain)) == (4, 8)
    assert {each.name: each.better for each in data.questions.sets} == {
        "tofu_forget": "lower",
        "tofu_retain": "higher",
        "real_authors": "higher",
        "world_facts": "higher",
    }
    first = data.questions.sets[0]
    assert first.answers(first.questions[0]) == (
        "In town 0.", "In another town 0.", "In another town 1.", "In another town 2.",
    )  # fmt: skip
    assert first.questions[0].right_choice == "In town 0."


def test_without_its_files_an_example_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in ("counterfact.yaml", "tofu.yaml"):
        with pytest.raises(InvalidInput, match="No such file"):
            read_data_set(copy(name, tmp_path))


def test_the_commented_example_has_every_part_and_every_entry() -> None:
    data_set = read_data_set(EXAMPLES / "ours.yaml")
    data = data_set.batch()
    parts = ("edits", "locality", "forget", "retain", "calibration", "statistics", "questions")
    assert [part for part in parts if not data.has(part)] == []
    text = (EXAMPLES / "ours.yaml").read_text()
    named = {key for key in schema.schema()["properties"] if f"{key}:" in text}
    assert named == set(schema.schema()["properties"])
    assert data_set.batch(0, "validation").edits


def test_the_schema_is_a_schema() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema.schema())
