"""AWQ on layers so small that what it finds can be worked out by hand."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from interventions.composition import apply
from interventions.compression.awq import AWQ, _foldable, _mean_magnitude, _row_errors
from interventions.compression.calibration import Inputs
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.feeders import Feeder
from interventions.quantization_grid import QuantizationGrid
from interventions.step_metrics import recorded_metrics
from tests.interventions.compression.noted_calls import note_calls
from tests.interventions.compression.reference import KEY, tiny_lm

PLAIN = Feeder(nn.Identity())


def alike(tokens: int, magnitude: list[float]) -> Inputs:
    """Independent inputs of one size."""
    return Inputs(torch.eye(len(magnitude)), torch.tensor(magnitude), tokens)


@pytest.mark.parametrize(("tokens", "is_scaled"), [((1, 9), True), ((9, 1), False)])
def test_a_layer_counts_by_the_tokens_that_it_sees(
    tokens: tuple[int, int], is_scaled: bool
) -> None:
    """Scales (1, 1) and (1/2, 2) are tried at 2 bits.

    The first layer is on the grid as it is; times the scale it is (3/2, 2), which rounds to
    (4/3, 2): an error of (1/3)^2. The second is on the grid times the scale, (3, 1); as it is,
    (6, 1/2) rounds to (6, 0): an error of (1/2)^2.
    """
    weights = torch.tensor([[3.0, 1.0]]), torch.tensor([[6.0, 0.5]])
    fed = [(w, alike(n, [1.0, 16.0])) for w, n in zip(weights, tokens, strict=True)]
    scale = AWQ(bits=2, group=-1, exponents=2).search(fed, PLAIN)
    assert scale.tolist() == ([0.5, 2] if is_scaled else [1, 1])


def test_of_scales_that_are_as_good_the_first_is_taken_which_is_none() -> None:
    fed = [(torch.zeros(2, 2), alike(3, [1.0, 16.0]))]
    assert AWQ(group=-1, exponents=4).search(fed, PLAIN).tolist() == [1, 1]


def test_an_input_that_is_always_0_is_scaled_as_one_of_size_a_ten_thousandth() -> None:
    """(1e-4, 1), centred, is (1/100, 100), with which the weights are (3, 1): on the grid."""
    fed = [(torch.tensor([[300.0, 0.01]]), alike(3, [0.0, 1.0]))]
    scale = AWQ(bits=2, group=-1, exponents=2).search(fed, PLAIN)
    assert scale.tolist() == pytest.approx([0.01, 100])


def test_ranges_that_are_as_good_as_the_full_ones_are_not_taken() -> None:
    """The second group's inputs are those of the first, negated: all errors cancel."""
    weight = torch.tensor([[0.0, 0.9, 0.9, 1.0]]).repeat(1, 2)
    eye = torch.eye(4)
    gram = torch.cat([torch.cat([eye, -eye]), torch.cat([-eye, eye])], dim=1)
    grid = AWQ(bits=2, group=4).fitted(weight, Inputs(gram, torch.ones(8), 5))
    assert grid.scale.tolist() == [pytest.approx([1 / 3, 1 / 3])]


def test_a_group_whose_inputs_are_always_0_keeps_its_full_range() -> None:
    """(0, .9, .9, 1) errs least if cut off at .95: by .05 thrice, not by .1 twice or once."""
    weight = torch.tensor([[0.0, 0.9, 0.9, 1.0, 0.0, 1.0, 2.0, 3.0]])
    gram = torch.diag(torch.tensor([1.0] * 4 + [0.0] * 4))
    grid = AWQ(bits=2, group=4).fitted(weight, Inputs(gram, torch.ones(8), 5))
    assert grid.scale.tolist() == [pytest.approx([0.95 / 3, 1.0])]
    assert grid.zero.tolist() == [[0, 0]]
    whole = AWQ(bits=2, group=4, clip=False).fitted(weight, Inputs(gram, torch.ones(8), 5))
    assert whole.scale.tolist() == [pytest.approx([1 / 3, 1.0])]


