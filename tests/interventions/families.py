"""Small models of families that the table of anatomies does not have."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn

from interventions.lm import LM
from tests.anatomies.tokenizers import tokenizer

_DECODER = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "is_decoder": True,
    "pad_token_id": 0,
}
_GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}
_REFORMER = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "attention_head_size": 8,
    "feed_forward_size": 64,
    "attn_layers": ["local", "local"],
    "axial_pos_embds": False,
    "max_position_embeddings": 128,
    "local_attn_chunk_length": 4,
    "is_decoder": True,
}
_XLSTM = {"hidden_size": 32, "num_blocks": 2, "num_heads": 2, "mode": "inference"}
_FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt": ("OpenAIGPTConfig", "OpenAIGPTLMHeadModel", _GPT),
    "reformer": ("ReformerConfig", "ReformerModelWithLMHead", _REFORMER),
    "roberta": ("RobertaConfig", "RobertaForCausalLM", _DECODER),
    "roformer": ("RoFormerConfig", "RoFormerForCausalLM", _DECODER),
    "xlstm": ("xLSTMConfig", "xLSTMForCausalLM", _XLSTM),
}


def family_skeleton(name: str) -> Any:
    """Return a model of the family without its weights."""
    with torch.device("meta"):
        return _model(name, 64)


def family(name: str) -> LM:
    """Return a model of the family with weights at which positions and masks matter."""
    known = tokenizer("bytes")
    known.pad_token = known.eos_token  # as LM.load does
    torch.manual_seed(0)
    model = _model(name, len(known)).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.15)
    return LM(model, known)


def _model(name: str, vocabulary: int) -> Any:
    config, head, sizes = _FAMILIES[name]
    kind = getattr(transformers, head)
    return kind(getattr(transformers, config)(vocab_size=vocabulary, **sizes))
