"""The tokenizer, the untrained model and its channels, against what is shipped."""

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interventions.data.testbed import MODEL
from interventions.data.testbed.architecture import make_model, spread_channels
from interventions.lm import LM

BLOCKS, HIDDEN, INTERMEDIATE, HEADS, KEY_VALUE_HEADS, HEAD = 6, 128, 512, 4, 2, 32


@pytest.fixture
def untrained(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return make_model(tokenizer)


def channel_factors(spread: float, seed: int) -> list[list[torch.Tensor]]:
    """Of every block: of both norms, of the MLP's channels, of the key-value heads' channels.

    exp(spread * normal), with a mean square of 1, drawn in this order from one generator.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = (HIDDEN, HIDDEN, INTERMEDIATE, KEY_VALUE_HEADS * HEAD)
    drawn = [
        [torch.exp(spread * torch.randn(size, generator=generator)) for size in sizes]
        for _ in range(BLOCKS)
    ]
    return [[f * math.sqrt(len(f)) / f.norm() for f in factors] for factors in drawn]


def test_the_tokenizer_is_made_again_byte_for_byte(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (MODEL / name).read_bytes(), name


def test_the_untrained_model_has_the_shipped_config(
    untrained: LlamaForCausalLM, tmp_path: Path
) -> None:
    untrained.save_pretrained(tmp_path)
    for name in ("config.json", "generation_config.json"):
        untrained_config, shipped = (
            json.loads((folder / name).read_text()) for folder in (tmp_path, MODEL)
        )
        del untrained_config["transformers_version"], shipped["transformers_version"]
        assert untrained_config == shipped
    weights = LM.load(MODEL).model.state_dict()
    assert {name: w.shape for name, w in untrained.state_dict().items()} == {
        name: w.shape for name, w in weights.items()
    }


def test_the_card_describes_the_config(tokenizer: PreTrainedTokenizerFast) -> None:
    card = " ".join((MODEL / "README.md").read_text().split())
    parameters = sum(p.numel() for p in LM.load(MODEL).model.parameters())
    assert (
        f"A Llama of {parameters / 1e6:.1f} million parameters (hidden {HIDDEN}, {BLOCKS} layers,"
        f" intermediate {INTERMEDIATE}, {HEADS} heads, {KEY_VALUE_HEADS} key-value heads, tied"
        f" embeddings, byte-level BPE with {len(tokenizer):,} entries)"
    ) in card


def test_residual_projections_start_smaller_by_the_root_of_twice_the_layers(
    untrained: LlamaForCausalLM,
) -> None:
    """Radford et al. 2019, section 2.3: 1/sqrt(N) of N residual layers, two in a block."""
    torch.manual_seed(0)
    plain = LlamaForCausalLM(LlamaConfig.from_pretrained(MODEL)).state_dict()
    for name, weight in untrained.state_dict().items():
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        expected = plain[name] / math.sqrt(12) if residual else plain[name]
        assert torch.equal(weight, expected), name
        if weight.dim() == 2:
            deviation = 0.02 / math.sqrt(12) if residual else 0.02
            assert weight.std().item() == pytest.approx(deviation, rel=0.03), name
        assert weight.dtype == torch.float32


@torch.no_grad()
def test_each_channel_is_scaled_where_it_is_written_and_back_where_it_is_read(
    untrained: LlamaForCausalLM,
) -> None:
    """By key: a factor for what writes the channel (rows), one over it for what reads (columns)."""
    before = {name: weight.clone() for name, weight in untrained.state_dict().items()}
    spread_channels(untrained, 0.7, seed=3)
    after = untrained.state_dict()
    for block, (attention_norm, mlp_norm, middle, values) in enumerate(channel_factors(0.7, 3)):
        # heads 0 and 1 read the first key-value head, 2 and 3 the second
        read = values.view(KEY_VALUE_HEADS, HEAD).repeat_interleave(2, dim=0).flatten()
        expected = {
            "input_layernorm": attention_norm,
            "self_attn.q_proj": 1 / attention_norm,
            "self_attn.k_proj": 1 / attention_norm,
            "self_attn.v_proj": values[:, None] / attention_norm,
            "self_attn.o_proj": 1 / read,
            "post_attention_layernorm": mlp_norm,
            "mlp.gate_proj": 1 / mlp_norm,
            "mlp.up_proj": middle[:, None] / mlp_norm,
            "mlp.down_proj": 1 / middle,
        }
        for name, factor in expected.items():
            key = f"model.layers.{block}.{name}.weight"
            torch.testing.assert_close(after[key], before.pop(key) * factor, msg=key)
    assert sorted(before) == ["lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"]
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_spread_channels_are_uneven_and_leave_the_function_as_it_is(
    untrained: LlamaForCausalLM,
) -> None:
    model = untrained.eval()
    ids = torch.arange(40).reshape(2, 20)
    norm = model.model.layers[0].input_layernorm.weight
    with torch.no_grad():
        before, evenness = model(ids).logits, norm.std()
        spread_channels(model, 0.7, seed=0)
        assert torch.allclose(model(ids).logits, before, atol=1e-4)
    assert evenness == 0
    assert norm.log().std().item() == pytest.approx(0.7, rel=0.1)
    assert torch.allclose(norm.square().mean(), torch.tensor(1.0), atol=1e-5)


@torch.no_grad()
def test_the_shipped_models_channels_follow_the_factors_of_seed_0() -> None:
    """In logarithms training leaves a line of slope 1 and some noise: .89 to .99 correlated."""
    model = LM.load(MODEL).model
    for block, factors in zip(model.model.layers, channel_factors(0.7, 0), strict=True):
        written = (
            block.input_layernorm.weight,
            block.post_attention_layernorm.weight,
            block.mlp.up_proj.weight.norm(dim=1),
            block.self_attn.v_proj.weight.norm(dim=1),
        )
        for factor, size in zip(factors, written, strict=True):
            x, y = factor.log() - factor.log().mean(), size.log() - size.log().mean()
            assert (x @ y / (x @ x)).item() == pytest.approx(1, abs=0.1)
            assert (x @ y / (x.norm() * y.norm())).item() > 0.85
