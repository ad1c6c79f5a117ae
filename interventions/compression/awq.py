"""AWQ: scale up the inputs that matter before rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import Feeders, feeders, gate_partner, linears, scale_output
from interventions.base import Intervention
from interventions.compression import backends
from interventions.compression.calibration import (
    Inputs,
    Observe,
    calibrated_blocks,
    input_statistics,
)
from interventions.compression.quantization import check_group, fit, is_quantized, pending
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM, ROWS, QuantizationGrid
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class AWQ(Intervention, category="compression"):
    """Round to nearest after scaling each input by how large its activations are.

    minimize over s = magnitude(x)^a, a in [0, 1]:  || Q(W diag(s)) diag(s)^-1 X - W X ||^2
    One s is shared by the layers that share their inputs and is folded into the norm (or, for a gated MLP's down
    projection, into the up projection) before them, so the weights themselves lie on the grid. Layers with nothing
    to fold into keep s = 1. Then every group's range is shrunk as far as that lowers the same error.

    Source: Lin et al. 2024, "AWQ: Activation-aware Weight Quantization", equations 4 and 5, and its authors' clipping.
    """

    bits: int = hyperparameter(3, "width of the integers", paper=4, low=2, high=8)
    group: int = hyperparameter(128, "inputs that share a scale; -1: the whole row", low=-1)
    symmetric: bool = hyperparameter(False, "whether the grid is symmetric about 0")
    exponents: int = hyperparameter(20, "values of a that are tried", low=1)
    clip: bool = hyperparameter(True, "whether to search for narrower ranges")
    samples: int = hyperparameter(128, "calibration texts", low=1)
    backend: Literal["own", "autoawq", "llmcompressor"] = hyperparameter(
        "own", "whose code quantizes"
    )
    strength = "bits"
    reads = frozenset({"calibration"})
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
        """Raise InvalidInput if the group does not divide a layer's inputs, or the backend is not installed."""
        check_group(model, self.group, self.name)
        if self.backend != "own":
            backends.require(self.backend)

    @classmethod
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """How coarse, on which kind of grid, and whether ranges are narrowed."""
        return {
            "bits": trial.suggest_int("bits", 2, 8),
            "symmetric": trial.suggest_categorical("symmetric", (False, True)),
            "clip": trial.suggest_categorical("clip", (False, True)),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Quantize in place."""
        texts = data.calibration[: self.samples]
        if self.backend == "autoawq":
            return backends.autoawq(lm, list(texts), bits=self.bits, group=self.group)
        if self.backend == "llmcompressor":
            same = {"bits": self.bits, "group": self.group, "symmetric": self.symmetric}
            return backends.llmcompressor(lm, list(texts), method="awq", **same)
        for block, observe in calibrated_blocks(lm, texts):
            left = pending(lm, block, self.bits, self.group)
            if left:
                self._quantize(lm, block, left, observe)
        return lm

    def holds(self, lm: LM) -> bool:
        """Whether every layer still lies on a grid of that width, measured."""
        return is_quantized(lm, self.bits, self.group)

    def _quantize(self, lm: LM, block: nn.Module, left: dict[str, str], observe: Observe) -> None:
        with feeders(block) as before:
            statistics = input_statistics(observe)
        inside = dict(linears(block))
        for feeder, names in _scalable(block, before, left):
            inputs = statistics[names[0]]
            scale = self.search([inside[name].weight for name in names], inputs)
            for name in names:
                inside[name].weight.mul_(scale)
            scale_output(feeder, 1 / scale)
            inputs.gram.div_(scale).div_(scale[:, None])  # of the inputs as they are from now on
        for name, full in left.items():
            weight = inside[name].weight
            lm.quantize(full, weight, self.fitted(weight, statistics[name]), weight)

    def search(self, weights: list[Tensor], inputs: Inputs) -> Tensor:
        """The scale (in) with the lowest error of the layers' outputs; 1 (plain rounding) is always tried."""
        least, best = torch.inf, torch.ones_like(inputs.magnitude)
        for i in range(self.exponents):
            scale = inputs.magnitude.clamp(min=1e-4) ** (i / self.exponents)
            scale /= (scale.max() * scale.min()).sqrt()
            error = 0.0
            for weight in weights:
                for rows in weight.split(ROWS):
                    scaled = rows.float() * scale
                    rounded = fit(scaled, self.bits, self.group, self.symmetric).nearest(scaled)
                    error += inputs.error(rounded.sub_(scaled).div_(scale))
            if error < least:
                least, best = error, scale
        return best.to(weights[0].dtype)

    def fitted(self, weight: Tensor, inputs: Inputs) -> QuantizationGrid:
        """The grid of the weights (out, in), with each group's range shrunk where that lowers the output's error."""
        full = fit(weight, self.bits, self.group, self.symmetric)
        if not self.clip:
            return full
        parts = [self._clipped(rows, inputs) for rows in weight.split(ROWS)]
        scale, zero = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("scale", "zero")
        )
        clipped = QuantizationGrid(full.bits, full.group, scale, zero)
        # the search looked at each group by itself: take it only if the groups together agree
        errors = [_error(grid, weight, inputs) for grid in (clipped, full)]
        return clipped if errors[0] < errors[1] else full

    def _clipped(self, weight: Tensor, inputs: Inputs) -> QuantizationGrid:
        best = fit(weight, self.bits, self.group, self.symmetric)
        size = best.group
        diagonal_blocks = torch.stack(  # (in / group, group, group)
            [inputs.gram[i : i + size, i : i + size] for i in range(0, weight.shape[1], size)]
        )
        least = torch.full_like(best.scale, torch.inf)
        scale, zero = best.scale, best.zero
        for i in range(_SHRINKS):
            grid = fit(weight, self.bits, self.group, self.symmetric, 1 - i / _SHRINKS / 2)
            change = (grid.nearest(weight).float() - weight.float()).unflatten(
                1, (-1, size)
            )  # (out, groups, group)
            error = torch.einsum("ogi,gij,ogj->og", change, diagonal_blocks, change)
            better = error < least
            least, scale, zero = (
                torch.where(better, new, old)
                for new, old in ((error, least), (grid.scale, scale), (grid.zero, zero))
            )
        return QuantizationGrid(self.bits, size, scale, zero)


def _error(grid: QuantizationGrid, weight: Tensor, inputs: Inputs) -> float:
    """Of the layer's outputs, if its weights (out, in) are rounded to the grid."""
    error = 0.0
    for some in range(0, len(weight), ROWS):
        rows = slice(some, some + ROWS)
        error += inputs.error(grid.rows(rows).nearest(weight[rows]).float() - weight[rows].float())
    return error


_SHRINKS = 10  # ranges tried, from the full one down to just over half of it


def _scalable(
    block: nn.Module, before: Feeders, left: dict[str, str]
) -> list[tuple[nn.Module, list[str]]]:
    """(what to fold into, the layers after it), first to last, where all of these are still to be quantized."""
    inside = dict(linears(block))
    found: list[tuple[nn.Module, list[str]]] = []
    pair = gate_partner(block)
    # before the norms: this one changes the up projection's outputs, that one its inputs
    if pair and pair[0] in left and pair[1] in left:
        found.append((inside[pair[0]], [pair[1]]))
    for norm in dict.fromkeys(before.norms.values()):
        fed = [name for name, own in before.norms.items() if own is norm]
        if all(name in left for name in fed):
            found.append((norm, fed))
    return [(feeder, names) for feeder, names in found if before.scales(feeder, names)]
