"""Small random models of many families, each saved with a tokenizer that fits.

They are made from their configuration classes, seeded, and never trained. Their weights are spread
so that every layer matters: a model of the default 0.02 is nearly the identity, and an error in one
of its layers would not show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from tests.anatomies.tokenizers import VOCABULARY, tokenizer

WIDTH, INNER, HEADS, LAYERS, POSITIONS, WINDOW = 64, 96, 4, 3, 128, 8


@dataclass(frozen=True)
class Anatomy:
    """One family of decoders, and what a reader of its code knows about it.

    Attributes:
        family: the start of the configuration's class name.
        settings: of the configuration.
        blocks: path of the list of decoder blocks.
        writers: paths within a block of the matrices by which the MLP writes to the residual
            stream; those that a block lacks are skipped.
        tokenizer: kind of the tokenizer.
        head: suffix of the model's class name.
        transposed: whether matrices of the blocks are stored (in, out).
        added_one: whether norms multiply by 1 + weight.
        norm_after: whether a norm stands between the MLP and the residual stream.
        window: tokens that a sliding window sees; None without one.
    """

    family: str
    settings: Mapping[str, Any]
    blocks: str = "model.layers"
    writers: tuple[str, ...] = ("mlp.down_proj",)
    tokenizer: str = "bytes"
    head: str = "ForCausalLM"
    transposed: bool = False
    added_one: bool = False
    norm_after: bool = False
    window: int | None = None

    def config(self) -> Any:
        """Return the configuration."""
        kind = getattr(transformers, f"{self.family}Config")
        return kind(**self.settings)

    def model(self) -> PreTrainedModel:
        """Return a new model, in float32, with the same weights at every call."""
        config = self.config()
        name = self.family.removesuffix("Text") + self.head
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = getattr(transformers, name)(config)
            _spread(model, self.added_one)
        model.generation_config.pad_token_id = None
        if any(parameter.dim() == 3 for parameter in model.parameters()):
            # the plain loop over experts; transformers' default is a kernel without float64
            model.set_experts_implementation("eager")
        model.eval().requires_grad_(False)
        assert isinstance(model, PreTrainedModel)
        return model


def _llama_like(**others: Any) -> dict[str, Any]:
    """Return the settings that most families share."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **others,
    }


def _of_heads(**others: Any) -> dict[str, Any]:
    """Return the settings of families without grouped queries."""
    settings = _llama_like(**others)
    del settings["num_key_value_heads"]
    return settings


