"""Compression criteria, against counts by hand."""

from pathlib import Path

import pytest
import torch

from interventions.anatomy import block_linears
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid
from tests.anatomies.references import count_saved
from tests.anatomies.texts import tiny_data
from tests.anatomies.tokenizers import tokenizer
from tests.anatomies.zoo import ANATOMIES


def test_average_bits_of_a_quantized_layer_follow_from_its_weights(lm: LM, data: Data) -> None:
    """4 bits + 32/32 on the grid; with half zeros 4/2 + 1/2 + 1; 16 off it (paper, section C)."""
    name, linear = next(iter(block_linears(lm.model).items()))
    scale, zero = torch.full((128, 4), 0.1), torch.full((128, 4), 8.0)
    integers = torch.arange(16).repeat(128, 8)
    integers[integers == 8] = 9  # no zeros yet
    with torch.no_grad():
        linear.weight.copy_((integers - 8) * 0.1)
    lm.grids[name] = QuantizationGrid(4, 32, scale, zero)

    def bits() -> float:
        return measure(lm, data, ["average_bits"])["average_bits"].items[name]

    assert bits() == pytest.approx(5.0)
    with torch.no_grad():
        linear.weight[:64] = 0
    assert bits() == pytest.approx(4 * 0.5 + 0.5 + 1)
    with torch.no_grad():
        linear.weight[0, 0] = 0.123
    assert bits() > 8  # off the grid: 16 bits


def test_a_layer_counts_by_its_weights(lm: LM, data: Data) -> None:
    layers = block_linears(lm.model)
    with torch.no_grad():
        for linear in layers.values():
            linear.weight.fill_(1)
        layers["0.mlp.down_proj"].weight[:32] = 0  # a quarter of its 128 x 512
    size, total = 128 * 512, sum(linear.weight.numel() for linear in layers.values())
    scores = measure(lm, data, ["sparsity", "average_bits"])
    assert scores["sparsity"].items["0.mlp.down_proj"] == 0.25
    assert scores["sparsity"].value == pytest.approx(0.25 * size / total)
    assert scores["sparsity"].stderr == 0  # nothing was sampled
    # 16 bits of what stayed, and the mask's bit of what was removed (paper, section C)
    assert scores["average_bits"].items["0.mlp.down_proj"] == 16 * 0.75 + 0.25
    assert scores["average_bits"].value == pytest.approx(16 - 15 * 0.25 * size / total)


@pytest.mark.parametrize("name", ANATOMIES)
@torch.no_grad()
def test_criteria_are_a_count_over_the_saved_files_in_every_anatomy(
    name: str, tmp_path: Path
) -> None:
    """Every third matrix loses half of its weights; those of the others are all kept."""
    anatomy = ANATOMIES[name]
    lm = LM(anatomy.model(), tokenizer(anatomy.tokenizer))
    for index, matrix in enumerate(block_linears(lm.model).values()):
        if index % 3 == 0:
            matrix.weight[:, ::2] = 0
    lm.model.save_pretrained(tmp_path)
    counted = count_saved(tmp_path, anatomy)
    scores = measure(lm, tiny_data(), ["sparsity", "average_bits"])
    assert 0.05 < counted.sparsity < 0.3
    assert scores["sparsity"].value == pytest.approx(counted.sparsity, abs=1e-9)
    assert scores["average_bits"].value == pytest.approx(counted.bits, abs=1e-9)
