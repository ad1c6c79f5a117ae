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
from interventions.compression import backends, obs
from interventions.compression.calibration import (
    Inputs,
    by_inputs,
    calibrated_blocks,
    input_statistics,
)
from interventions.compression.quantization import check_group, fit, is_quantized, pending
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM, QuantizationGrid
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class GPTQ(Intervention, category="compression"):
    """Round column after column to the grid; the columns not yet rounded absorb the error (obs.sweep).

    q_j = nearest(w_j);  w_k -= (w_j - q_j) / U_jj * U_jk  for the k after j, with U'U the inverse damped Hessian.
    Grids are fitted before the sweep ("static groups"), so that with activation order a group is still so many
    consecutive inputs. Zeros of a pruned model stay zeros: their error is made up for like a rounding error.

    Source: Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
    algorithm 1; activation order and static groups are its authors' later options.
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
    strength = "bits"
    reads = frozenset({"calibration"})

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the group does not divide a layer's inputs, or the backend is not installed."""
        check_group(model, self.group, self.name)
        if self.backend != "own":
            backends.require(self.backend)

    @classmethod
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """How coarse, on which kind of grid, in which order, and how the Hessian is damped."""
        return {
            "bits": trial.suggest_int("bits", 2, 8),
            "symmetric": trial.suggest_categorical("symmetric", (False, True)),
            "act_order": trial.suggest_categorical("act_order", (False, True)),
            "damp": room.around(trial, cls, "damp", 10, 10),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Quantize in place; layers that share their inputs are swept together."""
        texts = data.calibration[: self.samples]
        if self.backend != "own":
            return self._by_peer(lm, list(texts))
        for block, observe in calibrated_blocks(lm, texts):
            left = pending(lm, block, self.bits, self.group)
            if left:
                by_inputs(
                    input_statistics(observe),
                    functools.partial(self._quantize, lm, dict(linears(block)), left),
                )
        return lm

    def _quantize(
        self,
        lm: LM,
        inside: dict[str, nn.Linear],
        left: dict[str, str],
        names: list[str],
        inputs: Inputs,
    ) -> None:
        some = [name for name in names if name in left]
        quantized = (
            self.quantize([inside[name].weight for name in some], inputs.gram) if some else ()
        )
        for name, (grid, weight) in zip(some, quantized, strict=True):
            lm.quantize(left[name], inside[name].weight, grid, weight)

    def quantize(
        self, weights: list[Tensor], gram: Tensor
    ) -> list[tuple[QuantizationGrid, Tensor]]:
        """(grid, weights (out, in) on it) of layers that share the inputs whose Hessian is ``gram`` (in, in)."""
        grids = [fit(weight, self.bits, self.group, self.symmetric) for weight in weights]
        order = gram.diagonal().argsort(descending=True, stable=True) if self.act_order else None
        settle = self._settle(grids, weights, gram.diagonal() == 0)
        return list(zip(grids, obs.sweep(weights, gram, settle, self.damp, order), strict=True))

    def holds(self, lm: LM) -> bool:
        """Whether every layer still lies on a grid of that width, measured."""
        return is_quantized(lm, self.bits, self.group)

    def _settle(
        self, grids: list[QuantizationGrid], weights: list[Tensor], unseen: Tensor
    ) -> obs.Settle:
        scales, zeros = (
            torch.cat([getattr(g, name).T for g in grids], dim=1) for name in ("scale", "zero")
        )
        group, top = grids[0].group, 2 ** grids[0].bits - 1
        keeps = self.keep_zeros and any(bool((weight == 0).any()) for weight in weights)
        pruned = (
            torch.cat([(weight == 0).T for weight in weights], dim=1) if keeps else None
        )  # (in, out)

        def begin(
            block: Tensor, columns: Tensor, pivots: Tensor
        ) -> Callable[[int, Tensor], Tensor]:
            groups = (columns // group).tolist()
            scale, zero = scales[groups], zeros[groups]  # (columns, out)
            masked = None if pruned is None else pruned[columns]
            block[unseen[columns]] = 0  # as good as any value, and on every grid

            def fix(j: int, column: Tensor) -> Tensor:
                integers = (column / scale[j]).round_().add_(zero[j]).clamp_(0, top)
                values = integers.sub_(zero[j]).mul_(scale[j])
                return values if masked is None else values.masked_fill_(masked[j], 0)

            return fix

        return begin

    def _by_peer(self, lm: LM, texts: list[str]) -> LM:
        if self.backend == "gptqmodel":
            return backends.gptqmodel(
                lm,
                texts,
                bits=self.bits,
                group=self.group,
                symmetric=self.symmetric,
                act_order=self.act_order,
                damp=self.damp,
            )
        same: dict[str, Any] = {"bits": self.bits, "group": self.group, "symmetric": self.symmetric}
        return backends.llmcompressor(
            lm, texts, method="gptq", act_order=self.act_order, damp=self.damp, **same
        )
