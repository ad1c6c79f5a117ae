"""References and models for the compression methods: float64, plain loops.

Sources, by the names used below:
  SparseGPT: Frantar and Alistarh, "SparseGPT", ICML 2023 (arXiv 2301.00774v3), algorithm 1,
  equation 3, section 3.4.
  GPTQ: Frantar et al., "GPTQ", ICLR 2023 (arXiv 2210.17323v2), equations 2 and 3, section 4.
"""

import functools

import torch
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedTokenizerBase,
)

from interventions.composition import seeded
from interventions.compression.calibration import Inputs
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.lm import LM

KEY = "0f1e2d3c4b5a6978" * 2


PATTERNS = {"2:4": (2, 4), "4:8": (4, 8)}


Layers = dict[str, tuple[Tensor, Inputs]]


def random_layer(rows: int, inputs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return weights (rows, inputs), float32, and X'X / n of correlated inputs of uneven size."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=generator) / inputs**0.5 + torch.eye(inputs)
    size = torch.rand(inputs, generator=generator) * 2 + 0.1
    x = torch.randn(3 * inputs, inputs, generator=generator) @ mixing * size
    return torch.randn(rows, inputs, generator=generator), x.T @ x / len(x)


def damped(gram: Tensor, share: float = 0.01) -> Tensor:
    """Return H + lambda I, lambda a share of the mean diagonal.

    SparseGPT, section 3.4; GPTQ, section 3.3.
    """
    hessian = gram.double()
    return hessian + share * hessian.diagonal().mean() * torch.eye(
        len(hessian), dtype=torch.float64
    )


def squared_error(change: Tensor, gram: Tensor) -> float:
    """Return the mean over tokens of ||change x||^2."""
    return float(torch.trace(change.double() @ gram.double() @ change.double().T))


def distance(result: Tensor, reference: Tensor) -> float:
    """Return ||result - reference|| / ||reference||, Frobenius."""
    return float((result.double() - reference.double()).norm() / reference.double().norm())


@functools.cache
def tokenizer() -> PreTrainedTokenizerBase:
    return LM.load(MODEL).tokenizer


SIZES = {
    "vocab_size": 2560,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 2,
}


def random_lm(config: object) -> LM:
    """Return a model of random weights, as large and uneven as those of a trained one."""
    with seeded(KEY):
        model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
            else:
                parameter.mul_(4)
    return LM(model, tokenizer())


def tiny_lm(hidden: int, intermediate: int) -> LM:
    sizes = {**SIZES, "hidden_size": hidden, "num_hidden_layers": 1, "num_attention_heads": 2}
    return random_lm(
        LlamaConfig(**sizes, intermediate_size=intermediate, num_key_value_heads=1, head_dim=8)
    )


shapes = st.tuples(st.sampled_from([8, 24, 48]), st.sampled_from([16, 40, 136]))


@torch.no_grad()
def logits(lm: LM, data: Data) -> Tensor:
    """Return the logits of one unpadded text."""
    text_logits: Tensor = lm.model(**lm.encode(data.test_text[:1]), use_cache=False).logits
    return text_logits


def spread(w: Tensor, hessian: Tensor, j: int, final: Tensor) -> None:
    """Settle column j in place; all later ones absorb the error (Optimal Brain Surgeon).

    The inverse of the Hessian of the remaining columns is computed anew for every column.
    """
    inverse = torch.linalg.inv(hessian[j:, j:])
    w[:, j:] -= torch.outer(w[:, j] - final, inverse[0]) / inverse[0, 0]
    w[:, j] = final


def with_unseen_inputs(inputs: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return weights (16, inputs), Hessian, and a mask of inputs, a fifth, that are always 0."""
    weight, gram = random_layer(16, inputs, seed)
    dead = torch.arange(inputs) % 5 == 0
    return weight, gram.masked_fill(dead | dead[:, None], 0), dead


def range_grid(weight: Tensor, bits: int, group: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Return (scale, zero), each (out, in), of a grid over each group's range and 0.

    GPTQ, section 4: min and max.
    """
    scale, zero = (
        torch.empty_like(weight, dtype=torch.float64),
        torch.empty_like(weight, dtype=torch.float64),
    )
    for i in range(weight.shape[0]):
        for start in range(0, weight.shape[1], group):
            values = [float(v) for v in weight[i, start : start + group]]
            low, high = min(0.0, *values), max(0.0, *values)
            if symmetric:
                low, high = -max(-low, high), max(-low, high)
            step = (high - low) / (2**bits - 1) or 1.0
            scale[i, start : start + group] = step
            zero[i, start : start + group] = 2 ** (bits - 1) if symmetric else round(-low / step)
    return scale, zero


def to_nearest(weight: Tensor, scale: Tensor, zero: Tensor, bits: int) -> Tensor:
    integers = ((weight.double() / scale).round() + zero).clamp(0, 2**bits - 1)
    return scale * (integers - zero)


def greatest_made_positive(weight: Tensor, group: int) -> Tensor:
    """Return the weights with the greatest |w| of each group made positive.

    A symmetric grid has a tie at -max |w|, which rounding may break either way.
    """
    grouped = weight.unflatten(1, (-1, group))
    greatest = grouped.abs() == grouped.abs().amax(-1, keepdim=True)
    return torch.where(greatest, grouped.abs(), grouped).flatten(1)


def distinct_per_group(weight: Tensor, group: int) -> int:
    return max(
        len(set(values.tolist())) for values in weight.unflatten(1, (-1, group)).flatten(0, 1)
    )
