"""An adapter's folder may be hostile: nothing of it runs, is followed out, or fills the memory."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from interventions.adapters.config import CONFIG, read_scale
from interventions.adapters.files import WEIGHTS, content_of, read_adapter
from interventions.errors import InvalidInput
from interventions.files import write_whole

GOOD = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "a/b"}
PREFIX = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small adapter that can be read."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    shapes = {"A": (2, 8), "B": (4, 2)}
    factors = {f"{PREFIX}.lora_{factor}.weight": torch.ones(shapes[factor]) for factor in "AB"}
    save_file(factors, folder / WEIGHTS)
    write_whole(folder / CONFIG, json.dumps(GOOD))
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(InvalidInput) as error:
        read_adapter(folder)
    return str(error.value)


def test_an_adapter_is_read_as_it_was_written(folder: Path) -> None:
    adapter = read_adapter(folder)
    (factors,) = adapter.factors.values()
    assert list(adapter.factors) == ["model.layers.0.self_attn.q_proj"]
    assert (factors.a.shape, factors.b.shape, factors.scaling) == ((2, 8), (4, 2), 2.0)
    assert adapter.content == content_of(folder) and adapter.scale.base == "a/b"


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_link_a_pipe_a_folder_or_nothing_in_a_files_place_is_refused(
    name: str, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    assert f"there is no {name}" in refused(folder)
    (folder / name).symlink_to(outside)
    assert f"{name} is a link" in refused(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert f"{name} cannot be read" in refused(folder)  # and is not waited for
    (folder / name).unlink()
    (folder / name).mkdir()
    assert name in refused(folder)


def test_a_pickle_is_not_read(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    assert "only as a pickle (adapter_model.bin), which can hide code" in refused(folder)
    assert "there is no such folder" in refused(folder / "missing")
    assert "it cannot be read: File name too long" in refused(folder / ("x" * 300))


def test_a_config_that_is_too_large_too_deep_or_no_object_is_refused(folder: Path) -> None:
    for content, words in (
        ("[" * 10**5, "nested too deeply"),
        ("[]", "is not a JSON object"),
        ('{"r": ', "is not valid JSON"),
        (json.dumps({**GOOD, "target_modules": ["x"] * 200_000}), "over 100000 values"),
        (" " * (2**24 + 1), "cannot be read"),
    ):
        (folder / CONFIG).write_text(content)
        assert words in refused(folder)
    (folder / CONFIG).write_bytes(b"\xff\xfe")
    assert "is not valid JSON" in refused(folder)


def test_damaged_weights_are_refused(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    for content in (whole[:-1], b"", b"\xff" * 64, whole[:8] + b"[" + whole[9:]):
        (folder / WEIGHTS).write_bytes(content)
        assert "is damaged" in refused(folder)
    save_file({}, folder / WEIGHTS)
    assert "has no factors" in refused(folder)


@pytest.mark.parametrize(
    "name",
    [
        f"{PREFIX}.lora_magnitude_vector.weight",
        f"{PREFIX}.weight",
        "base_model.model.lora_A.weight",
        "model.layers.0.lora_A.weight",
        "__class__",
        f"{PREFIX}.lora_A.other.weight",
    ],
)
def test_a_tensor_that_is_no_factor_is_refused(name: str, folder: Path) -> None:
    tensors = {**load_file(folder / WEIGHTS), name: torch.ones(2, 8)}
    save_file(tensors, folder / WEIGHTS)
    assert "which is no factor of plain LoRA" in refused(folder)


@pytest.mark.parametrize("factor", ["A", "B"])
def test_half_an_adapter_is_refused(factor: str, folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors[f"{PREFIX}.lora_{factor}.weight"]
    save_file(tensors, folder / WEIGHTS)
    assert f"has no lora_{factor} of 'model.layers.0.self_attn.q_proj'" in refused(folder)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "its type is 'PROMPT_TUNING', but only LORA"),
        ({"peft_type": None}, "its type is None"),
        ({"r": 0}, "'r' in adapter_config.json is 0, not an integer from 1 to 65536"),
        ({"r": True}, "'r' in adapter_config.json is True"),
        ({"r": 10**30}, "not an integer from 1"),
        ({"lora_alpha": "8"}, "'lora_alpha' in adapter_config.json is '8', not a number"),
        ({"lora_alpha": float("nan")}, "not a number within"),
        ({"lora_alpha": 10**400}, "not a number within"),
        ({"use_rslora": 1}, "use_rslora in adapter_config.json is 1, not true or false"),
        ({"rank_pattern": {"(a+)+$": 2}}, "has the regular expression '(a+)+$', which is not run"),
        ({"alpha_pattern": {"a|b": 2}}, "is not run"),
        ({"alpha_pattern": [1]}, "not an object"),
        ({"rank_pattern": {"q_proj": -1}}, "'rank_pattern.q_proj' in adapter_config.json is -1"),
        ({"init_lora_weights": "pissa_niter_4"}, "which changes the base model"),
        ({"init_lora_weights": {"a": 1}}, "which changes the base model"),
        ({"task_type": "SEQ_CLS"}, "its task is 'SEQ_CLS'"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "'layer_replication'"),
        ({"trainable_token_indices": [1]}, "'trainable_token_indices'"),
        ({"alora_invocation_tokens": [1]}, "'alora_invocation_tokens'"),
        ({"megatron_config": {"a": 1}}, "'megatron_config'"),
        ({"of_a_later_peft": "x" * 10**5}, "'of_a_later_peft'"),
        ({"base_model_name_or_path": ["a"]}, "not a name"),
        ({"base_model_name_or_path": "a\nb"}, "not a name"),
        ({"bias": ["all"]}, "trained biases"),
    ],
)
def test_a_config_that_is_not_plain_lora_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_scale({**GOOD, **values})
    assert words in str(error.value) and len(str(error.value)) <= 300


def test_options_that_are_off_are_no_reason_to_refuse() -> None:
    off: dict[str, Any] = {
        "use_dora": False,
        "layer_replication": None,
        "loftq_config": {},
        "of_a_later_peft": 0,
    }
    told = {"peft_version": "0.99", "megatron_core": "megatron.core", "qalora_group_size": 16}
    scale = read_scale({**GOOD, **off, **told, "runtime_config": {"ephemeral_gpu_offload": False}})
    assert (scale.rank, scale.alpha, scale.by_root) == (2, 4.0, False)


def test_a_pattern_is_the_end_of_a_modules_name_or_all_of_it() -> None:
    patterns = {"^model.q": 1, "q_proj": 2, "0.mlp": 3, "proj": 4}
    scale = read_scale({**GOOD, "rank_pattern": patterns})
    ranks = {"model.q": 1, "a.model.q": 2, "b.q_proj": 2, "q_proj": 2, "x.0.mlp": 3, "o_proj": 2}
    ranks["a.model.q"] = 2  # neither: the configuration's own
    assert {name: scale.rank_of(name) for name in ranks} == ranks
