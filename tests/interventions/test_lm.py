"""LM: what is saved and loaded, what counts as pruned, how texts are encoded and scored."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from huggingface_hub import constants
from torch.nn import functional as F

from interventions.anatomy import block_linears
from interventions.compression.quantization import fit_grid
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM, batches, skeleton

NAME = "0.mlp.up_proj"


def weight_of(lm: LM) -> torch.Tensor:
    return block_linears(lm.model)[NAME].weight


def test_a_saved_model_loads_with_its_weights_and_grids(lm: LM, tmp_path: Path) -> None:
    weight = weight_of(lm)
    with torch.no_grad():
        weight[:128] = 0
    lm.quantize(NAME, weight, fit_grid(weight, 4, 32, symmetric=False), weight.clone())
    lm.save(tmp_path)
    loaded = LM.load(tmp_path)
    assert loaded.fingerprint() == lm.fingerprint()
    grid, saved = lm.grids[NAME], loaded.grids[NAME]
    assert list(loaded.grids) == [NAME]
    assert torch.equal(grid.scale, saved.scale) and torch.equal(grid.zero, saved.zero)
    for field in ("bits", "group", "pruned", "zeros"):
        assert getattr(saved, field) == getattr(grid, field), field
    assert saved.pruned == 0.25 and saved.zeros >= 0.25


def test_a_model_without_grids_has_no_files_of_grids(lm: LM, tmp_path: Path) -> None:
    lm.save(tmp_path)
    assert not [path for path in tmp_path.iterdir() if "grid" in path.name]
    assert LM.load(tmp_path).grids == {}


@pytest.mark.parametrize("offline", [False, True])
def test_saved_files_do_not_say_how_the_model_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    LM.load(MODEL).save(tmp_path)
    # what runs of before recorded, where they were online
    tokenizer = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (tokenizer["is_local"], tokenizer["local_files_only"]) == (True, False)


def test_a_loaded_model_is_ready_to_be_measured() -> None:
    model = LM.load(MODEL, dtype="bfloat16").model
    assert model.dtype is torch.bfloat16 and not model.training
    assert not [parameter for parameter in model.parameters() if parameter.requires_grad]


def test_the_fingerprint_changes_with_any_weight(lm: LM) -> None:
    before = lm.fingerprint()
    assert before == LM.load(MODEL).fingerprint() and len(before) == 32
    with torch.no_grad():
        weight_of(lm)[3, 5] += 1e-3
    assert lm.fingerprint() != before


def test_zeros_that_rounding_made_are_not_pruned(lm: LM) -> None:
    weight = weight_of(lm)
    with torch.no_grad():
        weight[:128] = 0  # a quarter
    coarse = fit_grid(weight, 2, 32, symmetric=True)
    lm.quantize(NAME, weight, coarse, weight.clone())
    assert lm.grids[NAME].zeros > 0.25
    assert lm.pruned(NAME, weight) == 0.25
    assert lm.on_grid(NAME, weight, 2, 32)
    # more is pruned: all zeros count
    with torch.no_grad():
        weight[128:160] = 0
    assert lm.pruned(NAME, weight) > lm.grids[NAME].zeros


def test_a_layer_that_left_its_grid_has_only_pruned_zeros(lm: LM) -> None:
    weight = weight_of(lm)
    lm.quantize(NAME, weight, fit_grid(weight, 2, 32, symmetric=True), weight.clone())
    zeros = lm.grids[NAME].zeros
    assert lm.pruned(NAME, weight) == 0 < zeros
    with torch.no_grad():
        weight[0, 0] = 0.123
    assert lm.pruned(NAME, weight) == pytest.approx(zeros, abs=1e-4) != 0


def test_a_layer_is_on_a_grid_of_as_many_bits_or_fewer_and_that_group(lm: LM) -> None:
    weight = weight_of(lm)
    assert not lm.on_grid(NAME, weight, 8, 32)
    lm.quantize(NAME, weight, fit_grid(weight, 4, 32, symmetric=False), weight.clone())
    assert lm.on_grid(NAME, weight, 4, 32) and lm.on_grid(NAME, weight, 8, 32)
    assert not lm.on_grid(NAME, weight, 3, 32) and not lm.on_grid(NAME, weight, 4, 64)
    with torch.no_grad():
        weight[0, 0] = 0.123
    assert not lm.on_grid(NAME, weight, 4, 32)


def test_values_are_rounded_in_rows_of_any_number(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = weight_of(lm)
    grid = fit_grid(weight, 3, 32, symmetric=False)
    values = weight + 0.01
    expected = grid.nearest(values)
    monkeypatch.setattr("interventions.lm.ROWS", 100)  # 512 rows: the last slice is shorter
    lm.quantize(NAME, weight, grid, values)
    assert torch.equal(weight, expected)


def test_labels_count_the_answer_only(lm: LM) -> None:
    pairs = [("Question: who?\nAnswer:", " a long answer of words"), ("Why", " so")]
    encoded, labels = lm.encode_pairs(pairs)
    for row, (prompt, answer) in enumerate(pairs):
        counted = labels[row][labels[row] != -100]
        assert counted.tolist() == lm.tokenizer.encode(answer, add_special_tokens=False)
        start = len(lm.tokenizer.encode(prompt))
        assert torch.equal(labels[row, start : start + len(counted)], counted)
    assert labels.shape == encoded["input_ids"].shape


def test_token_losses_are_those_of_unpadded_texts(lm: LM) -> None:
    texts = ["The river was quiet.", "A lamp"]
    encoded = lm.encode(texts)
    losses, counted = lm.token_losses(encoded, lm.text_labels(encoded))
    assert losses.shape == counted.shape == (2, encoded["input_ids"].shape[1] - 1)
    for row, text in enumerate(texts):
        ids = torch.tensor([lm.tokenizer.encode(text)])
        logits = lm.model(ids).logits[0, :-1]
        expected = F.cross_entropy(logits, ids[0, 1:], reduction="none")
        assert torch.allclose(losses[row][counted[row]], expected, atol=1e-4)


def test_a_tokens_loss_is_by_what_stands_before_it_and_a_minus_100_does_not_count() -> None:
    """By hand: the second token has 3 of 4 parts of the probability, the fourth one of 4."""
    logits = torch.tensor([[[3.0, 1], [1, 1], [3, 1], [9, 1]]]).log()

    def model(input_ids: torch.Tensor, use_cache: bool) -> SimpleNamespace:
        assert not use_cache  # it would fill the memory, and nothing goes on from it
        return SimpleNamespace(logits=logits.bfloat16())

    lm: Any = LM(cast(Any, model), cast(Any, None))
    labels = torch.tensor([[0, 0, -100, 1]])
    losses, counted = lm.token_losses({"input_ids": labels}, labels)
    assert losses.dtype is torch.float32 and counted.tolist() == [[True, False, True]]
    expected = torch.tensor([[-math.log(3 / 4), 0, -math.log(1 / 4)]])
    torch.testing.assert_close(losses, expected, atol=0.01, rtol=0)


def test_texts_are_padded_on_the_side_and_cut_to_the_length_that_is_wanted(lm: LM) -> None:
    texts = ["The river was quiet in the morning.", "A lamp"]
    right, left = lm.encode(texts), lm.encode(texts, padding_side="left")
    assert right["attention_mask"][1, 0] == 1 and right["attention_mask"][1, -1] == 0
    assert left["attention_mask"][1, 0] == 0 and left["attention_mask"][1, -1] == 1
    assert lm.encode(texts, max_length=3)["input_ids"].shape == (2, 3)
    assert "token_type_ids" not in right


def test_batches_are_consecutive_and_the_last_may_be_smaller() -> None:
    assert [list(batch) for batch in batches(range(5), 2)] == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []


def test_a_skeleton_has_the_anatomy_and_no_weights() -> None:
    model = skeleton(MODEL)
    assert len(block_linears(model)) == 42
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


@pytest.mark.parametrize("config", [None, "{}", '{"model_type": "vit"}'])
def test_what_is_no_language_model_is_named_in_one_line(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(InvalidInput) as error:
        skeleton(tmp_path)
    assert str(error.value).startswith(
        f"cannot read a causal language model from {str(tmp_path)!r}"
    )
    assert "\n" not in str(error.value)


def test_a_fingerprint_goes_by_names_shapes_and_dtypes_in_any_order() -> None:
    def fingerprint(**weights: torch.Tensor) -> str:
        model: Any = torch.nn.Module()
        for name, weight in weights.items():
            model.register_buffer(name, weight)
        tokenizer: Any = None
        return LM(model, tokenizer).fingerprint()

    wide, high = torch.zeros(2, 3), torch.zeros(3, 2)
    first, whole = torch.ones(4), torch.zeros(2, 3, dtype=torch.int32)
    prints = {fingerprint(a=wide), fingerprint(b=wide), fingerprint(a=high), fingerprint(a=whole)}
    assert len(prints) == 4 and {len(each) for each in prints} == {32}
    assert fingerprint(a=wide, b=first) == fingerprint(b=first, a=wide)
