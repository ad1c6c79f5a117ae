"""AWQ against its authors' algorithm, block by block, on the inputs that each block really had.

What differs on purpose is said by the test that needs it, and is a row of
docs/explanation/paper-differences.md.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interventions.anatomy import block_linears, blocks
from interventions.compression.awq import AWQ
from interventions.compression.calibration import Inputs
from interventions.compression.quantization import fit_grid
from interventions.feeders import Feeder
from interventions.lm import LM
from tests.anatomies.texts import sentences, tiny_data
from tests.anatomies.zoo import POSITIONS, build
from tests.interventions.compression import authors_awq as authors
from tests.interventions.compression.authors_awq import Call, Fold

BITS, GROUP = 3, 16
FOLDS = {"llama": authors.LLAMA_GROUPED, "opt": authors.OPT}
# windows of equal length, 768 tokens in all: the authors look at every one of them when clipping
TEXTS = tuple(" ".join(sentences(14, seed=seed)) for seed in range(6))


@dataclass
class Block:
    """One block: as it was, in float64, and what AWQ made of it.

    Attributes:
        module: as it was.
        calls: what it ("") and its modules are called with, after the quantized blocks before it.
        folds: what the authors scale.
        scales: (in), AWQ's, by layer.
        weights: (out, in) after AWQ, by layer, as the unscaled block would have them.
    """

    module: nn.Module
    calls: dict[str, list[Call]]
    folds: tuple[Fold, ...]
    scales: dict[str, Tensor]
    weights: dict[str, Tensor]

    @functools.cached_property
    def by_equation_4(self) -> authors.Outcome:
        """What the authors' code makes of it if the layers' own errors choose the scales."""
        return self._authors(each_layer=True)

    @functools.cached_property
    def by_modules(self) -> authors.Outcome:
        """What the authors' code makes of it."""
        return self._authors(each_layer=False)

    def _authors(self, each_layer: bool) -> authors.Outcome:
        return authors.quantize_block(
            self.module, self.calls, self.folds, BITS, GROUP, each_layer=each_layer
        )

    def layer_error(self, name: str, weight: Tensor) -> float:
        """Return the squared error of a layer's outputs with another weight."""
        (((inputs, *_), _),) = self.calls[name]
        layer = self.module.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        return float(((weight - layer.weight) @ inputs.flatten(0, -2).T).square().sum())

    def error(self, weights: dict[str, Tensor]) -> float:
        """Return the squared error of the block's outputs with other weights."""
        ((args, kwargs),) = self.calls[""]
        changed = copy.deepcopy(self.module)
        for name, weight in weights.items():
            layer = changed.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(weight)
        output, before = (module(*args, **kwargs) for module in (changed, self.module))
        if isinstance(output, tuple):
            output, before = output[0], before[0]
        return float((output - before).square().sum())


