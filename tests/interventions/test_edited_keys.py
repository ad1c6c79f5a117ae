"""The keys of edits that were written travel with a model: in its folder, and through steps."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from interventions.base import make
from interventions.composition import apply
from interventions.data.base import Data
from interventions.edited_keys import load_edited_keys, save_edited_keys
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.interventions.editing.reference import KEY
from tracking.function_step import changed_model
from tracking.model_identity import weights_identity

FILE = "edited_keys.safetensors"


def test_they_are_read_back_as_they_were_and_a_model_without_has_no_file(
    lm: LM, tmp_path: Path
) -> None:
    lm.save(tmp_path / "without")
    assert not (tmp_path / "without" / FILE).exists()
    lm.edited_keys = {10: torch.rand(3, 2), 2: torch.rand(3, 1)}
    lm.save(tmp_path / "with")
    loaded = LM.load(tmp_path / "with").edited_keys
    assert loaded.keys() == {2, 10}
    assert all(torch.equal(keys, lm.edited_keys[layer]) for layer, keys in loaded.items())


def test_models_of_equal_weights_and_other_edited_keys_are_not_one_base_model(
    lm: LM, tmp_path: Path
) -> None:
    identities = set()
    for name, keys in (("a", {}), ("b", {0: torch.ones(3, 1)}), ("c", {0: torch.zeros(3, 1)})):
        dataclasses.replace(lm, edited_keys=keys).save(tmp_path / name)
        identities.add(weights_identity(str(tmp_path / name), lm.model.config))
    assert len(identities) == 3


@pytest.mark.parametrize(
    "tensors",
    [
        {"edited_keys.0": torch.ones(3)},
        {"edited_keys.0": torch.ones(3, 1).half()},
        {"edited_keys.first": torch.ones(3, 1)},
        {"weight": torch.ones(3, 1)},
        {"edited_keys.0": torch.full((3, 1), float("nan"))},
    ],
    ids=["vector", "half", "no index", "weight", "nan"],
)
def test_other_content_is_refused(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / FILE)
    with pytest.raises(InvalidInput, match=rf"^{FILE} of .* must hold finite float32 matrices"):
        load_edited_keys(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    save_edited_keys({0: torch.ones(3, 1)}, tmp_path)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:-2])
    with pytest.raises(InvalidInput, match=rf"^cannot read {FILE} of "):
        load_edited_keys(tmp_path)


@pytest.mark.parametrize("name", ["rtn", "magnitude", "lora", "memit"])
def test_a_step_between_leaves_them(name: str, lm: LM, small: Data) -> None:
    lm.edited_keys = {0: torch.ones(512, 1)}
    few = {key: 2 for key in ("steps", "samples") if key in make(name).params()}
    if name == "magnitude":
        few = {}
    assert apply(make(name, **few), lm, small, KEY).edited_keys.keys() == {0}


def test_a_function_that_returns_another_model_leaves_them(lm: LM) -> None:
    lm.edited_keys = {0: torch.ones(512, 1)}
    other = LM.load(Path(lm.model.config.name_or_path)).model
    assert changed_model(lambda model: other, lm, "mine").edited_keys.keys() == {0}
