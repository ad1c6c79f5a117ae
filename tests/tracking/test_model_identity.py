"""Which models are one: by the content of their folders, or their commits on the hub."""

import os
import shutil
from pathlib import Path

import pytest

from interventions.data.testbed import MODEL
from tracking import model_identity
from tracking.model_identity import weights_identity
from tracking.plan import plan_run
from tracking.settings import Settings


def test_a_models_weights_are_known_by_its_files(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json", "README.md"):
        (tmp_path / name).write_text("content")
    identity = weights_identity(str(tmp_path), None)
    (tmp_path / "README.md").write_text("changed")
    assert weights_identity(str(tmp_path), None) == identity
    (tmp_path / "config.json").write_text("changed")
    assert weights_identity(str(tmp_path), None) != identity
    hub = weights_identity("owner/name", type("Config", (), {"_commit_hash": "abc"}))
    assert hub == "owner/name@abc"


def test_code_that_is_run_is_part_of_a_models_identity(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    identity = weights_identity(str(tmp_path), None)
    assert weights_identity(str(tmp_path), None, with_code=True) == identity
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "modeling.py").write_text("one")
    assert weights_identity(str(tmp_path), None) == identity
    one = weights_identity(str(tmp_path), None, with_code=True)
    (tmp_path / "parts" / "modeling.py").write_text("two")
    two = weights_identity(str(tmp_path), None, with_code=True)
    assert len({identity, one, two}) == 3
    config = type("Config", (), {"_commit_hash": "abc"})
    assert weights_identity("a/b", config, with_code=True) == "a/b@abc with its code"


def test_only_a_file_is_read_for_a_models_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text("{}")
    os.mkfifo(tmp_path / "pipe.json")  # reading it would wait for ever
    read: list[Path] = []
    monkeypatch.setattr(model_identity, "file_digest", read.extend)
    weights_identity(str(tmp_path), None)
    assert read == [tmp_path / "config.json"]


def test_a_copy_of_a_models_folder_has_its_keys_and_a_changed_byte_has_others(
    tmp_path: Path,
) -> None:
    first = Path(shutil.copytree(MODEL, tmp_path / "one"))
    second = Path(shutil.copytree(MODEL, tmp_path / "elsewhere" / "two"))

    def keys(folder: Path) -> list[str]:
        settings = Settings(model=str(folder), criteria="sparsity")
        return plan_run("magnitude | rtn", settings).keys

    assert keys(first) == keys(second)
    for name in ("model.safetensors", "tokenizer_config.json"):
        content = bytearray((first / name).read_bytes())
        content[-3 if name.endswith("json") else -1] ^= 1
        (second / name).write_bytes(content)
        if name == "model.safetensors":
            assert not set(keys(first)) & set(keys(second))
        else:
            assert weights_identity(str(first), None) != weights_identity(str(second), None)
        shutil.copy(first / name, second)
    assert keys(first) == keys(second)


@pytest.mark.parametrize("name", ["tokenizer.model", "merges.txt", "vocab.tiktoken"])
def test_what_a_tokenizer_is_made_of_counts_where_it_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = weights_identity(str(tmp_path), None)
    (tmp_path / name).write_text("pieces")
    identity = weights_identity(str(tmp_path), None)
    (tmp_path / name).write_text("others")
    assert len({before, identity, weights_identity(str(tmp_path), None)}) == 3
    (tmp_path / "tokenizer.json").write_text("{}")  # which is then read alone
    whole = weights_identity(str(tmp_path), None)
    (tmp_path / name).write_text("changed")
    assert weights_identity(str(tmp_path), None) == whole
