"""How what an MLP writes reaches the stream, in families that the table of models lacks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from interventions.data.base import Data, Edit
from interventions.editing.memit import MEMIT
from interventions.editing.prompts import EditPrompts
from interventions.editing.stream import stream_gains
from interventions.editing.subject_memories import states_at_subjects
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from tests.anatomies.texts import sentences
from tests.anatomies.tokenizers import VOCABULARY, tokenizer
from tests.anatomies.zoo import Anatomy

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "pad_token_id": 0,
}
GPT = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 128}
SCALED = Anatomy("Granite", {**SIZES, "num_key_value_heads": 2, "residual_multiplier": 0.25})
NORMED = {
    "output.LayerNorm": Anatomy("Bert", {**SIZES, "is_decoder": True}, head="LMHeadModel"),
    "ln_2": Anatomy("OpenAIGPT", GPT, head="LMHeadModel"),
    "post_norm2": Anatomy("HyperCLOVAX", {**SIZES, "use_post_norm": True}),
}
EDITS = (Edit("Ana Bell", "The home of Ana Bell is", "the old harbour", "the hill", ("",)),)
LAYER = 1


def saved(anatomy: Anatomy, folder: Path) -> Path:
    anatomy.model().save_pretrained(folder)
    tokenizer("bytes").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("norm", sorted(NORMED))
def test_a_norm_that_runs_behind_the_mlp_is_refused_on_the_skeleton(
    norm: str, tmp_path: Path
) -> None:
    """Whatever it is called."""
    model = skeleton(saved(NORMED[norm], tmp_path))
    with pytest.raises(InvalidInput, match=rf"{norm} of block {LAYER} runs behind the MLP"):
        MEMIT(layers=(LAYER,)).check(model)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_a_scale_between_the_mlp_and_the_stream_is_solved_for(
    tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(SCALED, tmp_path)
    step = MEMIT(layers=(LAYER,), steps=5, lr=0.1, covariance=1e-6, samples=8)
    step.check(skeleton(folder))
    lm = LM.load(folder)
    assert stream_gains(lm, (LAYER,), "memit") == {LAYER: pytest.approx(0.25, rel=1e-4)}
    prompts = EditPrompts(lm, EDITS, [""], answers=False)
    before, wanted = states_at_subjects(lm, [prompts], LAYER), step.targets(lm, EDITS)
    monkeypatch.setattr(MEMIT, "targets", lambda *given: wanted)
    small = dataclasses.replace(data, edits=EDITS, statistics=sentences(8, seed=1))
    edited = step.apply(lm, small)
    missed = states_at_subjects(edited, [prompts], LAYER) - wanted
    assert missed.norm() < 0.02 * (before - wanted).norm()
