"""The setting ``model`` is the testbed, a folder or an id of the hub; all else is refused."""

from pathlib import Path

import pytest

from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from tracking.model_name import model_source
from tracking.plan import plan_run
from tracking.settings import Settings


@pytest.mark.parametrize("name", ["gpt2", "owner/name", "distilgpt2", "EleutherAI/pythia-70m", "t"])
def test_an_id_of_the_hub_needs_no_owner(name: str) -> None:
    assert model_source(name) == name


def test_a_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "gpt2").mkdir()
    for name in ("gpt2", "./gpt2", "~/gpt2", str(tmp_path / "gpt2"), Path("gpt2")):
        assert model_source(name) == str(tmp_path / "gpt2")
    assert model_source("testbed") == str(MODEL)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\n",
        "a\0b",
        "gpt2\n",
        "owner/name/more",
        "owner//name",
        "..name",
        "a--b",
        "~nobody-of-that-name/model",
        "n" * 300,
        f"{'n' * 300}/{'m' * 5000}",
        "/no/such/folder",
        "https://huggingface.co/gpt2",
        "\udcff",
        5,
        None,
        ["gpt2"],
    ],
)
def test_what_can_be_neither_is_refused_in_one_line(name: object) -> None:
    with pytest.raises(InvalidInput, match="is not a folder, and no Hugging Face id") as error:
        model_source(name)
    assert str(error.value).isprintable() and len(str(error.value)) <= 400


@pytest.mark.parametrize("name", ["tesbed", "testbde", "Testbed", "testbed ", "test-bed"])
def test_a_typo_of_testbed_is_recognized(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"Did you mean 'testbed'\?$"):
        model_source(name)


def test_a_file_is_not_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidInput, match="is a file: give the folder that it is in"):
        model_source(str(tmp_path / "config.json"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no config.json"),
        ("{", "config.json is not valid JSON"),
        ("[]", "config.json is not a JSON object"),
        ("[" * 100_000, "config.json is nested too deeply"),
        ("{}", "there are no weights"),
    ],
)
def test_a_folder_that_has_no_model_is_refused(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InvalidInput, match=reason):
        plan_run("none", Settings(model=str(tmp_path)))


def test_a_model_that_is_not_there_is_refused_before_a_run() -> None:
    with pytest.raises(InvalidInput, match="'gpt2': it is not in the Hugging Face cache"):
        plan_run("none", Settings(model="gpt2"))
