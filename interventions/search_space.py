"""What a tuner may try: an intervention says which values make sense, a study which to take.

The paper's grids (Kolbeinsson et al. 2025, Tables 5-7) are data: the class attribute ``grid``. The
space ``default`` is a method, ``suggest``, which asks a trial for one value after another; Optuna's
trials fit, and nothing here imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from interventions import hyperparameters
from interventions.anatomy import blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from interventions.base import Intervention
    from interventions.data.base import Data


class Trial(Protocol):
    """Where values come from.

    ``name`` is a field, or ``field.part`` where several choices make up a field.
    """

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number from low to high, both included."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return an integer from low to high, both included."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""


@dataclass(frozen=True)
class TuningContext:
    """What an intervention is to be tuned on.

    Attributes:
        model: its weights may be on the meta device.
        data: what trials learn from.
        profile: whose defaults the intervention has.
    """

    model: PreTrainedModel
    data: Data
    profile: str = "testbed"

    @property
    def layers(self) -> int:
        """Return how many blocks the model has."""
        return len(blocks(self.model))

    def texts(self, part: str) -> int:
        """Return how many texts a part of the data has."""
        return len(getattr(self.data, part))

    def default(self, cls: type[Intervention], field: str) -> Any:
        """Return a field's default on the profile."""
        return hyperparameters.default_value(hyperparameters.fields_of(cls)[field], self.profile)

    def around(
        self, trial: Trial, cls: type[Intervention], field: str, down: float, up: float
    ) -> Any:
        """Return a value near a field's default, drawn evenly on the logarithm.

        Args:
            trial: where the value comes from.
            cls: whose field it is.
            field: of numbers; the value is an integer if the default is one.
            down: the lowest value is the default / down.
            up: the highest value is the default x up.
        """
        middle = self.default(cls, field)
        if isinstance(middle, int):
            return trial.suggest_int(field, max(1, int(middle / down)), int(middle * up), log=True)
        return trial.suggest_float(field, middle / down, middle * up, log=True)


def consecutive(
    trial: Trial, tuning_context: TuningContext, field: str = "layers", most: int = 5
) -> tuple[int, ...]:
    """Return up to ``most`` consecutive layers: the trial says which is the last, and how many."""
    last = trial.suggest_int(f"{field}.last", 0, tuning_context.layers - 1)
    count = trial.suggest_int(f"{field}.count", 1, min(most, tuning_context.layers))
    return tuple(range(max(0, last - count + 1), last + 1))
