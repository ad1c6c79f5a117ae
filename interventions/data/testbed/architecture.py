"""The testbed's tokenizer and model, before training and what is done to it after."""

from __future__ import annotations

import math

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interventions.data.testbed.documents import trained_pairs
from interventions.data.testbed.prose import prose
from interventions.data.testbed.world import World

# a wide MLP keeps more keys apart: docs/explanation/testbed-search.md
INTERMEDIATE = 512


def make_tokenizer(facts: World) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with 2,560 entries, trained on the world and the prose.

    It puts <s> in front, as Llama's does.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2560,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [
        prompt + answer for fact in facts.all_facts() for prompt, answer in trained_pairs(fact)
    ]
    bpe.train_from_iterator([*texts, *prose("train")], trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bpe.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=256,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained 6-layer Llama."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).float()
    # residual projections that start smaller where there are more layers: GPT-2's, which helped
    with torch.no_grad():
        for layer in model.model.layers:
            for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
                linear.weight /= math.sqrt(2 * config.num_hidden_layers)
    return model


@torch.no_grad()
def spread_channels(model: LlamaForCausalLM, spread: float, seed: int) -> None:
    """Give some channels far larger activations than others; the function stays as it is.

    The inputs of every linear layer in the blocks are multiplied by log-normal factors, in the norm
    or the linear layer before it, and its weights divided by them. Large language models have such
    channels; a model as small as this one trains to even ones, on which pruning by magnitude and
    rounding to nearest do as well as anything.

    Source of the phenomenon: Dettmers et al. 2022, "LLM.int8()", section 4.

    Args:
        model: changed in place.
        spread: standard deviation of the factors' logarithm.
        seed: of the factors.
    """
    generator = torch.Generator().manual_seed(seed)

    def factors(size: int) -> torch.Tensor:
        drawn = torch.exp(spread * torch.randn(size, generator=generator))
        return drawn / drawn.square().mean().sqrt()

    for block in model.model.layers:
        attention, mlp = block.self_attn, block.mlp
        for norm, readers in (
            (block.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
            (block.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)),
        ):
            factor = factors(norm.weight.shape[0])
            norm.weight.mul_(factor)
            for reader in readers:
                reader.weight.div_(factor)
        factor = factors(mlp.up_proj.out_features)
        mlp.up_proj.weight.mul_(factor[:, None])
        mlp.down_proj.weight.div_(factor)
        # each key-value head is read by several heads, in turn
        heads = model.config.num_key_value_heads
        factor = factors(attention.v_proj.out_features)
        attention.v_proj.weight.mul_(factor[:, None])
        read = factor.view(heads, 1, -1).expand(-1, model.config.num_attention_heads // heads, -1)
        attention.o_proj.weight.div_(read.flatten())
