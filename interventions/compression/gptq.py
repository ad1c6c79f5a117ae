"""GPTQ: quantization that makes up for every rounding in the weights not yet rounded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.anatomy import linears
from interventions.base import Intervention
from interventions.compression import obs
from interventions.compression.backends import gptqmodel, llmcompressor
from interventions.compression.backends.installed import require
from interventions.compression.calibration import (
    Inputs,
    by_inputs,
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
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class GPTQ(Intervention, category="compression"):
    """Round column after column to a grid; the columns not yet rounded absorb the error.

    With H = X'X / tokens + damp * mean(diag) * I over calibration inputs X (tokens, in), and U the
    upper Cholesky factor of its inverse, U'U = H^-1, for each column (input) j in order:

        q_j = nearest(w_j)                                    (the grid of j's group)
        w_k -= (w_j - q_j) / U_jj * U_jk  for k > j           (obs.sweep_columns)

    Departures from algorithm 1, all of them options of the authors' code or needed for
    compositions: grids are fitted before the sweep ("static groups"), so that a group is still so
    many consecutive inputs when ``act_order`` settles the inputs of greatest activation first; and
    zeros of a pruned model stay zeros, whose error is made up for like a rounding error.

    Source: Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative
    Pre-trained Transformers", equations 2 and 3 and algorithm 1.

    Example:
        >>> str(GPTQ(bits=4, group=64))
        'gptq(bits=4, group=64)'
    """

    bits: int = hyperparameter(3, "width of the integers", paper=4, low=2, high=8)
    group: int = hyperparameter(128, "inputs that share a scale; -1: the whole row", low=-1)
    symmetric: bool = hyperparameter(False, "whether the grid is symmetric about 0", paper=True)
    act_order: bool = hyperparameter(True, "round the inputs of greatest activation first")
    keep_zeros: bool = hyperparameter(True, "whether zero weights stay zero")
    damp: float = hyperparameter(0.01, "share of the Hessian's mean diagonal added to it", above=0)
    samples: int = hyperparameter(128, "calibration texts", low=1)
    backend: Literal["own", "gptqmodel", "llmcompressor"] = hyperparameter(
        "own", "whose code quantizes"
    )
    family = "quantization"
    strength = "bits"
    paper_level = 4.0
    reads = frozenset({"calibration"})

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the group does not divide a layer, or the backend is missing."""
        check_group(model, self.group, self.name)
        if self.backend != "own":
            require(self.backend)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how coarse a grid, of which kind, in which order, and the Hessian's damping."""
        return {
            "bits": trial.suggest_int("bits", 2, 8),
            "symmetric": trial.suggest_categorical("symmetric", (False, True)),
            "act_order": trial.suggest_categorical("act_order", (False, True)),
            "damp": tuning_context.around(trial, cls, "damp", 10, 10),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Quantize in place; layers that share their inputs are swept together."""
        texts = data.calibration[: self.samples]
        if self.backend != "own":
            return self._apply_backend(lm, list(texts))
        for block, observe in calibrated_blocks(lm, texts):
            pending = layers_to_quantize(lm, block, self.bits, self.group)
            if pending:
                quantize_layers = functools.partial(
                    self._quantize_layers, lm, dict(linears(block)), pending
                )
                by_inputs(input_statistics(observe), quantize_layers)
        return lm

    def _quantize_layers(
        self,
        lm: LM,
        block_layers: dict[str, nn.Linear],
        pending: dict[str, str],
        names: list[str],
        inputs: Inputs,
    ) -> None:
        names = [name for name in names if name in pending]
        if not names:
            return
        quantized = self.quantize([block_layers[name].weight for name in names], inputs.gram)
        for name, (grid, weight) in zip(names, quantized, strict=True):
            lm.quantize(pending[name], block_layers[name].weight, grid, weight)

    def quantize(
        self, weights: list[Tensor], gram: Tensor
    ) -> list[tuple[QuantizationGrid, Tensor]]:
        """Return (grid, weights (out, in) on it) of each of the layers that share their inputs.

        Args:
            weights: (out, in) each; not changed.
            gram: the Hessian (in, in) of the inputs, up to a factor, not damped yet.
        """
        grids = [fit_grid(weight, self.bits, self.group, self.symmetric) for weight in weights]
        # stable: inputs of equal activation keep their order on every machine
        order = gram.diagonal().argsort(descending=True, stable=True) if self.act_order else None
        settle = self._settle(grids, weights, gram.diagonal() == 0)
        return list(
            zip(grids, obs.sweep_columns(weights, gram, settle, self.damp, order), strict=True)
        )

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still lies on a grid of that width, measured."""
        return is_quantized(lm, self.bits, self.group)

    def _settle(
        self, grids: list[QuantizationGrid], weights: list[Tensor], unseen: Tensor
    ) -> obs.Settle:
        scales = torch.cat([grid.scale.T for grid in grids], dim=1)  # (in / group, out)
        zeros = torch.cat([grid.zero.T for grid in grids], dim=1)
        group, top = grids[0].group, 2 ** grids[0].bits - 1
        pruned: Tensor | None = None
        if self.keep_zeros and any(bool((weight == 0).any()) for weight in weights):
            pruned = torch.cat([(weight == 0).T for weight in weights], dim=1)  # (in, out)

        def begin(
            block: Tensor, columns: Tensor, pivots: Tensor
        ) -> Callable[[int, Tensor], Tensor]:
            groups = (columns // group).tolist()
            scale, zero = scales[groups], zeros[groups]  # (columns, out)
            pruned_here = None if pruned is None else pruned[columns]
            # weights of an input that is always 0: 0 is as good as any value, and on every grid
            block[unseen[columns]] = 0

            def fix(j: int, column: Tensor) -> Tensor:
                integers = (column / scale[j]).round_().add_(zero[j]).clamp_(0, top)
                values = integers.sub_(zero[j]).mul_(scale[j])
                return values if pruned_here is None else values.masked_fill_(pruned_here[j], 0)

            return fix

        return begin

    def _apply_backend(self, lm: LM, texts: list[str]) -> LM:
        settings: dict[str, Any] = {
            "bits": self.bits,
            "group": self.group,
            "symmetric": self.symmetric,
            "act_order": self.act_order,
            "damp": self.damp,
        }
        if self.backend == "gptqmodel":
            return gptqmodel.gptq(lm, texts, **settings)
        return llmcompressor.compress(lm, texts, method="gptq", **settings)
