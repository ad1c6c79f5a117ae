"""Intermediate models: a method that trains says after each step that there is one; who wants to, looks.

Nobody looks unless a tuner does, and what it sees costs nothing then. Whoever looks may end the step by raising.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from interventions.base import Intervention
    from interventions.lm import LM

Callback = Callable[["Intervention", int, "LM"], None]
_LOOK: ContextVar[Callback | None] = ContextVar("look", default=None)


def report(step: Intervention, done: int, lm: LM) -> None:
    """An intervention has trained so many steps; whoever looks must leave the model as it is."""
    look = _LOOK.get()
    if look is None:
        return
    before, training = random.getstate(), lm.model.training
    with torch.random.fork_rng():  # what is looked at goes on as if it had not been
        try:
            look(step, done, lm)
        finally:
            random.setstate(before)
            lm.model.train(training)


@contextmanager
def watched(look: Callback) -> Iterator[None]:
    """While open, ``look`` sees every intermediate model."""
    token = _LOOK.set(look)
    try:
        yield
    finally:
        _LOOK.reset(token)
