"""AWQ: scale up the inputs that matter before rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import linears, text_config
from interventions.base import Intervention
from interventions.compression.backends import autoawq, llmcompressor
from interventions.compression.backends.installed import require
from interventions.compression.calibration import (
    Inputs,
    Observe,
    calibrated_blocks,
    input_statistics,
)
from interventions.compression.quantization import (
    check_group,
    fit_grid,
    is_quantized,
    layers_to_quantize,
)
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.feeders import BlockReaders, Feeder, feeders, matrix_feeders
from interventions.hyperparameters import MOST_TEXTS, hyperparameter
from interventions.lm import LM
from interventions.loops import iterations
from interventions.one_by_one import check_one_by_one
from interventions.quantization_grid import ROWS, QuantizationGrid
from interventions.search_space import Trial, TuningContext
from interventions.step_metrics import record_metric

_SHRINKS = 10  # ranges tried, from the full one down to just over half of it


@dataclass(frozen=True)
class AWQ(Intervention, category="compression", version=3):
    """Round to nearest after scaling each input by how large its activations are.

    For layers W (out, in) that share their calibration inputs X, and Q rounding to nearest:

        minimize over s:  || Q(W diag(s)) diag(s)^-1 X - W X ||^2                   (equation 4)
        s = mean|X|^a,  a in [0, 1)                                                 (equation 5)

    ``exponents`` values of a are tried; a = 0 is plain rounding. diag(s)^-1 is folded into what
    comes before the layers: the norm (also one that multiplies by 1 + weight); for an MLP's down
    projection the up projection, or fc1 where the activation is a ReLU; for attention's output
    projection the values. So the weights themselves lie on the grid, and layers with nothing to
    fold into keep s = 1; the metric ``awq/scaled`` is the share of layers that were scaled. With
    ``clip`` every group's range is then shrunk as far as that lowers the same error.

    Source: Lin et al. 2024, "AWQ: Activation-aware Weight Quantization", equations 4 and 5; the
    clipping is that of its authors' code, github.com/mit-han-lab/llm-awq. Departures from that
    code: layers that share a scale are judged by their own errors, as equation 4 says, not by the
    output of attention or the MLP; an output takes its narrower ranges only where these together
    lower its error; queries and keys are clipped too; blocks read what the quantized ones before
    them give; values that several query heads read are scaled, by a mean over these.

    Example:
        >>> str(AWQ(bits=4, group=64))
        'awq(bits=4, group=64)'
    """

    bits: int = hyperparameter(3, "width of the integers", paper=4, low=2, high=8)
    group: int = hyperparameter(128, "inputs that share a scale; -1: the whole row", low=-1)
    symmetric: bool = hyperparameter(False, "whether the grid is symmetric about 0")
    exponents: int = hyperparameter(20, "values of a that are tried", low=1, high=1000)
    clip: bool = hyperparameter(True, "whether to search for narrower ranges")
    samples: int = hyperparameter(128, "calibration texts", low=1, high=MOST_TEXTS)
    backend: Literal["own", "autoawq", "llmcompressor"] = hyperparameter(
        "own", "whose code quantizes"
    )
    family = "quantization"
    strength = "bits"
    paper_level = 4.0
    reads = frozenset({"calibration"})
    texts: ClassVar[Mapping[str, str]] = {"samples": "calibration"}
    recompressed_in_paper = False

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        super().__post_init__()
        if self.backend == "autoawq" and (self.bits != 4 or self.symmetric):
            raise InvalidInput(
                f"awq.backend='autoawq' works at 4 bits with a zero point only, but got"
                f" bits={self.bits}, symmetric={self.symmetric}; use backend='own'"
            )

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the group does not divide a layer, or the backend is missing.

        Own code runs the model's blocks one by one: it is raised too if they cannot be.
        """
        check_group(model, self.group, self.name)
        if self.backend != "own":
            require(self.backend, model)
        else:
            check_one_by_one(model)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how coarse a grid, of which kind, and whether ranges are narrowed."""
        return {
            "bits": trial.suggest_int("bits", 2, 8),
            "symmetric": trial.suggest_categorical("symmetric", (False, True)),
            "clip": trial.suggest_categorical("clip", (False, True)),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Quantize in place."""
        texts = data.calibration[: self.samples]
        if self.backend == "autoawq":
            return autoawq.awq(lm, list(texts), bits=self.bits, group=self.group)
        if self.backend == "llmcompressor":
            settings = {"bits": self.bits, "group": self.group, "symmetric": self.symmetric}
            return llmcompressor.compress(lm, list(texts), method="awq", **settings)
        scaled = quantized = 0
        for block, observe in calibrated_blocks(lm, texts):
            pending = layers_to_quantize(lm, block, self.bits, self.group)
            if pending:
                scaled += self._quantize_block(lm, block, pending, observe)
                quantized += len(pending)
        if quantized:
            record_metric("awq/scaled", scaled / quantized)
        return lm

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still lies on a grid of that width, measured."""
        return is_quantized(lm, self.bits, self.group)

    def _quantize_block(
        self, lm: LM, block: nn.Module, pending: dict[str, str], observe: Observe
    ) -> int:
        """Quantize one block; return how many of its matrices were scaled before."""
        with feeders(block) as readers:
            statistics = input_statistics(observe)
        block_layers = dict(linears(block))
        heads = text_config(lm.model).num_attention_heads
        scaled = 0
        for feeder, names in _foldable(block, readers, pending, heads):
            fed = [(block_layers[name].weight, statistics[name]) for name in names]
            scale = self.search(fed, feeder)
            for weight in readers.weights(feeder, names):
                weight.mul_(scale)
            feeder.scale(1 / scale)
            # the layers' inputs are smaller by the scale from now on
            for inputs in {id(inputs): inputs for _, inputs in fed}.values():
                inputs.gram.div_(scale).div_(scale[:, None])
            scaled += len(names) if bool((scale != 1).any()) else 0
        for name, full_name in pending.items():
            weight = block_layers[name].weight
            lm.quantize(full_name, weight, self.fitted(weight, statistics[name]), weight)
        return scaled

    def search(self, fed: Sequence[tuple[Tensor, Inputs]], feeder: Feeder) -> Tensor:
        """Return the scale s (in) with the lowest error of the layers' outputs, by equation 5.

        Args:
            fed: the layers' weights (out, in), not changed, each with the statistics of its inputs.
            feeder: what gives them the inputs.
        """
        weights = [weight for weight, _ in fed]
        magnitude = feeder.shared(_mean_magnitude([inputs for _, inputs in fed]))
        least, best = torch.inf, torch.ones_like(magnitude)
        for i in iterations(range(self.exponents)):
            # clamped, as inputs that are always 0 have no magnitude
            scale = (magnitude ** (i / self.exponents)).clamp(min=1e-4)
            # only ratios matter; centred, they stay within the range of half precision
            scale /= (scale.max() * scale.min()).sqrt()
            error = sum(
                inputs.weight * self._rounding_error(rows, inputs, scale)
                for weight, inputs in fed
                for rows in weight.split(ROWS)
            )
            if error < least:
                least, best = error, scale
        return best.to(weights[0].dtype)

    def _rounding_error(self, weight: Tensor, inputs: Inputs, scale: Tensor) -> float:
        """Return the outputs' mean squared error if weights (out, in) are rounded times a scale."""
        scaled = weight.float() * scale
        grid = fit_grid(scaled, self.bits, self.group, self.symmetric)
        return inputs.error(grid.nearest(scaled).sub_(scaled).div_(scale))

    def fitted(self, weight: Tensor, inputs: Inputs) -> QuantizationGrid:
        """Return a grid for the weights (out, in), narrowed where that lowers the output's error.

        Args:
            weight: (out, in), scaled already; not changed.
            inputs: statistics of the inputs, scaled down already.
        """
        full = fit_grid(weight, self.bits, self.group, self.symmetric)
        if not self.clip:
            return full
        parts = [self._clipped(rows, inputs) for rows in weight.split(ROWS)]
        scale = torch.cat([part.scale for part in parts])
        zero = torch.cat([part.zero for part in parts])
        clipped = QuantizationGrid(full.bits, full.group, scale, zero)
        # the search looked at each group by itself: an output takes its ranges only if they agree
        better = _row_errors(clipped, weight, inputs) < _row_errors(full, weight, inputs)
        return QuantizationGrid(
            full.bits,
            full.group,
            torch.where(better[:, None], clipped.scale, full.scale),
            torch.where(better[:, None], clipped.zero, full.zero),
        )

    def _clipped(self, weight: Tensor, inputs: Inputs) -> QuantizationGrid:
        """Return the grid whose groups have each the range of least error by itself."""
        best = fit_grid(weight, self.bits, self.group, self.symmetric)
        size = best.group
        diagonal_blocks = torch.stack(  # (in / group, group, group)
            [inputs.gram[i : i + size, i : i + size] for i in range(0, weight.shape[1], size)]
        )
        least = torch.full_like(best.scale, torch.inf)
        scale, zero = best.scale, best.zero
        for i in iterations(range(_SHRINKS)):
            shrink = 1 - i / _SHRINKS / 2
            grid = fit_grid(weight, self.bits, self.group, self.symmetric, shrink)
            change = grid.nearest(weight).float() - weight.float()
            change = change.unflatten(1, (-1, size))  # (out, in / group, group)
            error = torch.einsum("ogi,gij,ogj->og", change, diagonal_blocks, change)
            better = error < least
            least = torch.where(better, error, least)
            scale = torch.where(better, grid.scale, scale)
            zero = torch.where(better, grid.zero, zero)
        return QuantizationGrid(self.bits, size, scale, zero)