_GPT = {
    "vocab_size": VOCABULARY,
    "n_embd": WIDTH,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_positions": POSITIONS,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
_LOCAL_GLOBAL = ["sliding_attention", "full_attention", "sliding_attention"]
_GEMMA = {"head_dim": 16, "hidden_activation": "gelu_pytorch_tanh"}
_GEMMA2 = _llama_like(
    **_GEMMA, sliding_window=WINDOW, layer_types=_LOCAL_GLOBAL, query_pre_attn_scalar=16
)
_GEMMA3 = {**_GEMMA2, "rope_theta": 1_000_000.0, "rope_local_base_freq": 100.0}
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS + 2,  # deeper than the text model
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
_DEEPSEEK = {
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "kv_lora_rank": 32,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
}

ANATOMIES: Mapping[str, Anatomy] = {
    "llama": Anatomy("Llama", _llama_like(tie_word_embeddings=True), tokenizer="sentencepiece"),
    "qwen2": Anatomy("Qwen2", _llama_like()),
    "qwen2-window": Anatomy(
        "Qwen2",
        _llama_like(use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
        window=WINDOW,
    ),
    "qwen3": Anatomy("Qwen3", _llama_like(head_dim=16)),
    "mistral": Anatomy(
        "Mistral", _llama_like(sliding_window=WINDOW), tokenizer="sentencepiece", window=WINDOW
    ),
    "gemma1": Anatomy(
        "Gemma", _llama_like(**_GEMMA), tokenizer="sentencepiece-bare", added_one=True
    ),
    "gemma2": Anatomy(
        "Gemma2",
        _GEMMA2,
        tokenizer="sentencepiece-bare",
        added_one=True,
        norm_after=True,
        window=WINDOW,
    ),
    "gemma3-text": Anatomy(
        "Gemma3Text",
        _GEMMA3,
        tokenizer="sentencepiece-bare",
        added_one=True,
        norm_after=True,
        window=WINDOW,
    ),
    "gemma3": Anatomy(
        "Gemma3",
        {
            "text_config": {**_GEMMA3, "model_type": "gemma3_text"},
            "vision_config": {**_VISION, "model_type": "siglip_vision_model"},
            "mm_tokens_per_image": 4,
            "image_token_index": 5,
            "boi_token_index": 6,
            "eoi_token_index": 7,
        },
        blocks="model.language_model.layers",
        tokenizer="sentencepiece-bare",
        head="ForConditionalGeneration",
        added_one=True,
        norm_after=True,
        window=WINDOW,
    ),
    "cohere2": Anatomy(
        "Cohere2",
        _llama_like(sliding_window=WINDOW, layer_types=_LOCAL_GLOBAL, logit_scale=1.0),
        tokenizer="bytes+bos",
        window=WINDOW,
    ),
    "olmo2": Anatomy("Olmo2", _llama_like(), norm_after=True),
    "phi": Anatomy("Phi", _llama_like(partial_rotary_factor=0.5), writers=("mlp.fc2",)),
    "phi3": Anatomy("Phi3", _llama_like(), tokenizer="metaspace"),
    "starcoder2": Anatomy(
        "Starcoder2", _llama_like(sliding_window=WINDOW), writers=("mlp.c_proj",), window=WINDOW
    ),
    "gpt-neox": Anatomy(
        "GPTNeoX", _of_heads(), blocks="gpt_neox.layers", writers=("mlp.dense_4h_to_h",)
    ),
    "gpt-j": Anatomy(
        "GPTJ", {**_GPT, "rotary_dim": 8}, blocks="transformer.h", writers=("mlp.fc_out",)
    ),
    "falcon": Anatomy(
        "Falcon",
        _of_heads(alibi=False, new_decoder_architecture=False, parallel_attn=True),
        blocks="transformer.h",
        writers=("mlp.dense_4h_to_h",),
    ),
    "bloom": Anatomy(
        "Bloom",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": WIDTH,
            "n_layer": LAYERS,
            "n_head": HEADS,
            "pad_token_id": None,
        },
        blocks="transformer.h",
        writers=("mlp.dense_4h_to_h",),
    ),
    "mpt": Anatomy(
        "Mpt",
        {
            "vocab_size": VOCABULARY,
            "d_model": WIDTH,
            "n_heads": HEADS,
            "n_layers": LAYERS,
            "expansion_ratio": 2,
            "max_seq_len": POSITIONS,
        },
        blocks="transformer.blocks",
        writers=("ffn.down_proj",),
    ),
    "opt": Anatomy(
        "OPT",
        _of_heads(ffn_dim=INNER, word_embed_proj_dim=WIDTH, do_layer_norm_before=True),
        blocks="model.decoder.layers",
        writers=("fc2",),
        tokenizer="bytes+bos",
    ),
    "opt-350m": Anatomy(
        "OPT",
        _of_heads(ffn_dim=INNER, word_embed_proj_dim=WIDTH // 2, do_layer_norm_before=False),
        blocks="model.decoder.layers",
        writers=("fc2",),
        tokenizer="bytes+bos",
        norm_after=True,
    ),
    "gpt2": Anatomy(
        "GPT2",
        _GPT,
        blocks="transformer.h",
        writers=("mlp.c_proj",),
        head="LMHeadModel",
        transposed=True,
    ),
    "mixtral": Anatomy(
        "Mixtral",
        _llama_like(intermediate_size=32, num_local_experts=4, num_experts_per_tok=2),
        writers=("mlp.experts.down_proj",),
        tokenizer="sentencepiece",
    ),
    "qwen3-moe": Anatomy(
        "Qwen3Moe",
        _llama_like(head_dim=16, num_experts=8, norm_topk_prob=True, **_EXPERTS),
        writers=("mlp.experts.down_proj",),
    ),
    "deepseek-v3": Anatomy(
        "DeepseekV3",
        _llama_like(num_key_value_heads=HEADS, **_EXPERTS, **_DEEPSEEK),
        writers=("mlp.experts.down_proj", "mlp.shared_experts.down_proj", "mlp.down_proj"),
    ),
    "gpt-oss": Anatomy(
        "GptOss",
        _llama_like(
            head_dim=16,
            intermediate_size=32,
            num_local_experts=4,
            num_experts_per_tok=2,
            sliding_window=WINDOW,
            layer_types=_LOCAL_GLOBAL,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        ),
        writers=("mlp.experts.down_proj",),
        transposed=True,
        window=WINDOW,
    ),
}


def build(name: str, folder: Path) -> Path:
    """Return a checkpoint folder with a small model and its tokenizer; written once.

    Args:
        name: of an anatomy.
        folder: in which the checkpoint's own folder is.
    """
    if name not in ANATOMIES:
        raise ValueError(f"no anatomy is named {name!r}; known: {', '.join(ANATOMIES)}")
    target = folder / name
    if not (target / "tokenizer_config.json").exists():
        anatomy = ANATOMIES[name]
        anatomy.model().save_pretrained(target)
        tokenizer(anatomy.tokenizer).save_pretrained(target)
    return target


@torch.no_grad()
def _spread(model: nn.Module, added_one: bool) -> None:
    """Give every parameter random values of a size at which its layer matters."""
    for name, parameter in model.named_parameters():
        leaf = name.rpartition(".")[2]
        if parameter.dim() == 1 and leaf == "weight":
            # a norm whose channels differ: what AWQ and Wanda are made for
            factors = torch.exp(0.4 * torch.randn_like(parameter))
            parameter.copy_(factors - 1 if added_one else factors)
        elif parameter.dim() == 1 or leaf.endswith("_bias"):
            parameter.copy_(0.1 * torch.randn_like(parameter))
        elif "embed" in name or leaf in ("wte", "wpe") or ".wte." in name or ".wpe." in name:
            parameter.copy_(0.5 * torch.randn_like(parameter))
        else:
            inputs = parameter.shape[-1] if parameter.dim() > 2 else min(parameter.shape[-1], 256)
            parameter.copy_(1.2 / math.sqrt(inputs) * torch.randn_like(parameter))
