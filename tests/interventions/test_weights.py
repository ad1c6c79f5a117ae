"""Weights that do not fit their model are refused, before a run and when they are loaded."""

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from interventions.data.testbed import MODEL
from interventions.lm import LM, skeleton
from interventions.weights import _without_bars, check_stored_weights, load_weights
from tests.anatomies.zoo import ANATOMIES, build
from tests.interventions.model_folders import (
    folder_with_code,
    folder_with_pickle,
    folder_with_shards,
    model_folder,
)
from tests.interventions.test_model_source import refused, refused_twice

Weights = dict[str, Tensor]
FIRST = "model.layers.0.mlp.up_proj.weight"


def rewritten(folder: Path, change: Callable[[Weights], Weights]) -> Path:
    """Change the weights in a folder."""
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: tensor for key, tensor in weights.items() if key != name}


@pytest.mark.parametrize("name", ANATOMIES)
def test_all_weights_of_a_saved_model_fit(name: str, tmp_path: Path) -> None:
    """Experts are joined, towers of images left out, heads tied: all as transformers does."""
    folder = build(name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skeleton(folder)
        loaded = load_weights(folder, use_safetensors=True)
    expected = ANATOMIES[name].model().state_dict()
    state = loaded.state_dict()
    shared = [key for key in expected if key in state]
    assert shared and all(torch.equal(state[key], expected[key]) for key in shared)


def test_weights_of_other_names_are_refused(tmp_path: Path) -> None:
    folder = rewritten(
        model_folder(tmp_path), lambda weights: {f"other.{key}": w for key, w in weights.items()}
    )
    line = refused_twice(folder)
    assert "57 weights (such as 'lm_head.weight') of the model" in line
    assert line.endswith("are not stored, and would be random")


def test_one_weight_that_is_missing_is_refused(tmp_path: Path) -> None:
    folder = rewritten(model_folder(tmp_path), without(FIRST))
    assert f"1 weights (such as '{FIRST}') of the model" in refused_twice(folder)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = rewritten(model_folder(tmp_path), lambda w: w | {FIRST: torch.zeros(512, 64)})
    line = refused_twice(folder)
    assert f"1 of its weights have another shape than config.json describes: '{FIRST}'" in line
    assert line.endswith("is (512, 64), not (512, 128)")


def test_weights_that_the_model_has_not_are_said_in_one_line(tmp_path: Path) -> None:
    folder = rewritten(model_folder(tmp_path), lambda w: w | {"adapter.weight": torch.zeros(1)})
    for load in (skeleton, LM.load):
        with pytest.warns(UserWarning, match=r"1 weights \(such as 'adapter.weight'\) stored in"):
            load(folder)


def test_what_transformers_does_without_is_not_said(tmp_path: Path) -> None:
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(8)}
    folder = rewritten(model_folder(tmp_path), lambda weights: weights | buffer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skeleton(folder)
        assert LM.load(folder).fingerprint() == LM.load(MODEL).fingerprint()


def test_what_transformers_says_of_weights_is_not_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its table has many lines; ours is one."""
    folder = rewritten(model_folder(tmp_path), lambda w: {"other": w[FIRST].repeat(100, 1)})
    refused(lambda: skeleton(folder))
    assert not caplog.records


def test_a_missing_shard_of_the_index_is_refused(tmp_path: Path) -> None:
    folder = folder_with_shards(tmp_path)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    part = load_file(folder / "second.safetensors")
    name = min(part)
    del part[name], index["weight_map"][name]
    save_file(part, folder / "second.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"1 weights (such as '{name}')" in refused_twice(folder)


def test_a_pickle_without_a_weight_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    folder = folder_with_pickle(tmp_path)
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save(without(FIRST)(weights), folder / "pytorch_model.bin")
    assert "are not stored" in refused(lambda: LM.load(folder, allow_pickle=True))


def test_a_model_with_code_of_its_own_is_checked_too(tmp_path: Path) -> None:
    folder = rewritten(folder_with_code(tmp_path)[0], without(FIRST))
    assert "are not stored" in refused(lambda: skeleton(folder, trust_remote_code=True))


def test_checking_reads_names_and_shapes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[torch.nn.Module] = []
    real = AutoModelForCausalLM.from_pretrained

    def noted(*arguments: Any, **options: Any) -> Any:
        model, info = real(*arguments, **options)
        models.append(model)
        return model, info

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", noted)
    check_stored_weights(model_folder(tmp_path))
    assert {parameter.device.type for parameter in models[0].parameters()} == {"meta"}


def test_of_weights_of_another_shape_the_first_by_name_is_named_and_loggers_stay_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mismatched = [("up", (3,), (4,)), ("down", (1, 2), (2, 2))]
    logger = logging.getLogger("transformers.modeling_utils")
    before = list(logger.filters)
    monkeypatch.setattr(
        AutoModelForCausalLM,
        "from_pretrained",
        lambda source, **options: (None, {"mismatched_keys": mismatched}),
    )
    assert refused(lambda: load_weights(MODEL)).endswith(
        "2 of its weights have another shape than config.json describes:"
        " 'down' is (1, 2), not (2, 2)"
    )
    assert logger.filters == before


@pytest.mark.parametrize("shown", [True, False])
def test_bars_that_were_shown_are_shown_again(shown: bool) -> None:
    were_shown = transformers_logging.is_progress_bar_enabled()
    switches = {
        True: transformers_logging.enable_progress_bar,
        False: transformers_logging.disable_progress_bar,
    }
    switches[shown]()
    with _without_bars():
        assert not transformers_logging.is_progress_bar_enabled()
    assert transformers_logging.is_progress_bar_enabled() is shown
    switches[were_shown]()
