"""The models of the branches that a step merges, for the step while it is applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from interventions.errors import InvalidInput

if TYPE_CHECKING:
    from interventions.lm import LM

_MODELS: ContextVar[Callable[[int], LM] | None] = ContextVar("branch_models", default=None)


@contextmanager
def branch_models(models: Callable[[int], LM]) -> Iterator[None]:
    """Let the step that is applied ask for the models of its branches, while open.

    Args:
        models: returns the model of a branch, by its number from 0; called when it is asked for.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.lm import LM
        >>> with branch_models(lambda index: LM.load(MODEL)):
        ...     branch_model("merge", 0).model.config.model_type
        'llama'
    """
    token = _MODELS.set(models)
    try:
        yield
    finally:
        _MODELS.reset(token)


def branch_model(name: str, index: int) -> LM:
    """Return the model at the end of a branch; not to be changed.

    Args:
        name: of the step that asks.
        index: of the branch, from 0.

    Raises:
        InvalidInput: the step is not applied by ``interventions.composition.apply``.
    """
    models = _MODELS.get()
    if models is None:
        raise InvalidInput(
            f"{name} merges the models of its branches, which"
            " `interventions.composition.apply(step, lm, data, key)` computes: call that"
        )
    return models(index)
