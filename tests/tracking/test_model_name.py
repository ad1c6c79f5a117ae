"""The setting ``model`` is the testbed, a folder or an id of the hub; all else is refused."""

import shutil
from pathlib import Path

import pytest
import torch

from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tracking import model_name
from tracking.model_name import model_revision, model_source
from tracking.plan import plan_run
from tracking.settings import Settings


@pytest.mark.parametrize("name", ["gpt2", "owner/name", "distilgpt2", "EleutherAI/pythia-70m", "t"])
def test_an_id_of_the_hub_needs_no_owner(name: str) -> None:
    assert model_source(name) == name


@pytest.mark.parametrize(
    ("name", "hub_id", "revision"),
    [
        ("owner/name@main", "owner/name", "main"),
        ("gpt2@refs/pr/1", "gpt2", "refs/pr/1"),
        (f"owner/name@{'0a' * 20}", "owner/name", "0a" * 20),
        ("owner/name@v1.0-rc_2", "owner/name", "v1.0-rc_2"),
        ("owner/name", "owner/name", None),
        ("testbed@3", str(MODEL), None),
    ],
)
def test_a_revision_stands_behind_an_at_sign(name: str, hub_id: str, revision: str | None) -> None:
    assert (model_source(name), model_revision(name)) == (hub_id, revision)


@pytest.mark.parametrize(
    "revision", ["", "a..b", "-x", "../x", "a b", "a@b", "é", "a\n", "/a", "a" * 201]
)
def test_what_can_be_no_revision_is_refused(revision: str) -> None:
    with pytest.raises(
        InvalidInput, match="has no revision that can be one: behind the @"
    ) as error:
        model_source(f"owner/name@{revision}")
    assert str(error.value).isprintable() and len(str(error.value)) <= 390


def test_a_folder_with_an_at_sign_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "name@main"
    folder.mkdir()
    assert (model_source(str(folder)), model_revision(str(folder))) == (str(folder), None)


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


@pytest.mark.parametrize("name", ["testbed-without-forgets", "testbed-withoutforget"])
def test_a_typo_of_the_model_without_the_forget_facts_is_recognized(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"Did you mean 'testbed-without-forget'\?$"):
        model_source(name)


def test_a_version_may_be_written_but_no_earlier_one(tmp_path: Path) -> None:
    assert model_source("testbed@3") == model_source("testbed") == str(MODEL)
    with pytest.raises(InvalidInput, match="model 'testbed@1' is not computed any more"):
        model_source("testbed@1")


def test_the_model_without_the_forget_facts_is_refused_until_its_folder_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model-without-forget"
    monkeypatch.setattr(model_name, "MODEL", tmp_path / "model")
    for name in ("testbed-without-forget", "testbed-without-forget@3"):
        with pytest.raises(InvalidInput) as error:
            model_source(name)
        assert str(error.value).startswith(f"model testbed-without-forget has no folder '{folder}'")
        assert "`python -m interventions.data.testbed.train` makes it; or use testbed" in str(
            error.value
        )
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for name in ("testbed-without-forget", "testbed-without-forget@3"):
        assert model_source(name) == str(folder)


def test_a_run_on_the_model_without_the_forget_facts_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys are those of its weights: another model has others."""
    shutil.copytree(MODEL, tmp_path / "model-without-forget")
    lm = LM.load(MODEL)
    with torch.no_grad():
        lm.model.get_input_embeddings().weight[0] += 1
    lm.save(tmp_path / "model-without-forget")
    monkeypatch.setattr(model_name, "MODEL", tmp_path / "model")
    plan = plan_run("rtn", Settings(model="testbed-without-forget"))
    assert plan.requested.model == plan.settings.model == "testbed-without-forget@3"
    assert plan.source == str(tmp_path / "model-without-forget")
    monkeypatch.undo()
    assert plan.keys[1:] != plan_run("rtn", Settings()).keys[1:]


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
    with pytest.raises(InvalidInput, match="'gpt2': its revision 'nope' is not in the Hugging"):
        plan_run("none", Settings(model="gpt2@nope"))
