"""What a callback sees of the methods that train."""

import random

import pytest
import torch

from interventions.base import Intervention
from interventions.callbacks import report, watched
from interventions.composition import apply
from interventions.data.base import Data
from interventions.editing.ft import FT
from interventions.editing.lora import LoRA
from interventions.finetuning.finetune import Finetune
from interventions.lm import LM
from interventions.unlearning.ga import GA
from interventions.unlearning.gd import GD
from interventions.unlearning.npo import NPO
from interventions.unlearning.rmu import RMU
from interventions.unlearning.simnpo import SimNPO

KEY = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "step",
    [
        FT(steps=3),
        LoRA(steps=3),
        GA(samples=3, batch=1, last_layers=1),
        GD(samples=3, batch=1, retain_batch=1, last_layers=1),
        RMU(steps=3, batch=1),
        NPO(steps=3, batch=1, retain_batch=1, last_layers=1),
        SimNPO(steps=3, batch=1, retain_batch=1, last_layers=1),
        Finetune(steps=3, batch=1, layers=(5,)),
    ],
    ids=lambda step: step.name,
)
def test_a_callback_sees_the_model_after_each_training_step(
    lm: LM, small: Data, step: Intervention
) -> None:
    steps_seen: list[int] = []
    fingerprints: list[str] = []

    def callback(reporting: Intervention, steps_done: int, intermediate: LM) -> None:
        assert reporting is step
        steps_seen.append(steps_done)
        fingerprints.append(intermediate.fingerprint())

    assert step.reports
    before = lm.fingerprint()
    with watched(callback):
        final = apply(step, lm, small, KEY)
    assert steps_seen == [1, 2, 3]
    assert len({before, *fingerprints}) == 4
    # adapters are merged after the last step only
    if not isinstance(step, LoRA):
        assert fingerprints[-1] == final.fingerprint()


def test_training_goes_on_as_if_nobody_had_looked(lm: LM) -> None:
    """A callback that draws random numbers, changes the mode and fails leaves both as they were."""

    def intrude(step: Intervention, done: int, lm: LM) -> None:
        random.random(), torch.rand(3)
        lm.model.eval()
        raise RuntimeError

    lm.model.train()
    random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), torch.get_rng_state()
    with pytest.raises(RuntimeError), watched(intrude):
        report(FT(), 1, lm)
    assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])
    assert lm.model.training


def test_without_a_callback_a_report_does_nothing(lm: LM) -> None:
    calls: list[int] = []
    with watched(lambda step, done, lm: calls.append(done)):
        report(FT(), 3, lm)
    report(FT(), 4, lm)
    assert calls == [3]