def _row_errors(grid: QuantizationGrid, weight: Tensor, inputs: Inputs) -> Tensor:
    """Return each output's mean squared error (out) if weights (out, in) are rounded to a grid."""
    errors = []
    for start in range(0, len(weight), ROWS):
        rows = slice(start, start + ROWS)
        change = grid.rows(rows).nearest(weight[rows]).float() - weight[rows].float()
        errors.append(((change @ inputs.gram) * change).sum(1))
    return torch.cat(errors)


def _mean_magnitude(statistics: Sequence[Inputs]) -> Tensor:
    """Return the mean of ``|x|`` (in) over all tokens: of experts, over those of each."""
    distinct = list({id(inputs): inputs for inputs in statistics}.values())
    tokens = [float(inputs.tokens) for inputs in distinct]
    if not sum(tokens):
        return distinct[0].magnitude
    weighted = [count * inputs.magnitude for count, inputs in zip(tokens, distinct, strict=True)]
    return torch.stack(weighted).sum(0) / sum(tokens)


def _foldable(
    block: nn.Module, readers: BlockReaders, pending: dict[str, str], heads: int
) -> list[tuple[Feeder, list[str]]]:
    """Return (feeder to fold into, names of the layers after it) where all of these are pending."""
    folds: list[tuple[Feeder, list[str]]] = []
    # norms first: a scale that moves into a matrix changes its outputs, and a layer's error is to
    # be measured on the outputs that it had
    for norm in dict.fromkeys(readers.norms.values()):
        fed = [name for name, feeding_norm in readers.norms.items() if feeding_norm is norm]
        if all(name in pending for name in fed):
            candidates = [Feeder(norm), Feeder(norm, added_one=True)]
            folds += _first_that_scales(readers, candidates, fed)
    for candidates, before, name in matrix_feeders(block, heads):
        if pending.keys() >= {name, *before}:
            folds += _first_that_scales(readers, candidates, [name])
    return folds


def _first_that_scales(
    readers: BlockReaders, candidates: Sequence[Feeder], names: list[str]
) -> list[tuple[Feeder, list[str]]]:
    return next(([(feeder, names)] for feeder in candidates if readers.scales(feeder, names)), [])
