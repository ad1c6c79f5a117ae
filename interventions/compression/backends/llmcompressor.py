"""Wanda, SparseGPT, GPTQ and AWQ by llm-compressor 0.14."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from interventions.anatomy import block_linears, blocks
from interventions.compression.backends.installed import require
from interventions.compression.backends.transfer import bring_back, saved_copy, token_ids
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid


@torch.no_grad()
def compress(
    lm: LM,
    texts: Sequence[str],
    *,
    method: Literal["wanda", "sparsegpt", "gptq", "awq"],
    **settings: Any,
) -> LM:
    """Prune or quantize by llm-compressor, in place.

    Args:
        lm: the model, changed in place.
        texts: what to calibrate on.
        method: one of its four methods.
        settings: ``sparsity`` and ``pattern`` ("2:4") for Wanda and SparseGPT (and ``damp`` for
            SparseGPT); ``bits``, ``group`` and ``symmetric`` for GPTQ and AWQ (and ``damp`` and
            ``act_order`` for GPTQ).

    Source: github.com/vllm-project/llm-compressor.

    Raises:
        InvalidInput: it is not installed.
    """
    require("llmcompressor")
    os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "ERROR")
    with saved_copy(lm) as folder, _no_pinning():
        from llmcompressor import oneshot

        peer = LM.load(folder, dtype=str(lm.model.dtype).removeprefix("torch."))
        rows = [{"input_ids": torch.tensor([ids])} for ids in token_ids(lm, texts)]
        oneshot(
            model=peer.model,
            processor=peer.tokenizer,
            # the type says Dataset, but a list is one too: it has items and a length
            dataset=DataLoader(rows, batch_size=None),  # type: ignore[arg-type]
            recipe=_recipe(peer.model, method, settings),
            clear_sparse_session=True,
        )
    weights = dict(blocks(peer.model).named_parameters())
    if "bits" not in settings:
        return bring_back(lm, weights, {})
    return bring_back(lm, weights, signed_grids(lm.model, weights, settings["bits"]))


def signed_grids(
    model: nn.Module, weights: Mapping[str, Tensor], bits: int
) -> dict[str, QuantizationGrid]:
    """Return the grids by layer, with the zero points of unsigned integers; its own are signed.

    Args:
        model: ours: to the blocks of its own it has added parameters that are no weights.
        weights: by name in the list of blocks, its scales and zero points among them.
        bits: of its integers.
    """
    middle = 2 ** (bits - 1)
    grids = {}
    for name, linear in block_linears(model).items():
        scale = weights[f"{name}.weight_scale"].float()
        zero = weights.get(f"{name}.weight_zero_point", torch.zeros_like(scale)).float() + middle
        grids[name] = QuantizationGrid(bits, linear.in_features // scale.shape[1], scale, zero)
    return grids


def _recipe(model: nn.Module, method: str, settings: Mapping[str, Any]) -> list[Any]:
    """Return its modifiers for one method, with every linear layer outside the blocks ignored."""
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    inside = {matrix.module for matrix in block_linears(model).values()}
    outside = [
        name for name, m in model.named_modules() if isinstance(m, nn.Linear) and m not in inside
    ]
    # patterns: its pruning ignores plain names without a word
    ignore = [f"re:{re.escape(name)}" for name in outside]
    if method in ("wanda", "sparsegpt"):
        pattern = settings.get("pattern", "unstructured")
        pruning = {
            "sparsity": settings["sparsity"],
            "mask_structure": "0:0" if pattern == "unstructured" else pattern,
            "ignore": ignore,
        }
        if method == "wanda":
            return [WandaPruningModifier(**pruning)]
        return [SparseGPTModifier(dampening_frac=settings.get("damp", 0.01), **pruning)]
    grid = {"num_bits": settings["bits"], "type": "int", "symmetric": settings["symmetric"]}
    if settings["group"] == -1:
        grid |= {"strategy": "channel"}
    else:
        grid |= {"strategy": "group", "group_size": settings["group"]}
    groups = {"group_0": {"targets": ["Linear"], "weights": grid}}
    if method == "awq":
        return [AWQModifier(), QuantizationModifier(config_groups=groups, ignore=ignore)]
    order = "static" if settings.get("act_order", True) else None
    damp = settings.get("damp", 0.01)
    return [GPTQModifier(config_groups=groups, ignore=ignore, actorder=order, dampening_frac=damp)]


def _no_pinning() -> contextlib.AbstractContextManager[Any]:
    """Make ``pin_memory``, which its AWQ calls, do nothing: without a GPU it raises."""
    if torch.cuda.is_available():
        return contextlib.nullcontext()
    return mock.patch.object(Tensor, "pin_memory", lambda tensor, *args: tensor)
