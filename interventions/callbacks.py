"""Intermediate models: a method that trains reports each step, and a callback may look on.

Only a tuner sets a callback; without one a report costs nothing. A callback that raises ends the
intervention.
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
_CALLBACK: ContextVar[Callback | None] = ContextVar("callback", default=None)


def report(step: Intervention, done: int, lm: LM) -> None:
    """Show the callback, if there is one, the model after some training steps.

    Args:
        step: the intervention that trains.
        done: how many training steps it has done.
        lm: the model as it is; the callback must leave it so.
    """
    callback = _CALLBACK.get()
    if callback is None:
        return
    random_state, training = random.getstate(), lm.model.training
    # training goes on with the random numbers and the mode that it would have had unobserved
    with torch.random.fork_rng():
        try:
            callback(step, done, lm)
        finally:
            random.setstate(random_state)
            lm.model.train(training)


@contextmanager
def watched(callback: Callback) -> Iterator[None]:
    """While open, the callback sees every intermediate model."""
    token = _CALLBACK.set(callback)
    try:
        yield
    finally:
        _CALLBACK.reset(token)
