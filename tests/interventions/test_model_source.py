"""What a folder may not make transformers do, and that it is refused before weights are read."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import dynamic_module_utils

from interventions import lm
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from interventions.model_source import only_loading
from tests.interventions.model_folders import (
    folder_with_code,
    folder_with_own_tokenizer,
    folder_with_pickle,
    folder_with_shards,
    model_folder,
)


def refused(load: Callable[[], object]) -> str:
    with pytest.raises(InvalidInput) as error:
        load()
    line = str(error.value)
    assert "\n" not in line and len(line) <= 400
    return line


def refused_twice(folder: Path) -> str:
    """Return what both say: the check before a run, and loading itself."""
    line = refused(lambda: skeleton(folder))
    assert refused(lambda: LM.load(folder)) == line
    return line


@pytest.mark.parametrize("source", [None, 5, b"testbed", ["testbed"], "x" * 5000, "x" * 10**6])
def test_what_names_no_model_is_refused(source: Any) -> None:
    assert refused(lambda: LM.load(source)) == refused(lambda: skeleton(source))


def test_code_in_a_folder_is_not_run(tmp_path: Path) -> None:
    folder, trace = folder_with_code(tmp_path)
    line = refused_twice(folder)
    assert "'modeling_own.OwnConfig'" in line and "trust_remote_code=true" in line
    assert not trace.exists()


def test_code_that_transformers_has_built_in_can_be_taken_out(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, {"auto_map": {"AutoModelForCausalLM": "own.Model"}})
    assert refused_twice(folder).endswith("without auto_map, transformers' own llama is used")
    shutil.copy(MODEL / "config.json", folder)
    assert skeleton(folder).config.model_type == "llama"


def test_a_tokenizers_code_is_not_run(tmp_path: Path) -> None:
    folder, trace = folder_with_own_tokenizer(tmp_path)
    assert "'tokenization_own.OwnTokenizer'" in refused_twice(folder)
    assert not trace.exists()


def test_code_of_a_part_of_the_model_is_not_run(tmp_path: Path) -> None:
    part = {"model_type": "llama", "auto_map": {"AutoModel": "own.Part"}}
    assert "'own.Part'" in refused_twice(model_folder(tmp_path, {"vision_config": part}))


def test_a_folders_generate_is_not_run(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / "custom_generate").mkdir()
    code = f"open({str(tmp_path / 'trace')!r}, 'w').close()\ndef generate(**rest): return 5\n"
    (folder / "custom_generate" / "generate.py").write_text(code)
    assert "generate" not in vars(LM.load(folder).model)
    assert not (tmp_path / "trace").exists()


def test_nothing_is_asked_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail(question))
    with only_loading(), pytest.raises(ValueError, match="trust_remote_code"):
        dynamic_module_utils.resolve_trust_remote_code(None, "owner/name", False, True)
    assert dynamic_module_utils.TIME_OUT_REMOTE_CODE > 0  # others are asked as before


@pytest.mark.parametrize("before", [None, "0"])
def test_no_pickle_is_converted_on_the_hub(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    variable = "DISABLE_SAFETENSORS_CONVERSION"
    monkeypatch.delenv(variable, raising=False)
    if before is not None:
        monkeypatch.setenv(variable, before)
    with only_loading():
        assert os.environ[variable] == "1"
    assert os.environ.get(variable) == before


def test_an_adapter_is_not_loaded_onto_the_model_that_it_names(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "/somewhere/else"}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    assert "adapter of another model (adapter_config.json)" in refused_twice(folder)
    (folder / "config.json").unlink()
    assert "adapter of another model (adapter_config.json)" in refused_twice(folder)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"attn_implementation": "owner/kernel"}, "attn_implementation in config.json names code"),
        ({"_attn_implementation": {"": "owner/kernel@main"}}, "names code on the hub"),
        ({"text": {"experts_implementation": "a/b"}}, "experts_implementation in config.json"),
        ({"quantization_config": {"quant_method": "gptq"}}, "packed (quantization_config: 'gptq')"),
        ({"quantization_config": {"quant_method": "odd"}}, "packed (quantization_config: 'odd')"),
        ({"compression_config": {"format": "x"}}, "packed (compression_config: None)"),
        ({"return_dict": False}, "return_dict in config.json is False, but outputs are read by"),
        ({"text_config": {"return_dict": 0}}, "return_dict in config.json is 0"),
        ({"configuration_files": ["config.4.0.0.json"]}, "points to others"),
        ({"transformers_weights": "../model.safetensors"}, "names '../model.safetensors'"),
        ({"transformers_weights": "adapter_model.bin"}, "names 'adapter_model.bin'"),
        ({"num_hidden_layers": 1001}, "num_hidden_layers in config.json is 1001, not 1 to 1000"),
        ({"num_hidden_layers": -1}, "num_hidden_layers in config.json is -1, not 1 to 1000"),
        ({"quantization_config": {}}, "packed (quantization_config: None)"),
        ({"part": {"decoder_layers": 10**7}}, "'decoder_layers' in config.json is 10000000"),
        ({"num_local_experts": 10**7}, "'num_local_experts' in config.json is 10000000, over"),
        ({"num_labels": 10**9}, "'num_labels' in config.json is 1000000000, over 10000"),
        ({"eos_token_id": list(range(100_001))}, "values, over 100000"),
    ],
)
def test_what_a_config_may_not_do_is_refused(
    tmp_path: Path, config: dict[str, Any], reason: str
) -> None:
    assert reason in refused_twice(model_folder(tmp_path, config))


@pytest.mark.parametrize(
    "config",
    [
        {"vocab_size": 10**12},
        {"vocab_size": 10**30},
        {"num_hidden_layers": "six"},
        {"hidden_act": "nothing"},
        {"model_type": "unheard of"},
        {"model_type": ["llama"]},
        {"model_type": "vit"},
        {"dtype": "load"},
    ],
)
def test_a_config_of_no_model_that_could_be_loaded_is_refused(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    folder = model_folder(tmp_path, config)
    assert refused(lambda: skeleton(folder)).startswith("cannot read a causal language model")


def test_harmless_fields_of_a_config_are_no_reason(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "attn_implementation": "eager",
        "quantization_config": None,
        "auto_map": {},
    }
    folder = model_folder(tmp_path, config, {"tokenizer_file": "/nowhere/tokenizer.json"})
    assert skeleton(folder).config._attn_implementation == "eager"
    assert LM.load(folder).fingerprint() == LM.load(MODEL).fingerprint()


def test_files_that_a_tokenizer_names_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, tokenizer={"tokenizer_file": str(MODEL / "tokenizer.json")})
    (folder / "tokenizer.json").unlink()
    assert "cannot read a causal language model" in refused(lambda: skeleton(folder))


@pytest.mark.parametrize("name", ["../outside.safetensors", "/outside.safetensors", 5, "a/b", ""])
def test_shards_outside_of_the_folder_are_refused(tmp_path: Path, name: object) -> None:
    folder = folder_with_shards(tmp_path)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shutil.copy(MODEL / "model.safetensors", tmp_path / "outside.safetensors")
    index["weight_map"]["model.norm.weight"] = name
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model.safetensors.index.json names" in refused_twice(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_link_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    assert f"'{name}' is a link out of the folder: copy what" in refused_twice(folder)


def test_links_within_a_folder_and_into_the_hubs_cache_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot of the hub's cache consists of links to the blobs beside it, wherever it is."""
    moved, snapshot = tmp_path / "moved", tmp_path / "moved" / "snapshots" / "commit"
    shutil.copytree(MODEL, moved / "blobs")
    snapshot.mkdir(parents=True)
    for file in (moved / "blobs").iterdir():
        (snapshot / file.name).symlink_to(file)
    skeleton(snapshot)
    older = tmp_path / "local"  # the hub's library put links into other folders once
    snapshot.rename(older)
    assert "is a link out of the folder" in refused(lambda: skeleton(older))
    monkeypatch.setattr("interventions.model_source.HF_HUB_CACHE", str(moved))
    skeleton(older)
    inside = model_folder(tmp_path)
    (inside / "model.safetensors").rename(inside / "weights")
    (inside / "model.safetensors").symlink_to("weights")
    (tmp_path / "alias").symlink_to(inside)
    skeleton(tmp_path / "alias")


