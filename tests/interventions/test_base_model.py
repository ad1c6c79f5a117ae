"""A step may ask for the model that its composition began with: MEMIT's moments of it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.base import make
from interventions.base_model import base_model, load_base_model
from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.memit import MEMIT
from interventions.editing.second_moments import second_moments
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from interventions.rehearsal.meta import Takes
from interventions.rehearsal.speed import H100
from interventions.rehearsal.steps import Stage
from interventions.tokenizer import load_tokenizer
from tests.interventions.editing.reference import KEY
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.plan import plan_run
from tracking.settings import Settings

BASE = MEMIT(steps=2, statistics="base")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fingerprints of the models whose second moments were taken."""
    fingerprints: list[str] = []

    def noted(lm: LM, *args: Any) -> dict[int, Tensor]:
        fingerprints.append(lm.fingerprint())
        return second_moments(lm, *args)

    monkeypatch.setattr("interventions.editing.memit.second_moments", noted)
    return fingerprints


def test_outside_of_a_composition_it_is_refused(lm: LM, small: Data) -> None:
    with pytest.raises(InvalidInput, match=r"^memit asks for the base model, which a run knows"):
        apply(BASE, lm, small, KEY)
    with base_model(lambda: lm):
        assert load_base_model("memit") is lm
    with pytest.raises(InvalidInput, match=r"^mine asks"):
        load_base_model("mine")


def test_the_moments_are_the_base_models_and_the_keys_those_of_the_model_at_hand(
    small: Data, measured: list[str]
) -> None:
    def pruned() -> LM:
        return apply(make("magnitude"), LM.load(MODEL), small, KEY)

    base = LM.load(MODEL)
    untouched = base.fingerprint()
    with base_model(lambda: base):
        edited = apply(BASE, pruned(), small, KEY)
    current = apply(MEMIT(steps=2), pruned(), small, KEY)
    assert measured == [untouched, pruned().fingerprint()] and base.fingerprint() == untouched
    name = "model.layers.0.mlp.down_proj.weight"
    of_base, of_current = (lm.model.get_parameter(name) for lm in (edited, current))
    before = pruned().model.get_parameter(name)
    assert not torch.equal(of_base, of_current) and not torch.equal(of_base, before)


@pytest.mark.parametrize("steps", ["memit", "magnitude | memit", "magnitude | rtn(bits=8) | memit"])
def test_a_run_gives_the_model_that_it_began_with(
    steps: str, checkpoints: Checkpoints, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    composition = steps.replace("memit", "memit(steps=2, statistics='base')")
    plan = plan_run(composition, Settings(limit=4, criteria="sparsity", checkpoints="none"))
    chain = Chain(plan, checkpoints)
    chain.model_after(len(plan.composition) - 1)
    loads: list[Any] = []
    load = LM.load

    def counted(*args: Any, **kwargs: Any) -> LM:
        loads.append(args)
        return load(*args, **kwargs)

    monkeypatch.setattr(LM, "load", counted)
    chain.model_after(len(plan.composition))
    assert measured == [load(MODEL).fingerprint()]
    # as the first step it has the base model at hand
    assert len(loads) == (0 if steps == "memit" else 1)


def test_a_plan_counts_the_second_model() -> None:
    stage = Stage(skeleton(MODEL), load_tokenizer(MODEL), torch.float32, H100)
    data = Data(
        "few",
        statistics=("A river is long.",) * 4,
        edits=plan_run("memit", Settings()).data.edits[:2],
    )
    peaks = []
    for statistics in ("current", "base"):
        takes = stage.step(MEMIT(steps=1, layers=(0,), statistics=statistics), data)
        assert isinstance(takes, Takes)
        peaks.append(takes.peak_bytes)
    assert peaks[1] > peaks[0] + 0.5 * stage.weight_bytes
