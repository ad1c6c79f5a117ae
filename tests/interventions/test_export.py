"""Exports: whole folders or none, and one clear error for a model that does not fit."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from interventions.anatomy import block_linears
from interventions.compression.quantization import fit_grid
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.export import _packable_grid, common_scheme
from interventions.lm import LM
from interventions.packed_formats import Scheme
from interventions.quantization_grid import QuantizationGrid
from tests.interventions.quantized import put, read_compressed_tensors, rounded


def test_the_tokenizer_and_the_configuration_are_exported_too(lm: LM, tmp_path: Path) -> None:
    rounded(lm, 4, 32, symmetric=True).export(tmp_path / "deep" / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["packed"]
    assert (tmp_path / "deep" / "packed" / "tokenizer.json").exists()
    config = json.loads((tmp_path / "deep" / "packed" / "config.json").read_text())
    assert config["quantization_config"]["ignore"] == ["lm_head"]
    assert config["tie_word_embeddings"] is True
    assert not hasattr(lm.model.config, "quantization_config")  # the model itself stays dense


def unquantized(lm: LM) -> None:
    del lm.grids["3.mlp.up_proj"]


def edited(lm: LM) -> None:
    block_linears(lm.model)["3.mlp.up_proj"].weight[5, 7] += 0.01


def of_two_widths(lm: LM) -> None:
    weight = block_linears(lm.model)["3.mlp.up_proj"].weight
    grid = fit_grid(weight, 3, 32, symmetric=False)
    put(lm, "3.mlp.up_proj", grid, grid.integers(weight))


def in_two_group_sizes(lm: LM) -> None:
    weight = block_linears(lm.model)["3.mlp.up_proj"].weight
    grid = fit_grid(weight, 4, 16, symmetric=False)
    put(lm, "3.mlp.up_proj", grid, grid.integers(weight))


def with_a_zero_between_integers(lm: LM) -> None:
    grid = lm.grids["3.mlp.up_proj"]
    grid.zero[0, 0] = 7.5
    integers = torch.ones(512, 128)
    integers[0, :32] = 7.5
    put(lm, "3.mlp.up_proj", grid, integers)


def with_a_scale_below_float16(lm: LM) -> None:
    grid = lm.grids["3.mlp.up_proj"]
    grid.scale[0, 0] = 1e-8
    put(lm, "3.mlp.up_proj", grid, torch.ones(512, 128))


@pytest.mark.parametrize(
    ("spoil", "format", "says"),
    [
        (unquantized, "gptq", "layer 3.mlp.up_proj is not quantized"),
        (edited, "gptq", "layer 3.mlp.up_proj have left their 4-bit grid"),
        (
            of_two_widths,
            "gptq",
            "0.self_attn.q_proj has 4 bits in groups of 32, 3.mlp.up_proj has 3 bits",
        ),
        (in_two_group_sizes, "gptq", "3.mlp.up_proj has 4 bits in groups of 16"),
        (
            with_a_zero_between_integers,
            "compressed-tensors",
            "3.mlp.up_proj has zeros that are not among .* 0 to 15",
        ),
        (with_a_scale_below_float16, "gptq", "3.mlp.up_proj do not fit into the float16"),
        (
            lambda lm: None,
            "awq",
            "no export format is named 'awq'; known: compressed-tensors, gptq",
        ),
        (lambda lm: rounded(lm, 5, 32, True), "gptq", "'gptq' has 2, 3, 4, 8 bits, but .* have 5"),
        (
            lambda lm: rounded(lm, 4, 8, True),
            "gptq",
            "'gptq' has groups of -1, 16, 32, 64, 128, 256, 512, 1024, not 8",
        ),
    ],
)
def test_what_cannot_be_exported_is_one_clear_error_and_no_file(
    lm: LM, tmp_path: Path, spoil: Callable[[LM], object], format: str, says: str
) -> None:
    rounded(lm, 4, 32, symmetric=False)
    spoil(lm)
    with pytest.raises(InvalidInput, match=says):
        lm.export(tmp_path / "packed", format=format)
    assert not list(tmp_path.iterdir())


def test_gptq_has_no_layers_of_odd_sizes(tmp_path: Path) -> None:
    sizes = {
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = AutoConfig.for_model("llama", vocab_size=64, num_key_value_heads=2, **sizes)
    model = AutoModelForCausalLM.from_config(config).requires_grad_(False)
    lm = rounded(LM(model, LM.load(MODEL).tokenizer), 4, 16, symmetric=True)
    with pytest.raises(InvalidInput, match=r"0\.self_attn\.q_proj is 48 x 48"):
        lm.export(tmp_path / "packed", format="gptq")
    lm.export(tmp_path / "packed", format="compressed-tensors")
    read = read_compressed_tensors(
        tmp_path / "packed", "model.layers.0.self_attn.q_proj", 4, 16, True
    )
    assert torch.equal(read, block_linears(model)["0.self_attn.q_proj"].weight)


def test_experts_in_one_weight_are_refused(tmp_path: Path) -> None:
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = AutoConfig.for_model(
        "mixtral", vocab_size=64, num_key_value_heads=2, num_local_experts=2, **sizes
    )
    model = AutoModelForCausalLM.from_config(config).requires_grad_(False)
    lm = rounded(LM(model, LM.load(MODEL).tokenizer), 4, 16, symmetric=True)
    with pytest.raises(
        InvalidInput, match=r"MixtralForCausalLM cannot be exported: 0\.mlp\.experts"
    ):
        lm.export(tmp_path / "packed")


def test_a_folder_with_something_in_it_is_left_alone(lm: LM, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(InvalidInput, match="is not an empty folder"):
        rounded(lm, 4, 32, symmetric=True).export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_failure_while_writing_leaves_nothing(
    lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(type(lm.tokenizer), "save_pretrained", full)
    with pytest.raises(OSError, match="no space"):
        rounded(lm, 4, 32, symmetric=True).export(tmp_path / "packed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("group", "common"), [(32, 32), (-1, -1), (128, 128)])
def test_layers_of_one_width_have_a_common_scheme(
    lm: LM, group: int, common: int, symmetric: bool
) -> None:
    """Whole rows are of 128 and of 512 inputs; groups of 128 are not whole rows everywhere."""
    assert common_scheme(rounded(lm, 4, group, symmetric)) == Scheme(4, common, symmetric)


def test_a_whole_row_in_one_layer_only_is_a_group_size(lm: LM) -> None:
    rounded(lm, 4, 128, symmetric=False)
    name = "0.mlp.down_proj"
    whole = fit_grid(block_linears(lm.model)[name].weight, 4, -1, symmetric=False)
    put(lm, name, whole, whole.integers(block_linears(lm.model)[name].weight))
    with pytest.raises(InvalidInput, match="down_proj has 4 bits in groups of 512"):
        common_scheme(lm)


def test_one_asymmetric_layer_makes_an_asymmetric_scheme(lm: LM) -> None:
    rounded(lm, 4, 32, symmetric=True)
    lm.grids["3.mlp.up_proj"].zero[0, 0] = 7
    put(lm, "3.mlp.up_proj", lm.grids["3.mlp.up_proj"], torch.ones(512, 128))
    assert common_scheme(lm) == Scheme(4, 32, False)


def test_one_layer_in_activation_order_makes_an_ordered_scheme(lm: LM) -> None:
    rounded(lm, 4, 32, symmetric=True)
    name = "3.mlp.up_proj"
    order = torch.arange(128, dtype=torch.int32) % 4
    lm.grids[name] = dataclasses.replace(lm.grids[name], input_groups=order)
    put(lm, name, lm.grids[name], torch.ones(512, 128))
    assert common_scheme(lm) == Scheme(4, 32, symmetric=True, ordered=True)


@pytest.mark.parametrize(("zero", "packs"), [(-1, False), (0, True), (15, True), (16, False)])
def test_zeros_are_from_0_to_15_at_4_bits(zero: int, packs: bool) -> None:
    grid = QuantizationGrid(4, 2, torch.ones(1, 1), torch.full((1, 1), float(zero)))
    weight = grid.values(torch.tensor([[3, 4]]))
    if packs:
        assert _packable_grid(grid, "up", weight) is grid
    else:
        with pytest.raises(InvalidInput, match=r"layer up has zeros .* its integers, 0 to 15$"):
            _packable_grid(grid, "up", weight)
