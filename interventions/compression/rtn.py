"""Round to nearest: the baseline of GPTQ and AWQ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from interventions.anatomy import blocks, linears
from interventions.base import Intervention
from interventions.compression.quantization import check_group, fit, is_quantized, pending
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class RTN(Intervention, category="compression"):
    """Round every weight to the nearest value of its group's grid; no data is looked at.

    Source: the baseline of Frantar et al. 2023 (GPTQ), section 5, and of Lin et al. 2024 (AWQ), section 5.
    """

    bits: int = hyperparameter(3, "width of the integers", paper=4, low=2, high=8)
    group: int = hyperparameter(128, "inputs that share a scale; -1: the whole row", low=-1)
    symmetric: bool = hyperparameter(False, "whether the grid is symmetric about 0")
    strength = "bits"

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the group does not divide a layer's inputs."""
        check_group(model, self.group, self.name)

    @classmethod
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """How coarse, and on which kind of grid."""
        return {
            "bits": trial.suggest_int("bits", 2, 8),
            "symmetric": trial.suggest_categorical("symmetric", (False, True)),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Round in place."""
        for block in blocks(lm.model):
            inside = dict(linears(block))
            for name, full in pending(lm, block, self.bits, self.group).items():
                weight = inside[name].weight
                lm.quantize(
                    full, weight, fit(weight, self.bits, self.group, self.symmetric), weight
                )
        return lm

    def holds(self, lm: LM) -> bool:
        """Whether every layer still lies on a grid of that width, measured."""
        return is_quantized(lm, self.bits, self.group)
