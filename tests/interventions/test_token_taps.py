"""Inputs token by token: without padding, shared where layers share them, per expert."""

import pytest
import torch
from torch import Tensor, nn

from interventions.anatomy import linears
from interventions.errors import InvalidInput
from interventions.text_model import blocks
from interventions.token_taps import _experts_hook, by_text, token_taps
from interventions.weight_matrix import WeightMatrix
from tests.anatomies.references import inputs as plain_inputs
from tests.anatomies.zoo import ANATOMIES

MASK = torch.tensor([[True, True, True], [True, False, False]])


def test_padding_is_left_out_also_where_texts_are_flattened() -> None:
    layer, seen = nn.Linear(2, 3), []
    x = torch.arange(12.0).view(2, 3, 2)
    with token_taps({"up": WeightMatrix(layer)}, MASK, lambda name, inputs: seen.append(inputs)):
        layer(x)
        layer(x.flatten(0, 1))
    layer(x)  # closed: not seen
    assert len(seen) == 2
    for inputs in seen:
        assert torch.equal(inputs, torch.tensor([[0.0, 1], [2, 3], [4, 5], [6, 7]]))


def test_layers_with_the_same_inputs_get_the_same_tensor_and_others_do_not() -> None:
    layers = {name: WeightMatrix(nn.Linear(2, 2)) for name in ("q", "k", "o")}
    seen: dict[str, Tensor] = {}
    x = torch.randn(2, 3, 2)
    with token_taps(layers, MASK, seen.__setitem__):
        layers["q"].module(x)
        layers["k"].module(x)
        layers["o"].module(x.clone())
    assert seen["q"] is seen["k"] and seen["q"] is not seen["o"]
    assert torch.equal(seen["q"], seen["o"])


def test_inputs_that_are_not_one_a_token_are_refused_where_there_is_padding() -> None:
    """As those of an expert with a module of its own: padding cannot be left out."""
    layer, shapes = nn.Linear(4, 4), []
    matrices = {"experts.0": WeightMatrix(layer)}
    with (
        pytest.raises(InvalidInput, match=r"^a layer sees 5 of 6 tokens: padding cannot be told"),
        token_taps(matrices, MASK, lambda *_: None),
    ):
        layer(torch.zeros(5, 4))
    with token_taps(matrices, MASK[:1], lambda name, inputs: shapes.append(inputs.shape)):
        layer(torch.zeros(2, 4))
    assert shapes == [(2, 4)]  # without any padding there is nothing to leave out


def test_inputs_are_without_gradient_and_by_text() -> None:
    layer, seen = nn.Linear(2, 2), []
    x = torch.randn(2, 3, 2, requires_grad=True)
    with token_taps({"up": WeightMatrix(layer)}, MASK, lambda name, inputs: seen.append(inputs)):
        layer(x)
    assert not seen[0].requires_grad
    assert torch.equal(by_text(x.flatten(0, 1), MASK), x) and torch.equal(by_text(x, MASK), x)


@pytest.mark.parametrize("name", ["mixtral", "qwen3-moe", "deepseek-v3", "gpt-oss"])
def test_experts_see_the_tokens_that_are_sent_to_them_and_no_padding(name: str) -> None:
    """Reference: a loop over experts in float64, on one unpadded text at a time."""
    anatomy = ANATOMIES[name]
    model = anatomy.model()
    ids = torch.randint(10, 200, (2, 11), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 11, dtype=torch.bool)
    mask[0, 4:] = False
    seen: dict[str, Tensor] = {}
    block = blocks(model)[2]
    with token_taps(dict(linears(block)), mask, seen.__setitem__), torch.no_grad():
        model(input_ids=ids, attention_mask=mask.long(), use_cache=False)
    expected = plain_inputs(model, anatomy, [ids[0, :4].tolist(), ids[1].tolist()], block=2)
    assert len(seen) == len(expected)
    for path, x in expected.items():
        parts = path.split(".")
        if parts[-1].isdigit():
            parts[-2:] = parts[:-3:-1]
        inputs = seen[".".join(parts[1:])]
        assert inputs.shape == x.shape
        assert (inputs.double() - x).norm() <= 1e-5 * x.norm()


def test_an_expert_without_tokens_is_seen_with_none() -> None:
    model = ANATOMIES["qwen3-moe"].model()
    seen: dict[str, Tensor] = {}
    matrices = {name: m for name, m in linears(blocks(model)[0]) if m.expert is not None}
    mask = torch.ones(1, 1, dtype=torch.bool)
    with token_taps(matrices, mask, seen.__setitem__):
        model(input_ids=torch.tensor([[7]]), use_cache=False)
    assert set(seen) == set(matrices)
    lengths = [len(seen[f"mlp.experts.{i}.gate_up_proj"]) for i in range(8)]
    assert sorted(lengths) == [0] * 6 + [1] * 2
    assert all(x.shape[1] == matrices[name].in_features for name, x in seen.items())


def test_only_the_experts_that_are_named_are_computed() -> None:
    model = ANATOMIES["mixtral"].model()
    seen: dict[str, Tensor] = {}
    only = {"down": dict(linears(blocks(model)[0]))["mlp.experts.1.down_proj"]}
    ids = torch.arange(20)[None] + 10
    with token_taps(only, torch.ones(1, 20, dtype=torch.bool), seen.__setitem__):
        model(input_ids=ids, use_cache=False)
    assert list(seen) == ["down"] and seen["down"].shape[1] == 32


def test_on_the_meta_device_too_only_what_reads_the_same_shares_its_inputs() -> None:
    """There all addresses are 0."""
    first, second, third = (nn.Linear(4, 4, device="meta") for _ in range(3))
    matrices = {
        name: WeightMatrix(layer)
        for name, layer in (("first", first), ("second", second), ("third", third))
    }
    inputs = torch.zeros(1, 3, 4, device="meta")
    seen: list[torch.Tensor] = []
    with token_taps(matrices, torch.ones(1, 3).bool(), lambda _, tokens: seen.append(tokens)):
        first(inputs)
        second(inputs)
        third(torch.zeros(1, 3, 4, device="meta"))
    assert seen[0] is seen[1] and seen[1] is not seen[2]


class NineExperts(nn.Module):
    """Fused experts without a gate, of which only what they are called with is read."""

    has_gate = False

    def forward(self, hidden: Tensor, chosen: Tensor) -> None:
        pass


def test_experts_are_seen_in_the_order_of_their_numbers() -> None:
    seen: list[tuple[str, list[list[float]]]] = []
    names = {(8, "up_proj"): "late", (1, "up_proj"): "early"}
    pass_on = _experts_hook(
        names, lambda name, inputs: seen.append((name, inputs.tolist())), MASK[:1]
    )
    pass_on(
        NineExperts(),
        (torch.tensor([[[1.0], [2.0], [3.0]]]),),
        {"chosen": torch.tensor([[8, 0], [1, 8], [2, 1]])},
    )
    assert seen == [("early", [[2], [3]]), ("late", [[1], [2]])]
