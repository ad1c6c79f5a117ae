"""MEMIT on small models of many families: it reaches its targets, or refuses before loading."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from interventions.anatomy import blocks
from interventions.data.base import Data, Edit
from interventions.editing.memit import MEMIT
from interventions.editing.prompts import EditPrompts, subject_start
from interventions.editing.subject_memories import states_at_subjects
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from tests.anatomies.texts import sentences
from tests.anatomies.zoo import ANATOMIES, build

EDITS = (
    Edit("Ana Bell", "The home of Ana Bell is", "the old harbour", "the hill", ("",)),
    Edit("Vesk", "In Vesk people drink", "cold tea", "milk", ("",)),
)
NORMED = {name for name, anatomy in ANATOMIES.items() if anatomy.norm_after} | {"opt-350m"}
WITH_EXPERTS = {"mixtral", "qwen3-moe", "deepseek-v3", "gpt-oss"}
WRITTEN = sorted(set(ANATOMIES) - NORMED - WITH_EXPERTS)
LAYER = 1


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anatomies")


def memit() -> MEMIT:
    # with next to no weight on the corpus, the closed form solves for the targets
    return MEMIT(layers=(LAYER,), steps=5, lr=0.1, covariance=1e-6, samples=8)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_states_at_the_subjects_become_the_targets(
    name: str, folder: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = LM.load(build(name, folder))
    step, small = memit(), dataclasses.replace(data, edits=EDITS, statistics=sentences(8, seed=1))
    step.check(skeleton(build(name, folder)))
    wanted = step.targets(lm, EDITS)
    monkeypatch.setattr(MEMIT, "targets", lambda *given: wanted)
    edited = step.apply(lm, small)
    with torch.no_grad():
        states = states_at_subjects(edited, [prompts(edited)], LAYER)
        before = states_at_subjects(LM.load(build(name, folder)), [prompts(lm)], LAYER)
    assert (states - wanted).norm() < 0.02 * (before - wanted).norm()


def prompts(lm: LM) -> EditPrompts:
    return EditPrompts(lm, EDITS, [""], answers=False)


@pytest.mark.parametrize("name", sorted(NORMED))
def test_a_norm_behind_the_mlp_is_refused_before_weights_are_loaded(
    name: str, folder: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match=r"memit cannot edit a .* would miss the targets"):
        memit().check(skeleton(build(name, folder)))
    # of a family that nobody knows, the model itself says it
    lm = LM.load(build(name, folder))
    before = lm.fingerprint()
    with pytest.raises(InvalidInput, match="does not reach the stream as it is"):
        memit().apply(lm, dataclasses.replace(data, edits=EDITS))
    assert lm.fingerprint() == before


@pytest.mark.parametrize("name", sorted(WITH_EXPERTS))
def test_experts_are_refused_before_weights_are_loaded(name: str, folder: Path) -> None:
    model = skeleton(build(name, folder))
    with pytest.raises(InvalidInput, match="down-projections, of experts"):
        MEMIT(layers=(len(blocks(model)) - 1,)).check(model)


def test_a_subject_is_a_word_of_its_own_where_it_is_one() -> None:
    prompt = "The daughter of Annie's friend Ann is"
    assert subject_start(Edit("Ann", prompt, "x", "y", ())) == prompt.index("Ann is")
    assert subject_start(Edit("nni", prompt, "x", "y", ())) == prompt.index("nni")
    assert subject_start(Edit("friend", prompt, "x", "y", ())) == prompt.index("friend")
