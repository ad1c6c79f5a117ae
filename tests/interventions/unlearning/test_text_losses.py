"""Which steps of NPO and SimNPO stand for all in a rehearsal."""

import dataclasses

import pytest

from interventions.base import Intervention
from interventions.callbacks import watched
from interventions.composition import apply
from interventions.data.base import Data
from interventions.lm import LM
from interventions.loops import rehearsing
from interventions.unlearning.npo import NPO
from interventions.unlearning.simnpo import SimNPO
from tests.interventions.passes import NotedPasses
from tests.interventions.unlearning.reference import KEY


@pytest.mark.parametrize("method", [NPO, SimNPO])
def test_the_steps_with_the_longest_texts_of_both_kinds_stand_for_all(
    lm: LM, small: Data, method: type[NPO] | type[SimNPO]
) -> None:
    """Characters of the four steps, to forget and to retain: 10 + 40, 30 + 10, 20 + 10, 5 + 5."""
    text = "the old mill stands by the river and the road"
    forget, retain = ((10, 30, 20, 5), (40, 10, 10, 5))
    data = dataclasses.replace(
        small,
        forget=tuple(text[:length] for length in forget),
        retain=tuple(text[:length] for length in retain),
    )
    step = method(steps=4, batch=1, retain_batch=1, last_layers=1)
    passes, reported = NotedPasses(), list[int]()

    def callback(reporting: Intervention, done: int, intermediate: LM) -> None:
        reported.append(done)

    with rehearsing(passes), watched(callback):
        apply(step, lm, data, KEY)
    assert reported == [1, 2]
    # before these NPO asks the base model
    assert passes.ended[-1] == ((30 + 10) / 40, 2)
