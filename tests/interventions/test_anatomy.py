"""A decoder's anatomy: blocks, layers, taps, and what is said of models without them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interventions.anatomy import (
    block_linears,
    blocks,
    check_layers,
    down_projection,
    gate_partner,
    linears,
    scale_output,
    taps,
)
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from interventions.lm import LM


def test_a_layer_that_the_model_lacks_or_that_is_named_twice_is_an_error(lm: LM) -> None:
    with pytest.raises(
        InvalidInput, match=r"ft\.layers names layer 17, but the model has layers 0 to 5"
    ):
        FT(layers=(1, 17)).check(lm.model)
    with pytest.raises(InvalidInput, match="names layer 6, but"):
        check_layers(lm.model, [6], "layers")
    with pytest.raises(InvalidInput, match="names layer -1, but"):
        check_layers(lm.model, [-1], "layers")
    with pytest.raises(InvalidInput, match=r"layers names layer 2 twice: \(2, 3, 2\)"):
        check_layers(lm.model, [2, 3, 2], "layers")
    check_layers(lm.model, [0, 5], "layers")


def test_the_blocks_are_the_longest_list_of_modules() -> None:
    model = nn.ModuleDict(
        {
            "heads": nn.ModuleList([nn.Linear(2, 2)]),
            "layers": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)]),
            "nothing": nn.ModuleList(),
        }
    )
    assert blocks(model) is model["layers"]
    with pytest.raises(InvalidInput, match="Linear has no list of decoder blocks"):
        blocks(nn.Linear(2, 2))


def test_the_linear_layers_of_a_llama_are_seven_a_block(lm: LM) -> None:
    names = [name for name, _ in linears(blocks(lm.model)[0])]
    assert names == [
        *(f"self_attn.{part}_proj" for part in "qkvo"),
        *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
    ]
    assert list(block_linears(lm.model))[7:] == [
        f"{i}.{name}" for i in range(1, 6) for name in names
    ]
    block: Any = blocks(lm.model)[0]
    assert down_projection(block) is block.mlp.down_proj
    assert gate_partner(block) == ("mlp.up_proj", "mlp.down_proj")
    assert gate_partner(block.self_attn) is None


def test_the_last_layer_outside_attention_writes_to_the_stream() -> None:
    block = nn.ModuleDict({"fc1": nn.Linear(2, 4), "fc2": nn.Linear(4, 2), "attn": nn.Linear(2, 2)})
    assert down_projection(block) is block["fc2"]
    with pytest.raises(InvalidInput, match="ModuleDict has no linear layer outside attention"):
        down_projection(nn.ModuleDict({"attention": nn.Linear(2, 2)}))


def test_taps_see_inputs_without_gradient_change_nothing_and_close(lm: LM) -> None:
    layer = nn.Linear(2, 3)
    inputs = torch.ones(5, 2, requires_grad=True)
    taken_down: list[tuple[str, Tensor]] = []

    def see(name: str, tensor: Tensor) -> Tensor:
        taken_down.append((name, tensor))
        return tensor + 1  # must not reach the layer

    expected = layer(inputs)
    with pytest.raises(RuntimeError), taps({"up": layer}, see):
        assert torch.equal(layer(inputs), expected)
        raise RuntimeError
    layer(inputs)
    ((name, tensor),) = taken_down
    assert name == "up" and torch.equal(tensor, inputs) and not tensor.requires_grad


@pytest.mark.parametrize("bias", [True, False])
def test_scaled_outputs_are_the_outputs_times_the_factor(bias: bool) -> None:
    factor, inputs = torch.tensor([1.0, 2.0, 4.0]), torch.randn(4, 3)
    for module in (nn.Linear(3, 3, bias=bias), nn.LayerNorm(3, bias=bias), nn.RMSNorm(3)):
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        expected = module(inputs) * factor
        scale_output(module, factor)
        assert torch.allclose(module(inputs), expected, atol=1e-6)