def test_what_a_tokenizer_and_a_generation_config_may_not_do_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, tokenizer={"extra_ids": 10**8})
    assert "extra_ids in tokenizer_config.json is 100000000, over 100000" in refused_twice(folder)
    shutil.copy(MODEL / "tokenizer_config.json", folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1] * 100_001}))
    assert "generation_config.json has 100002 values, over 100000" in refused_twice(folder)


def test_an_index_that_transformers_cannot_read_is_refused(tmp_path: Path) -> None:
    folder = folder_with_shards(tmp_path)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    (folder / "model.safetensors.index.json").write_text(json.dumps(index | {"metadata": None}))
    assert "model.safetensors.index.json has no metadata" in refused_twice(folder)


def test_a_shard_that_would_be_unpickled_is_refused(tmp_path: Path) -> None:
    folder = folder_with_shards(tmp_path)
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "weights.bin"}}
    torch.save({}, folder / "weights.bin")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names 'weights.bin', which is no .safetensors file" in refused_twice(folder)


def test_shards_are_loaded(tmp_path: Path) -> None:
    folder = folder_with_shards(tmp_path)
    assert LM.load(folder).fingerprint() == LM.load(MODEL).fingerprint()
    skeleton(folder)
    (folder / "second.safetensors").unlink()
    assert "no file 'second.safetensors', which has weights" in refused_twice(folder)