def calls_of(lm: LM, block: nn.Module) -> dict[str, list[Call]]:
    """Return what a block and its modules are called with, in one plain pass over the texts."""
    calls: dict[str, list[Call]] = {}

    def note(name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named = dict(kwargs)
        first = args or (named.pop("hidden_states"),)
        calls.setdefault(name, []).append((first, named))

    handles = [
        module.register_forward_pre_hook(functools.partial(note, name), with_kwargs=True)
        for name, module in block.named_modules()
    ]
    lm.model(**lm.encode(list(TEXTS), POSITIONS), use_cache=False)
    for handle in handles:
        handle.remove()
    return calls


def as_unscaled(weight: Tensor, scale: Tensor, outputs_scale: Tensor | None) -> Tensor:
    """Return the weights (out, in) that do in the unscaled block what these do in the scaled."""
    weight = weight.double() / scale
    if outputs_scale is None:
        return weight
    if len(outputs_scale) != len(weight):  # two query heads of 16 read each head of values
        outputs_scale = outputs_scale.view(-1, 2, 16)[:, 0].flatten()
    return weight * outputs_scale[:, None]


@pytest.fixture(scope="module", params=sorted(FOLDS))
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the blocks of one small model."""
    with torch.no_grad():
        return list(quantized_blocks(request.param, tmp_path_factory.mktemp("models")))


def quantized_blocks(name: str, folder: Path) -> Iterator[Block]:
    lm = LM.load(build(name, folder))
    original = copy.deepcopy(lm.model)
    names = {id(matrix.weight): layer for layer, matrix in block_linears(lm.model).items()}
    scales: dict[str, Tensor] = {}
    search = AWQ.search

    def noted(step: AWQ, fed: list[tuple[Tensor, Inputs]], feeder: Feeder) -> Tensor:
        scale = search(step, fed, feeder)
        scales.update((names[id(weight)], scale.double()) for weight, _ in fed)
        return scale

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AWQ, "search", noted)
        data = dataclasses.replace(tiny_data(), calibration=TEXTS)
        AWQ(bits=BITS, group=GROUP, samples=len(TEXTS)).apply(lm, data)
    matrices, folds = block_linears(lm.model), (*authors.LLAMA, *authors.OPT)
    for index in range(len(blocks(original))):
        # the blocks before it are quantized, as they were when AWQ saw this one
        hybrid = copy.deepcopy(lm.model)
        blocks(hybrid)[index] = copy.deepcopy(blocks(original)[index])
        block = blocks(hybrid.double())[index]
        own = {
            layer.partition(".")[2]: scale
            for layer, scale in scales.items()
            if layer.startswith(f"{index}.")
        }
        weights = {}
        for layer, scale in own.items():
            read_by = [fold.layers[0] for fold in folds if fold.before == layer]
            outputs_scale = next((own[reader] for reader in read_by if reader in own), None)
            weight = matrices[f"{index}.{layer}"].weight
            weights[layer] = as_unscaled(weight, scale, outputs_scale)
        yield Block(block, calls_of(LM(hybrid, lm.tokenizer), block), FOLDS[name], own, weights)


@torch.no_grad()
def test_every_scale_is_the_authors_by_the_error_of_equation_4(quantized: list[Block]) -> None:
    """Theirs, where several layers share a scale, looks at the output of attention or the MLP."""
    for block in quantized:
        theirs = block.by_equation_4
        assert max(theirs.ratios.values()) > 0
        for name, scale in theirs.scales.items():
            torch.testing.assert_close(block.scales[name], scale, rtol=1e-3, atol=0)


@torch.no_grad()
def test_layers_that_share_their_scale_with_no_other_have_the_very_scales_of_the_authors(
    quantized: list[Block],
) -> None:
    for block in quantized:
        alone = [fold.layers[0] for fold in block.folds if fold.inspected in fold.layers]
        assert alone
        for name in alone:
            theirs = block.by_modules.scales[name]
            torch.testing.assert_close(block.scales[name], theirs, rtol=1e-3, atol=0)


@torch.no_grad()
def test_no_layer_errs_more_than_after_the_authors_scales_and_clipping(
    quantized: list[Block],
) -> None:
    """They err less, as queries and keys are clipped too and outputs may keep full ranges."""
    for block in quantized:
        for name, weight in block.weights.items():
            theirs = block.layer_error(name, block.by_equation_4.weights[name])
            assert block.layer_error(name, weight) <= 1.01 * theirs, name


@torch.no_grad()
def test_no_block_errs_more_than_the_authors_who_choose_by_attentions_and_the_mlps_output(
    quantized: list[Block],
) -> None:
    for block in quantized:
        assert block.error(block.weights) <= 1.01 * block.error(block.by_modules.weights)


@torch.no_grad()
@pytest.mark.parametrize("shrink", [0.95, 0.8, 0.55])
def test_a_narrower_range_is_that_of_the_weights_clamped_as_the_authors_clamp_them(
    shrink: float,
) -> None:
    """At so much of the greatest |w|, on both sides: the nearer end stays until it is reached.

    The weights themselves are rounded unclamped, which is never further from them. In float32,
    as theirs: where both ends are cut off, their zero is a tie between two integers.
    """
    weight = torch.randn(12, 64, generator=torch.Generator().manual_seed(0)) + 0.3
    limit = weight.unflatten(1, (-1, GROUP)).abs().amax(-1, keepdim=True) * shrink
    clamped = weight.unflatten(1, (-1, GROUP)).clamp(-limit, limit).flatten(1)
    expected = authors.pseudo_quantize(clamped, BITS, GROUP)
    ours = fit_grid(weight, BITS, GROUP, symmetric=False, shrink=shrink).nearest(clamped)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_inputs_that_are_always_0_get_the_authors_least_scale() -> None:
    """Mean |x| to the power a, and 1e-4 at least: the power is clamped, not the mean."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(600, 32, generator=generator) * torch.rand(32, generator=generator).mul(4).exp()
    x[:, ::9] = 0
    layer = nn.Linear(32, 8, bias=False)
    layer.weight.copy_(torch.randn(8, 32, generator=generator))
    inputs = Inputs(x.T @ x / len(x), x.abs().mean(0), len(x))
    scale = AWQ(bits=BITS, group=GROUP).search([(layer.weight, inputs)], Feeder(nn.Identity()))
    block = nn.ModuleDict({"norm": nn.Identity(), "fc": layer.double()})
    calls: dict[str, list[Call]] = {"fc": [((x.double(),), {})]}
    theirs = authors.quantize_block(block, calls, [Fold("norm", ("fc",), "fc")], BITS, GROUP)
    assert theirs.ratios["fc"] > 0
    torch.testing.assert_close(scale.double(), theirs.scales["fc"], rtol=1e-3, atol=0)
