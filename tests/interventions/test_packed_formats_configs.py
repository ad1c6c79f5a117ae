"""What a packed checkpoint's configuration says, in whole."""

from typing import Any

import pytest
import torch

from interventions.errors import InvalidInput
from interventions.packed_formats import FORMATS, WHOLE_ROW, Scheme
from interventions.quantization_grid import QuantizationGrid
from tests.interventions.merging.branches import small_lm


@pytest.mark.parametrize(
    ("scheme", "weights"),
    [
        (Scheme(3, 32, True), {"symmetric": True, "strategy": "group", "group_size": 32}),
        (Scheme(3, WHOLE_ROW, False), {"symmetric": False, "strategy": "channel"}),
    ],
)
def test_compressed_tensors_are_said_to_be_in_all_layers_but_the_head(
    scheme: Scheme, weights: dict[str, Any]
) -> None:
    all_weights = {"num_bits": 3, "type": "int", **weights}
    assert FORMATS["compressed-tensors"].config(small_lm("llama"), scheme) == {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": all_weights}},
        "ignore": ["lm_head"],
        "dequantize": True,
    }


@pytest.mark.parametrize(
    ("scheme", "version"),
    [(Scheme(4, 64, True), "gptq"), (Scheme(4, WHOLE_ROW, False, ordered=True), "gptq_v2")],
)
def test_gptqs_zeros_are_of_the_version_that_has_room_for_them(
    scheme: Scheme, version: str
) -> None:
    assert FORMATS["gptq"].config(small_lm("llama"), scheme) == {
        "quant_method": "gptq",
        "checkpoint_format": version,
        "bits": 4,
        "group_size": scheme.group,
        "sym": scheme.symmetric,
        "desc_act": scheme.ordered,
        "lm_head": False,
        "block_name_to_quantize": "model.layers",
        "backend": "torch",
    }


@pytest.mark.parametrize(("out", "inputs"), [(32, 48), (48, 32)])
def test_gptq_has_multiples_of_32_on_both_sides(out: int, inputs: int) -> None:
    grid = QuantizationGrid(4, 16, torch.ones(out, inputs // 16), torch.zeros(out, inputs // 16))
    with pytest.raises(InvalidInput, match=f"only, but up is {out} x {inputs}$"):
        FORMATS["gptq"].pack(
            "up", torch.zeros(out, inputs, dtype=torch.int64), grid, Scheme(4, 16, False)
        )


@pytest.mark.parametrize(
    ("scale", "fits"), [(2.0**-24, True), (1e-6, False), (1000.3, True), (65520.0, False)]
)
def test_gptqs_scales_are_those_that_float16_holds(scale: float, fits: bool) -> None:
    """It is coarse below 6e-5, and ends at 65504."""
    grid = QuantizationGrid(4, 32, torch.full((32, 1), scale), torch.zeros(32, 1))
    integers = torch.zeros(32, 32, dtype=torch.int64)
    if fits:
        FORMATS["gptq"].pack("up", integers, grid, Scheme(4, 32, False))
        return
    with pytest.raises(InvalidInput) as error:
        FORMATS["gptq"].pack("up", integers, grid, Scheme(4, 32, False))
    assert str(error.value) == (
        "the scales of layer up do not fit into the float16 of the format 'gptq'"
    )