def test_the_error_of_an_output_is_that_of_the_change_that_rounding_makes() -> None:
    """Changes (-1/4, 1/4): (2 - 2 x 1 + 4) / 16."""
    grid = QuantizationGrid(4, 2, torch.ones(2, 1), torch.zeros(2, 1))
    inputs = Inputs(torch.tensor([[2.0, 1.0], [1.0, 4.0]]), torch.ones(2), 1)
    weight = torch.tensor([[0.25, 1.75], [3.0, 2.0]])
    assert _row_errors(grid, weight, inputs).tolist() == [0.25, 0]


def test_the_mean_magnitude_is_over_all_tokens_and_shared_inputs_count_once() -> None:
    first, second, unseen = (alike(n, [m, 2 * m]) for n, m in ((1, 4.0), (3, 8.0), (0, 100.0)))
    assert _mean_magnitude([first, second, second, unseen]).tolist() == [7, 14]
    assert _mean_magnitude([unseen]).tolist() == [100, 200]
    assert _mean_magnitude([first]).tolist() == [4, 8]


def test_where_every_scale_is_1_no_layer_was_scaled(small: Data) -> None:
    with recorded_metrics() as metrics:
        apply(AWQ(bits=8, group=-1, exponents=1, samples=1), tiny_lm(8, 16), small, KEY)
    assert metrics == {"awq/scaled": 0}


def folds(pending: set[str], norms: dict[str, nn.Module]) -> list[tuple[Any, list[str]]]:
    """What feeds the layers of an MLP, (its norm or matrix, their names), if any scale can move."""
    block = nn.ModuleDict({name: nn.Linear(4, 4) for name in ("up_proj", "gate_proj", "down_proj")})
    readers = SimpleNamespace(norms=norms, scales=lambda feeder, names: True)
    feeders_with_names = _foldable(block, cast(Any, readers), dict.fromkeys(pending, ""), heads=1)
    return [(feeder.target, names) for feeder, names in feeders_with_names]


def test_a_scale_moves_only_where_both_sides_are_still_to_be_quantized() -> None:
    norm, unread = nn.LayerNorm(4), nn.LayerNorm(4)
    norms: dict[str, nn.Module] = {"up_proj": norm, "gate_proj": norm}
    ((target, names),) = folds({"down_proj", "up_proj"}, norms)
    assert names == ["down_proj"] and target.weight.shape == (4, 4)
    assert folds({"down_proj", "gate_proj"}, norms) == []
    assert folds({"up_proj"}, norms) == []
    assert folds({"up_proj", "gate_proj"}, norms) == [(norm, ["up_proj", "gate_proj"])]
    assert folds({"up_proj"}, {"up_proj": norm}) == [(norm, ["up_proj"])]
    assert folds({"gate_proj"}, {"up_proj": unread, "gate_proj": norm}) == [(norm, ["gate_proj"])]


def test_autoawq_takes_four_bits_and_zero_points_alone() -> None:
    AWQ(bits=4, backend="autoawq")
    for bits, symmetric in ((5, False), (3, False), (4, True)):
        with pytest.raises(InvalidInput, match=f"got bits={bits}, symmetric={symmetric}"):
            AWQ(bits=bits, symmetric=symmetric, backend="autoawq")
        AWQ(bits=bits, symmetric=symmetric)


@pytest.mark.parametrize("backend", ["autoawq", "llmcompressor"])
def test_a_backend_gets_the_first_texts_and_the_grids_kind(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = note_calls(monkeypatch, "autoawq.awq", "llmcompressor.compress")
    lm: Any = object()
    step = AWQ(bits=4, group=32, samples=2, backend=cast(Any, backend))
    assert step.apply(lm, Data("none", calibration=("a", "b", "c"))) is lm
    settings: dict[str, Any] = {"bits": 4, "group": 32}
    if backend == "llmcompressor":
        settings |= {"symmetric": False, "method": "awq"}
    assert calls == [(lm, ["a", "b"], settings)]


def test_a_norm_that_adds_one_is_tried_where_a_plain_one_does_not_scale() -> None:
    norm, block = nn.LayerNorm(4), nn.ModuleDict({"up_proj": nn.Linear(4, 4)})
    for added_one in (False, True):
        readers = SimpleNamespace(
            norms={"up_proj": norm},
            scales=lambda feeder, names, fits=added_one: fits == feeder.added_one,
        )
        ((feeder, _),) = _foldable(block, cast(Any, readers), {"up_proj": ""}, heads=1)
        assert feeder.target is norm and feeder.added_one is added_one
