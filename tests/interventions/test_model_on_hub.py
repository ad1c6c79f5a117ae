"""A model of the Hugging Face hub, out of its cache: what is refused, and what is not."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from requests import Response

from composability.command import main
from interventions import model_files
from interventions.composition import Composition
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from interventions.model_files import own_code, read_model_files
from tests.interventions.model_folders import AUTO_MAP, folder_with_pickle, model_folder
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext
from tracking.settings import Settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(folder: Path, cache: Path, name: str) -> None:
    """Put a folder into the cache, as the only commit of a model."""
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, model / "snapshots" / COMMIT)


@pytest.mark.parametrize("name", ["gpt2", "owner/name"])
def test_a_model_that_is_not_in_the_cache_is_said_to_be_missing(cache: Path, name: str) -> None:
    for load in (skeleton, LM.load):
        with pytest.raises(InvalidInput) as error:
            load(name)
        assert str(error.value) == (
            f"cannot read a causal language model from {name!r}: it is not in the Hugging Face"
            " cache, and HF_HUB_OFFLINE is set"
        )


@pytest.mark.parametrize("name", ["small", "owner/name"])
def test_a_model_in_the_cache_is_loaded(cache: Path, tmp_path: Path, name: str, lm: LM) -> None:
    put(model_folder(tmp_path), cache, name)
    assert skeleton(name).config.model_type == "llama"
    loaded = LM.load(name)
    assert loaded.fingerprint() == lm.fingerprint()
    # what is stored must not say where it came from: the next one comes from a folder
    for source, model in (("hub", loaded), ("folder", lm)):
        model.save(tmp_path / source)
    files = [(tmp_path / source / "tokenizer_config.json") for source in ("hub", "folder")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_two_commits_of_a_model_are_two_models(cache: Path, tmp_path: Path) -> None:
    put(model_folder(tmp_path), cache, "owner/name")
    assert model_files.downloaded_commit("owner/name") == COMMIT
    assert RunContext(Settings(model="owner/name")).weights == f"owner/name@{COMMIT}"
    other = "f" * 40
    model = cache / "models--owner--name"
    (model / "snapshots" / COMMIT).rename(model / "snapshots" / other)
    (model / "refs" / "main").write_text(other)
    assert RunContext(Settings(model="owner/name")).weights == f"owner/name@{other}"
    assert model_files.downloaded_commit("owner/unknown") is None


def test_a_pickle_on_the_hub_is_refused_in_the_same_words(cache: Path, tmp_path: Path) -> None:
    put(folder_with_pickle(tmp_path), cache, "owner/name")
    with pytest.raises(InvalidInput, match=r"only as a pickle .* allow_pickle=true"):
        skeleton("owner/name")
    assert LM.load("owner/name", allow_pickle=True).fingerprint()


def test_of_code_that_is_built_in_the_hubs_is_not_run(cache: Path, tmp_path: Path) -> None:
    folder = model_folder(tmp_path, {"auto_map": AUTO_MAP})
    (folder / "modeling_own.py").write_text("raise SystemExit('it ran')")
    put(folder, cache, "owner/name")
    assert type(skeleton("owner/name")).__name__ == "LlamaForCausalLM"
    assert own_code("owner/name") == list(AUTO_MAP.values())


def test_code_of_the_hub_that_is_not_built_in_is_refused(cache: Path, tmp_path: Path) -> None:
    put(model_folder(tmp_path, {"model_type": "own", "auto_map": AUTO_MAP}), cache, "owner/name")
    with pytest.raises(InvalidInput, match="trust_remote_code=true"):
        skeleton("owner/name")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RepositoryNotFoundError, "has no such model, or it is private"),
        (GatedRepoError, "it is gated: ask for access at https://huggingface.co/owner/name, and"),
        (RevisionNotFoundError, "it has no revision 'v2': give a branch, tag or commit"),
        (RuntimeError, "broken"),
    ],
)
def test_what_the_hub_answers_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], reason: str
) -> None:
    def snapshot_download(*args: Any, **rest: Any) -> str:
        if error is RuntimeError:
            raise error("broken\nin two lines")
        raise error("long\ntext", response=Response())  # type: ignore[call-arg]

    monkeypatch.setattr(model_files, "snapshot_download", snapshot_download)
    with pytest.raises(InvalidInput, match=reason) as refusal:
        read_model_files("owner/name", "v2")
    assert "\n" not in str(refusal.value)


GATED = (
    "403 Client Error. (Request ID: Root=1-6745-0123456789abcdef;4cf1)\n\n"
    "Cannot access gated repo for url https://huggingface.co/meta/Large/resolve/main/config.json.\n"
    "Access to model meta/Large is restricted and you are not in the authorized list. Visit"
    " https://huggingface.co/meta/Large to ask for access."
)


def test_of_a_gated_model_the_hubs_whole_message_reaches_the_user(
    monkeypatch: pytest.MonkeyPatch, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def snapshot_download(*args: Any, **rest: Any) -> str:
        raise GatedRepoError(GATED, response=Response())  # type: ignore[arg-type]

    monkeypatch.setattr(model_files, "snapshot_download", snapshot_download)
    assert main(["run", "magnitude", "--model", "meta/Large", "--data", "paper"]) == 2
    shown = capsys.readouterr().err
    assert shown.splitlines()[0].startswith("error: cannot read a causal language model from 'meta")
    for part in GATED.splitlines()[2:]:
        assert part in " ".join(shown.split())
    assert "Request ID" not in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_a_revision_is_what_is_loaded_and_its_commit_is_the_identity(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lm: LM
) -> None:
    put(model_folder(tmp_path), cache, "owner/name")
    model, other = cache / "models--owner--name", "f" * 40
    shutil.copytree(model / "snapshots" / COMMIT, model / "snapshots" / other)
    (model / "refs" / "v2").write_text(other)
    # of the main branch nothing can be read
    (model / "snapshots" / COMMIT / "config.json").write_text("{")
    context = RunContext(Settings(model="owner/name@v2"))
    assert (context.source, context.revision) == ("owner/name", "v2")
    assert context.weights == f"owner/name@{other}"
    plan = context.plan(Composition.parse("magnitude"))
    assert (plan.source, plan.revision, plan.requested.model) == (
        *("owner/name", "v2"),
        "owner/name@v2",
    )
    assert (
        plan.keys
        == RunContext(Settings(model=f"owner/name@{other}"))
        .plan(Composition.parse("magnitude"))
        .keys
    )
    chain = Chain(plan, Checkpoints(tmp_path / "kept"))
    assert chain.model_after(0).fingerprint() == lm.fingerprint()
    with pytest.raises(InvalidInput, match=r"config\.json"):
        RunContext(Settings(model="owner/name")).plan(Composition.parse("magnitude"))


def test_the_main_branch_by_name_has_the_same_keys(cache: Path, tmp_path: Path) -> None:
    put(model_folder(tmp_path), cache, "owner/name")
    origins = {
        RunContext(Settings(model=name)).origin for name in ("owner/name", "owner/name@main")
    }
    assert len(origins) == 1


def test_online_the_hub_says_which_files_there_are(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(model_folder(tmp_path), cache, "owner/name")
    monkeypatch.setattr(model_files, "is_offline_mode", lambda: False)
    asked: list[str] = []

    class Hub:
        def list_repo_files(self, name: str, revision: str) -> list[str]:
            asked.append(f"{name}@{revision}")
            return ["config.json", "pytorch_model.bin"]

    monkeypatch.setattr(model_files, "HfApi", Hub)
    assert read_model_files("owner/name").names == {"config.json", "pytorch_model.bin"}
    assert asked == [f"owner/name@{COMMIT}"]
    monkeypatch.setattr(Hub, "list_repo_files", lambda *args, **rest: 1 / 0)
    assert "model.safetensors" in read_model_files("owner/name").names
