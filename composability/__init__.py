"""Find out whether interventions on a language model compose: the names that users call.

Every name is imported when it is first used, so that ``from composability import compositions``
reads recorded runs without importing torch.

Example:
    >>> from composability import Composition
    >>> Composition.parse("lora | wanda(sparsity=0.25)").spec()
    'lora | wanda(sparsity=0.25)'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.inference.recommend import recommend as recommend
    from analysis.metrics.composability import area as area
    from analysis.metrics.composability import point as point
    from analysis.metrics.restored import restored as restored
    from interventions.base import Intervention as Intervention
    from interventions.composition import Composition as Composition
    from interventions.criteria.base import criterion as criterion
    from interventions.data.base import Data as Data
    from interventions.data.own.reading import own_data as own_data
    from interventions.errors import InvalidInput as InvalidInput
    from interventions.hyperparameters import hyperparameter as hyperparameter
    from interventions.lm import LM as LM
    from sweeps.grid.run import grid as grid
    from sweeps.study.run import tune as tune
    from tracking.checkpoints.restore import load_checkpoint as load_checkpoint
    from tracking.costs.planning import plan as plan
    from tracking.own_code import track as track
    from tracking.query import compositions as compositions
    from tracking.query import items as items
    from tracking.registration import register as register
    from tracking.run import run as run

_MODULES = {
    "run": "tracking.run",
    "plan": "tracking.costs.planning",
    "grid": "sweeps.grid.run",
    "tune": "sweeps.study.run",
    "compositions": "tracking.query",
    "items": "tracking.query",
    "point": "analysis.metrics.composability",
    "area": "analysis.metrics.composability",
    "restored": "analysis.metrics.restored",
    "recommend": "analysis.inference.recommend",
    "load_checkpoint": "tracking.checkpoints.restore",
    "register": "tracking.registration",
    "track": "tracking.own_code",
    "Intervention": "interventions.base",
    "hyperparameter": "interventions.hyperparameters",
    "criterion": "interventions.criteria.base",
    "Composition": "interventions.composition",
    "LM": "interventions.lm",
    "Data": "interventions.data.base",
    "own_data": "interventions.data.own.reading",
    "InvalidInput": "interventions.errors",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'composability' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, whether they were imported yet or not."""
    return list({*globals(), *_MODULES})
