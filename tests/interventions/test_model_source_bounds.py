"""What is exactly at a bound may be loaded; of many files that are refused, the first is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from interventions.errors import InvalidInput
from interventions.model_source import check_size, check_source

LETTERS = "hgfedcbaijklmnopqrst"  # "a" is neither the first nor the last


def folder_of(parent: Path, config: dict[str, Any], **documents: dict[str, Any]) -> Path:
    """Make a folder with an empty file of weights and these small files."""
    folder = parent / "model"
    folder.mkdir()
    for name, content in {"config": config, **documents}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "model.safetensors").touch()
    return folder


def reason_of(folder: Path, **options: Any) -> str:
    with pytest.raises(InvalidInput) as error:
        check_source(folder, **options)
    start, _, reason = str(error.value).partition(f"{str(folder)!r}: ")
    assert start == "cannot read a causal language model from "
    return reason


@pytest.mark.parametrize(
    ("key", "most"),
    [
        ("num_hidden_layers", 1000),
        ("n_layer", 1000),
        ("n_layers", 1000),
        ("num_layers", 1000),
        ("decoder_layers", 1000),
        ("num_local_experts", 10_000),
        ("num_codebooks", 10_000),
        ("num_labels", 10_000),
    ],
)
def test_as_many_parts_as_a_model_may_have_are_let_through(
    tmp_path: Path, key: str, most: int
) -> None:
    folder = folder_of(tmp_path, {"part": {key: most}})
    check_source(folder)
    (folder / "config.json").write_text(json.dumps({"part": {key: most + 1}}))
    assert f"in config.json is {most + 1}, " in reason_of(folder)


def test_a_model_has_at_least_one_layer(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"n_layers": 1})
    check_source(folder)
    (folder / "config.json").write_text('{"n_layers": 0}')
    assert reason_of(folder) == "n_layers in config.json is 0, not 1 to 1000"


@pytest.mark.parametrize("key", ["extra_ids", "offset", "num_madeup_words"])
def test_as_many_tokens_as_may_be_are_made_up(tmp_path: Path, key: str) -> None:
    folder = folder_of(tmp_path, {}, tokenizer_config={key: 100_000})
    check_source(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({key: 100_001}))
    assert reason_of(folder) == f"{key} in tokenizer_config.json is 100001, over 100000"


@pytest.mark.parametrize("name", ["config", "generation_config"])
def test_a_config_may_have_100000_values(tmp_path: Path, name: str) -> None:
    values = {"eos_token_id": [1] * 99_999}  # the list counts, too
    folder = folder_of(tmp_path, **{"config": {}, name: values})
    check_source(folder)
    (folder / f"{name}.json").write_text(json.dumps({"eos_token_id": [1] * 100_000}))
    assert reason_of(folder) == f"{name}.json has 100001 values, over 100000"


def test_a_snapshot_of_a_moved_cache_has_links_to_its_blobs(tmp_path: Path) -> None:
    snapshots, blobs = tmp_path / "snapshots", tmp_path / "blobs"
    snapshots.mkdir()
    blobs.mkdir()
    snapshot = folder_of(snapshots, {})
    (snapshot / "model.safetensors").rename(blobs / "weights")
    (snapshot / "model.safetensors").symlink_to(blobs / "weights")
    check_source(snapshot)
    moved = snapshot.rename(tmp_path / "model")
    reason = "'model.safetensors' is a link out of the folder: copy what it leads to"
    assert reason_of(moved) == reason


def test_the_first_link_out_of_the_folder_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {})
    (tmp_path / "outside").touch()
    for letter in LETTERS:
        (folder / f"{letter}.txt").symlink_to(tmp_path / "outside")
    assert reason_of(folder).startswith("'a.txt' is a link out of the folder")


def test_the_first_pickle_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {})
    (folder / "model.safetensors").unlink()
    for letter in LETTERS:
        (folder / f"{letter}.pt").touch()
    assert reason_of(folder).startswith("its weights are there only as a pickle ('a.pt'), which")
    assert reason_of(folder, allow_pickle=True) == "there are no weights (model.safetensors)"


def index_of(parent: Path, index: dict[str, Any]) -> Path:
    folder = folder_of(parent, {}, **{"model.safetensors.index": index})
    (folder / "model.safetensors").unlink()
    return folder


def test_the_first_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    weight_map = {letter: f"{letter}.safetensors" for letter in LETTERS}
    folder = index_of(tmp_path, {"metadata": {}, "weight_map": weight_map})
    assert reason_of(folder) == "there is no file 'a.safetensors', which has weights"


def test_the_numbers_in_shards_are_told_only_if_none_is_a_pickle(tmp_path: Path) -> None:
    weight_map = {"a": "a.safetensors", "b": "b.bin"}
    index = {"metadata": {}, "weight_map": weight_map}
    folder = folder_of(tmp_path, {}, **{"pytorch_model.bin.index": index})
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    assert not check_size(folder, 10**9)


def test_one_implementation_on_the_hub_among_others_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"attn_implementation": {"text": "eager", "vision": "a/b"}})
    assert reason_of(folder).startswith("attn_implementation in config.json names code on the hub")


@pytest.mark.parametrize("weight_map", [None, {}, [], ["a"], "a"])
def test_an_index_without_a_weight_map_is_refused(tmp_path: Path, weight_map: object) -> None:
    folder = index_of(tmp_path, {"metadata": {}, "weight_map": weight_map})
    assert reason_of(folder) == "model.safetensors.index.json has no weight_map"


def test_weights_must_be_regular_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {})
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    assert reason_of(folder) == "model.safetensors is not a regular file"


def test_a_model_may_have_twice_the_numbers_that_are_stored(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {})
    save_file({"a": torch.ones(2, 3), "b": torch.ones(5)}, folder / "model.safetensors")
    assert check_size(folder, 22)
    with pytest.raises(InvalidInput, match=r"a model of 23 numbers, but 11 are stored$"):
        check_size(folder, 23)


def test_the_numbers_in_a_pickle_are_not_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {})
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert not check_size(folder, 10**9) and not check_size("owner/name", 10**9)
