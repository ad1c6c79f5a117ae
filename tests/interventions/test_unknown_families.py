"""A family that is in no table: every intervention asks for all of its weights, on the skeleton."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import nn

from interventions.anatomy import residual_writers
from interventions.base import make
from interventions.errors import InvalidInput
from tests.anatomies.cells import SETTINGS

SIZES = {
    "vocab_size": 32,
    "pad_token_id": 0,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
}
REFUSED = {
    "Mamba": "weights that are not known here: 0.mixer.A_log",
    "Llama4Text": "weights that are not known here: 0.feed_forward.experts.gate_up_proj",
    "Bert": "reads texts in both directions",
    "Whisper": "reads an encoder",
    "BigBird": "attention_type='block_sparse' reads tokens that come later; use 'original_full'",
    "Reformer": "ReformerModelWithLMHead is not supported: its blocks are reversible",
    "xLSTM": "is not supported: its blocks are recurrent",
}
OTHERS: dict[str, dict[str, Any]] = {
    "Llama4Text": {"head_dim": 8, "num_local_experts": 2, "interleave_moe_layer_step": 1},
    "BigBird": {"is_decoder": True},
    "Reformer": {"is_decoder": True, "axial_pos_embds": False},
    "Whisper": {"d_model": 16, "decoder_layers": 3, "decoder_attention_heads": 2},
}
HEADS = {
    "Llama4Text": "Llama4ForCausalLM",
    "Bert": "BertLMHeadModel",
    "Reformer": "ReformerModelWithLMHead",
}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    made = {}
    for family in REFUSED:
        head = HEADS.get(family, f"{family}ForCausalLM")
        config = getattr(transformers, f"{family}Config")(**SIZES | OTHERS.get(family, {}))
        with torch.device("meta"):
            made[family] = getattr(transformers, head)(config)
    return made


@pytest.mark.parametrize("method", sorted(SETTINGS))
@pytest.mark.parametrize("family", sorted(REFUSED))
def test_every_intervention_refuses_what_it_does_not_know(
    models: dict[str, Any], family: str, method: str
) -> None:
    """One that did not would leave weights as they were, and nobody would see it."""
    with pytest.raises(InvalidInput, match=REFUSED[family]) as refused:
        make(method, **SETTINGS[method]).check(models[family])
    assert "\n" not in str(refused.value)


def test_a_gate_as_wide_as_the_stream_is_no_down_projection() -> None:
    """Of Granite's shared expert the gate and the up-projection, in one, may have that width."""
    attention = nn.ModuleDict({"q_proj": nn.Linear(8, 8), "o_proj": nn.Linear(8, 8)})
    mlp = nn.ModuleDict({"input_linear": nn.Linear(8, 8), "output_linear": nn.Linear(4, 8)})
    block = nn.ModuleDict({"self_attn": attention, "shared_mlp": mlp})
    assert list(residual_writers(block)) == ["shared_mlp.output_linear"]
    # a smaller matrix behind it is not the MLP's
    block["per_layer_projection"] = nn.Linear(2, 8)
    assert list(residual_writers(block)) == ["shared_mlp.output_linear"]
