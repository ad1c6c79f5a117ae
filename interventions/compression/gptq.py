"""GPTQ: quantization that makes up for every rounding in the weights not yet rounded."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor
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
    WHOLE_ROW,
    check_group,
    is_quantized,
    layers_to_quantize,
)
from interventions.compression.sequential import stage_statistics
from interventions.compression.swept_grids import SweptGrids
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.hyperparameters import MOST_TEXTS, hyperparameter
from interventions.lm import LM
from interventions.one_by_one import check_one_by_one
from interventions.quantization_grid import QuantizationGrid
from interventions.search_space import Trial, TuningContext
from interventions.weight_matrix import WeightMatrix


@dataclass(frozen=True)
class GPTQ(Intervention, category="compression", version=2):
    """Round column after column to a grid; the columns not yet rounded absorb the error.

    With H = X'X / tokens + damp * mean(diag) * I over calibration inputs X (tokens, in), and U the
    upper Cholesky factor of its inverse, U'U = H^-1, for each column (input) j in order:

        q_j = nearest(w_j)                                    (the grid of j's group)
        w_k -= (w_j - q_j) / U_jj * U_jk  for k > j           (obs.sweep_columns)

    A group's grid is fitted when the sweep reaches its first input, to the weights as the errors of
    the blocks of 128 columns before have left them (section 4, "Additional Tricks"). With
    ``act_order`` a group is then of inputs that follow each other in that order, and its grid keeps
    the group of each input. With ``static_groups`` all grids are fitted before the sweep, to so
    many consecutive inputs each. With ``true_sequential`` the layers of a block are quantized in
    the order in which they are computed (q, k, v; o; gate, up; down), each on the inputs that the
    quantized ones before it lead to; without, all on those of the unquantized block.

    Departure from the authors' code: zeros of a pruned model stay zeros, whose error is made up for
    like a rounding error.

    Source: Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative
    Pre-trained Transformers", equations 2 and 3, algorithm 1; the orders and groups are those of
    the authors' code, github.com/IST-DASLab/gptq.

    Example:
        >>> str(GPTQ(bits=4, group=64))
        'gptq(bits=4, group=64)'
    """

    bits: int = hyperparameter(3, "width of the integers", paper=4, low=2, high=8)
    group: int = hyperparameter(128, "inputs that share a scale; -1: the whole row", low=-1)
    symmetric: bool = hyperparameter(False, "whether the grid is symmetric about 0", paper=True)
    act_order: bool = hyperparameter(True, "round the inputs of greatest activation first")
    static_groups: bool = hyperparameter(False, "fit grids to consecutive inputs, before rounding")
    true_sequential: bool = hyperparameter(True, "quantize layers in the order of computation")
    keep_zeros: bool = hyperparameter(True, "whether zero weights stay zero")
    damp: float = hyperparameter(
        0.01, "share of the Hessian's mean diagonal added to it", above=0, high=1e6
    )
    samples: int = hyperparameter(128, "calibration texts", low=1, high=MOST_TEXTS)
    backend: Literal["own", "gptqmodel", "llmcompressor"] = hyperparameter(
        "own", "whose code quantizes"
    )
    family = "quantization"
    strength = "bits"
    paper_level = 4.0
    reads = frozenset({"calibration"})
    texts: ClassVar[Mapping[str, str]] = {"samples": "calibration"}
    earlier: ClassVar[Mapping[int, Mapping[str, Any]]] = {
        1: {"static_groups": True, "true_sequential": False}
    }

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        super().__post_init__()
        if self.backend == "llmcompressor" and (self.true_sequential or not self.static_groups):
            raise InvalidInput(
                "gptq.backend='llmcompressor' has neither dynamic groups nor the true sequential"
                " order: write gptq(backend='llmcompressor', static_groups=True,"
                " true_sequential=False)"
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
            if not pending:
                continue
            quantize_layers = functools.partial(
                self._quantize_layers, lm, dict(linears(block)), pending
            )
            if self.true_sequential:
                for statistics in stage_statistics(observe, pending):
                    by_inputs(statistics, quantize_layers)
            else:
                by_inputs(input_statistics(observe), quantize_layers)
        return lm

    def _quantize_layers(
        self,
        lm: LM,
        block_layers: dict[str, WeightMatrix],
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
        # stable: inputs of equal activation keep their order on every machine
        order = gram.diagonal().argsort(descending=True, stable=True) if self.act_order else None
        grids = SweptGrids.of(
            weights,
            order,
            bits=self.bits,
            group=self.group,
            symmetric=self.symmetric,
            static_groups=self.static_groups,
            keep_zeros=self.keep_zeros,
        )
        # weights of an input that is always 0: 0 is as good as any value, and on every grid
        unseen = gram.diagonal() == 0
        if bool(unseen.any()):
            weights = [weight.masked_fill(unseen, 0) for weight in weights]
        if self.static_groups and self.group != WHOLE_ROW:
            grids.fit_all(weights)
        quantized = obs.sweep_columns(weights, gram, grids.begin, self.damp, order)
        rows = [len(weight) for weight in weights]
        return list(zip(grids.by_layer(rows), quantized, strict=True))

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still lies on a grid of that width, measured."""
        return is_quantized(lm, self.bits, self.group)

    def _apply_backend(self, lm: LM, texts: list[str]) -> LM:
        settings: dict[str, Any] = {
            "bits": self.bits,
            "group": self.group,
            "symmetric": self.symmetric,
            "act_order": self.act_order,
            "damp": self.damp,
        }
        if self.backend == "gptqmodel":
            settings |= {
                "static_groups": self.static_groups,
                "true_sequential": self.true_sequential,
            }
            return gptqmodel.gptq(lm, texts, **settings)
        return llmcompressor.compress(lm, texts, method="gptq", **settings)
