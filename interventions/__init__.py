"""Interventions on language models, and the criteria that judge them; no MLflow, no Optuna.

What the author of an intervention or a criterion needs can be imported from here. It is loaded on
first use: ``import interventions`` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interventions import moved

if TYPE_CHECKING:
    from interventions.anatomy import block_linears as block_linears
    from interventions.anatomy import linears as linears
    from interventions.base import Intervention as Intervention
    from interventions.criteria.base import Scores as Scores
    from interventions.criteria.base import criterion as criterion
    from interventions.criteria.base import mean_scores as mean_scores
    from interventions.data.base import Data as Data
    from interventions.errors import InvalidInput as InvalidInput
    from interventions.hyperparameters import hyperparameter as hyperparameter
    from interventions.lm import LM as LM

_HOMES = {
    "Data": "interventions.data.base",
    "Intervention": "interventions.base",
    "InvalidInput": "interventions.errors",
    "LM": "interventions.lm",
    "Scores": "interventions.criteria.base",
    "block_linears": "interventions.anatomy",
    "criterion": "interventions.criteria.base",
    "hyperparameter": "interventions.hyperparameters",
    "linears": "interventions.anatomy",
    "mean_scores": "interventions.criteria.base",
}

__all__ = list(_HOMES)

moved.install()


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
