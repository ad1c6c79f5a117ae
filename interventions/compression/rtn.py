"""Round to nearest: the baseline of GPTQ and AWQ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from interventions.base import Intervention
from interventions.compression.quantization import (
    check_group,
    fit_grid,
    is_quantized,
    round_to_nearest,
)
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class RTN(Intervention, category="compression", version=2):
    """Round every weight to the nearest value of its group's grid; no data is looked at.

    For the weights w of one group (``group`` consecutive inputs of one row):

        scale = (max(w, 0) - min(w, 0)) / (2^bits - 1);  zero = round(-min(w, 0) / scale)
        q(w) = scale * (clamp(round(w / scale) + zero, 0, 2^bits - 1) - zero)

    With ``symmetric`` the grid is that of ``quantization.fit_grid``. 0 is always on the grid, so
    that a pruned weight stays 0. A layer that lies on such a grid already is left as it is.

    Source: the baseline of Frantar et al. 2023 (GPTQ), section 5, and of Lin et al. 2024 (AWQ),
    section 5.

    Example:
        >>> str(RTN(bits=4, group=64))
        'rtn(bits=4, group=64)'
    """

    bits: int = hyperparameter(3, "width of the integers", paper=4, low=2, high=8)
    group: int = hyperparameter(128, "inputs that share a scale; -1: the whole row", low=-1)
    symmetric: bool = hyperparameter(False, "whether the grid is symmetric about 0")
    family = "quantization"
    strength = "bits"
    paper_level = 4.0

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the group does not divide a layer's inputs."""
        check_group(model, self.group, self.name)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how coarse a grid, and of which kind."""
        return {
            "bits": trial.suggest_int("bits", 2, 8),
            "symmetric": trial.suggest_categorical("symmetric", (False, True)),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Round in place."""
        round_to_nearest(
            lm,
            self.bits,
            self.group,
            lambda weight: fit_grid(weight, self.bits, self.group, self.symmetric),
        )
        return lm

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still lies on a grid of that width, measured."""
        return is_quantized(lm, self.bits, self.group)
