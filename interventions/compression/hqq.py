"""HQQ: round to nearest on a grid whose zero is moved so that most weights change little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interventions.base import Intervention
from interventions.compression.quantization import (
    check_group,
    group_size,
    is_quantized,
    round_to_nearest,
)
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.loops import iterations
from interventions.quantization_grid import ROWS, QuantizationGrid
from interventions.search_space import Trial, TuningContext

# of the authors' code, for half precision: a group of a narrower range has steps of 1 (so that its
# values are all one), and no step is finer than 1 / _FINEST
_NARROWEST, _FINEST = 1e-4, 2e4


@dataclass(frozen=True)
class HQQ(Intervention, category="compression"):
    """Round to nearest on grids with real zeros, fitted to the weights alone: no data is read.

    For the weights w of one group (``group`` consecutive inputs of one row), s = (2^bits - 1) /
    (max w - min w) and a start at z = -s min w, half-quadratic splitting of ``||w - q(w)||_p^p``:

        q(w) = (n - z) / s,  n = clamp(round(s w + z), 0, 2^bits - 1)
        e = sign(x) relu(|x| - |x|^(p - 1) / beta),  x = w - q(w)
        z <- mean over the group of n - s (w - e);  beta <- kappa beta

    until the mean ``|x|`` of the layer falls no longer, and ``iterations`` times at most. z is what
    the last update gave, also where that ended the loop; the weights are rounded with it anew. It
    is no integer, so that 0 is on no grid: pruned weights stay 0, as they are, beside the grid's
    values. A layer that lies on a grid of that width already is left as it is.

    Source: Badri and Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models",
    and the authors' code, github.com/mobiusml/hqq: ``Quantizer.quantize`` with axis=1, its bounds
    on s included, and ``optimize_weights_proximal`` as first released (what it is called for now,
    ``optimize_weights_proximal_legacy``, leaves beta as it is: kappa = 1). Departures: float32 on
    every device, scales and zeros too, which are neither quantized nor rounded to half precision;
    and pruned weights, which that code would round to the nearest value.

    Example:
        >>> str(HQQ(bits=4))
        'hqq(bits=4)'
    """

    bits: int = hyperparameter(3, "width of the integers", paper=4, low=2, high=8)
    group: int = hyperparameter(64, "inputs that share a scale; -1: the whole row", low=-1)
    norm: float = hyperparameter(0.7, "p, the power of the error that is kept low", above=0, high=1)
    beta: float = hyperparameter(10.0, "penalty of the splitting at first", above=0, high=1e6)
    kappa: float = hyperparameter(1.01, "what the penalty is multiplied by", low=1, high=10)
    iterations: int = hyperparameter(20, "most updates of the zeros", low=0, high=1000)
    family = "quantization"
    strength = "bits"
    paper_level = 4.0

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the group does not divide a layer's inputs."""
        check_group(model, self.group, self.name)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how coarse a grid, and what its zeros are fitted to."""
        return {
            "bits": trial.suggest_int("bits", 2, 8),
            "norm": trial.suggest_float("norm", 0.4, 1.0),
            "beta": tuning_context.around(trial, cls, "beta", 10, 10),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Round in place."""
        round_to_nearest(lm, self.bits, self.group, self.fitted)
        return lm

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still lies on a grid of that width, measured."""
        return is_quantized(lm, self.bits, self.group)

    def fitted(self, weight: Tensor) -> QuantizationGrid:
        """Return a grid with real zeros for the weights (out, in), which are not changed.

        Example:
            >>> grid = HQQ(bits=2, group=-1).fitted(torch.tensor([[0.1, 0.4, 0.7, 1.0]]))
            >>> grid.nearest(torch.tensor([[0.1, 0.4, 0.7, 1.0]]))
            tensor([[0.1000, 0.4000, 0.7000, 1.0000]])
        """
        size = group_size(self.group, weight.shape[1])
        grouped = weight.unflatten(1, (-1, size))  # (out, in / group, group)
        low, high = grouped.amin(-1).float(), grouped.amax(-1).float()
        # as in the authors' code the scale that is worked with is 1 / the grid's
        scale = (2**self.bits - 1) / (high - low)
        scale = scale.masked_fill(high - low <= _NARROWEST, 1.0).clamp(max=_FINEST)
        zero, beta, least = -low * scale, self.beta, torch.tensor(math.inf)
        for _ in iterations(range(self.iterations)):
            zero, error = self._updated(grouped, scale, zero, beta)
            beta *= self.kappa
            if bool(error >= least):
                break
            least = error
        return QuantizationGrid(self.bits, size, 1 / scale, zero, real_zero=True)

    def _updated(
        self, grouped: Tensor, scale: Tensor, zero: Tensor, beta: float
    ) -> tuple[Tensor, Tensor]:
        """Return the next zeros, and the mean error of the layer with these.

        Args:
            grouped: weights (out, in / group, group).
            scale: (out, in / group), the inverse of the grid's.
            zero: likewise.
            beta: the penalty.
        """
        zeros, errors = [], []
        for start in range(0, len(grouped), ROWS):
            rows = slice(start, start + ROWS)
            w, s, z = grouped[rows].float(), scale[rows, :, None], zero[rows, :, None]
            integers = (w * s + z).round_().clamp_(0, 2**self.bits - 1)
            change = w - (integers - z) / s
            errors.append(change.abs().sum(dtype=torch.float64))
            outliers = _shrunk(change, beta, self.norm)
            zeros.append((integers - (w - outliers) * s).mean(-1))
        return torch.cat(zeros), torch.stack(errors).sum() / grouped.numel()


def _shrunk(change: Tensor, beta: float, norm: float) -> Tensor:
    """Return the part of the changes that is taken for an outlier's, not for rounding.

    Example:
        >>> _shrunk(torch.tensor([0.0, 0.25, -1.0]), 10.0, 0.5)
        tensor([ 0.0000,  0.0500, -0.9000])
    """
    size = change.abs()
    return (size - size.pow(norm - 1) / beta).clamp_(min=0).mul_(change.sign())
