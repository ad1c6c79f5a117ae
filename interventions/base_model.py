"""The model that a composition began with, for a step that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from interventions.errors import InvalidInput

if TYPE_CHECKING:
    from interventions.lm import LM

_LOAD: ContextVar[Callable[[], LM] | None] = ContextVar("base_model", default=None)


@contextmanager
def base_model(load: Callable[[], LM]) -> Iterator[None]:
    """Let steps ask for the model that the composition began with, while open.

    Args:
        load: returns it, a new copy or the one at hand; it is not changed. Called when it is asked
            for.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.lm import LM
        >>> with base_model(lambda: LM.load(MODEL)):
        ...     load_base_model("memit").model.config.model_type
        'llama'
    """
    token = _LOAD.set(load)
    try:
        yield
    finally:
        _LOAD.reset(token)


def load_base_model(name: str) -> LM:
    """Return the model that the composition began with; not to be changed.

    Args:
        name: of the step that asks.

    Raises:
        InvalidInput: the step is applied outside of a composition that says it.
    """
    load = _LOAD.get()
    if load is None:
        raise InvalidInput(
            f"{name} asks for the base model, which a run knows; in Python, apply it inside of"
            " `with interventions.base_model.base_model(load):`"
        )
    return load()