def test_a_pickle_is_loaded_only_if_it_is_trusted(tmp_path: Path) -> None:
    folder = folder_with_pickle(tmp_path)
    line = refused_twice(folder)
    assert "only as a pickle ('pytorch_model.bin')" in line and "allow_pickle=true" in line
    assert skeleton(folder, allow_pickle=True).config.model_type == "llama"
    assert LM.load(folder, allow_pickle=True).fingerprint() == LM.load(MODEL).fingerprint()


def test_what_a_pickle_would_run_is_not_run_even_then(tmp_path: Path) -> None:
    folder, trace = folder_with_pickle(tmp_path), tmp_path / "trace"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(trace), "w"))

    torch.save({"weight": Hostile()}, folder / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        LM.load(folder, allow_pickle=True)
    assert not trace.exists()


def test_safetensors_are_preferred_to_a_pickle_beside_them(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"no pickle")
    for allow_pickle in (False, True):
        assert LM.load(folder, allow_pickle=allow_pickle).fingerprint()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there are no weights (model.safetensors)"),
        (b"", "model.safetensors is damaged"),
        (b"no weights at all", "model.safetensors is damaged"),
    ],
)
def test_weights_that_are_none_are_refused(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    folder = model_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    if content is not None:
        (folder / "model.safetensors").write_bytes(content)
    assert reason in refused(lambda: skeleton(folder))


def test_a_model_of_more_numbers_than_are_stored_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file({"model.norm.weight": weights["model.norm.weight"]}, folder / "model.safetensors")
    line = refused(lambda: skeleton(folder))
    assert line.endswith("describes a model of 1,803,904 numbers, but 128 are stored")


def test_a_tokenizer_and_a_generation_config_are_read_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder(tmp_path)
    (folder / "generation_config.json").write_text('{"max_new_tokens": -3}')
    with monkeypatch.context() as patch:
        # a large model's weights, with which it would be read too, are not
        patch.setattr(lm, "check_stored_weights", lambda *_: None)
        assert "max_new_tokens" in refused(lambda: skeleton(folder))
    shutil.copy(MODEL / "generation_config.json", folder)
    (folder / "tokenizer.json").write_text("{}")
    refused(lambda: skeleton(folder))
