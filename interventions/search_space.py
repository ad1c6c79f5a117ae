"""What a tuner may try: an intervention says in its own file which values make sense, a study says which to take.

The paper's grids (Kolbeinsson et al. 2025, Tables 5-7) are data: a class attribute ``grid``. The space ``default`` is a
method, ``suggest``, which asks a trial for one value after another; Optuna's trials fit, and nothing here imports it.
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
    """Where values come from; ``name`` is a field, or ``field.part`` where a field is made of several choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from low to high, both included."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """An integer from low to high, both included."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""


@dataclass(frozen=True)
class TuningContext:
    """What an intervention is to be tuned on, and whose defaults it has."""

    model: PreTrainedModel
    data: Data
    profile: str = "testbed"

    @property
    def layers(self) -> int:
        """How many blocks the model has."""
        return len(blocks(self.model))

    def texts(self, part: str) -> int:
        """How many texts a part of the data has."""
        return len(getattr(self.data, part))

    def default(self, cls: type[Intervention], field: str) -> Any:
        """A field's default here."""
        return hyperparameters.default(hyperparameters.fields_of(cls)[field], self.profile)

    def around(
        self, trial: Trial, cls: type[Intervention], field: str, down: float, up: float
    ) -> Any:
        """A value from the default / down to the default x up, evenly on the logarithm; an integer if that is one."""
        middle = self.default(cls, field)
        if isinstance(middle, int):
            return trial.suggest_int(field, max(1, int(middle / down)), int(middle * up), log=True)
        return trial.suggest_float(field, middle / down, middle * up, log=True)


def consecutive(
    trial: Trial, room: TuningContext, field: str = "layers", most: int = 5
) -> tuple[int, ...]:
    """Up to ``most`` consecutive layers: which is the last, and how many."""
    last = trial.suggest_int(f"{field}.last", 0, room.layers - 1)
    count = trial.suggest_int(f"{field}.count", 1, min(most, room.layers))
    return tuple(range(max(0, last - count + 1), last + 1))
