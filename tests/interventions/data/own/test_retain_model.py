"""A model of one's own that never learned what is to be forgotten."""

import shutil
from pathlib import Path

import pytest

from interventions.data.own.reading import own_data, read_data_set
from interventions.data.retain_model import retain_model_identity
from interventions.data.testbed import RETAIN_MODEL
from interventions.errors import InvalidInput
from tests.interventions.data.own.parts import question, question_set

QUESTIONS = {"poisons": question_set(question(), better="lower")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(RETAIN_MODEL, tmp_path / "never")
    return tmp_path


def test_its_folder_is_relative_to_the_file_that_names_it(folder: Path) -> None:
    (folder / "ours.yaml").write_text("retain_model: never\nforget: [a text]\n")
    data = read_data_set(folder / "ours.yaml").batch()
    assert data.retain_model == str(folder / "never") and data.has("retain_choices")
    named = own_data(questions=QUESTIONS, retain_model="never", folder=folder)
    assert named.batch().retain_model == data.retain_model
    assert not own_data(questions=QUESTIONS).batch().has("retain_choices")


@pytest.mark.parametrize("name", ["away", "ours.txt"])
def test_what_is_no_models_folder_is_refused(folder: Path, name: str) -> None:
    (folder / "ours.txt").write_text("no model")
    with pytest.raises(InvalidInput, match=r"^retain_model must be the folder of a model, with"):
        own_data(questions=QUESTIONS, retain_model=name, folder=folder)


def test_data_with_another_such_model_are_other_data(folder: Path) -> None:
    first = own_data(questions=QUESTIONS, retain_model="never", folder=folder)
    without = own_data(questions=QUESTIONS)
    identity = retain_model_identity(str(folder / "never"))
    config = folder / "never" / "config.json"
    config.write_text(config.read_text() + "\n")
    second = own_data(questions=QUESTIONS, retain_model="never", folder=folder)
    assert len({first.digest, second.digest, without.digest}) == 3
    assert retain_model_identity(str(folder / "never")) != identity
    moved = shutil.copytree(folder / "never", folder / "moved")
    assert retain_model_identity(str(moved)) == retain_model_identity(str(folder / "never"))
    assert first != second and first != without


def test_pickled_weights_are_a_part_of_it(folder: Path) -> None:
    weights = folder / "never" / "pytorch_model.bin"
    weights.write_bytes(b"zeros")
    before = retain_model_identity(str(folder / "never"))
    weights.write_bytes(b"some")
    assert retain_model_identity(str(folder / "never")) != before
    (folder / "never" / "notes.txt.d").mkdir()
    (folder / "never" / "folder.json").mkdir()  # no file
    assert retain_model_identity(str(folder / "never"))
