"""Other people's code for the same methods, as backends: GPTQModel, AutoAWQ, llm-compressor; dense weights in and out.

Each works on a copy of the model, loaded from a temporary folder: packed modules, hooks and patched forward passes
stay there, and only weights and grids come back. They run on the CPU; padding does not count.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from interventions.anatomy import block_linears, blocks
from interventions.errors import InvalidInput
from interventions.lm import LM, QuantizationGrid

_MODULES = {
    "gptqmodel": "gptqmodel",
    "autoawq": "awq",
    "llmcompressor": "llmcompressor",
}  # backend -> what it imports
_GPTQMODEL_GROUPS = (-1, 16, 32, 64, 128, 256, 512, 1024)  # its TorchLinear.SUPPORTS_GROUP_SIZE
_BATCH = 32  # texts that GPTQModel takes at once; it leaves their padding out, the others would not


def require(backend: str) -> None:
    """Raise InvalidInput if the backend's package is not installed; imports nothing."""
    if importlib.util.find_spec(_MODULES[backend]) is None:
        raise InvalidInput(
            f"backend={backend!r} needs a package that is not installed:"
            f" pip install 'composable-interventions[{backend}]', or use backend='own'"
        )


@torch.no_grad()
def gptqmodel(
    lm: LM,
    texts: Sequence[str],
    *,
    bits: int,
    group: int,
    symmetric: bool,
    act_order: bool,
    damp: float,
) -> LM:
    """GPTQ by GPTQModel 7.6, in place; the scales are those it finds, which its checkpoints round to float16.

    ``act_order`` is its ``desc_act`` with ``static_groups``, so that a group is still so many consecutive inputs.

    Source: github.com/ModelCloud/GPTQModel.

    Raises:
        InvalidInput: not installed, or a group size that it does not know.
    """
    require("gptqmodel")
    if group not in _GPTQMODEL_GROUPS:
        known = ", ".join(map(str, _GPTQMODEL_GROUPS))
        raise InvalidInput(
            f"backend='gptqmodel' knows groups of {known} inputs, but got {group}; use backend='own'"
        )
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(torch.get_num_threads()))
    weights: dict[str, Tensor] = {}
    grids: dict[str, QuantizationGrid] = {}

    def keep(
        name: str, layers: dict[str, nn.Linear], q_scales: Tensor, q_zeros: Tensor, **rest: Any
    ) -> None:
        inner = name.removeprefix(f"{prefix}.")
        weights[f"{inner}.weight"] = layers[name].weight.detach().float()  # (out, in)
        size = layers[name].in_features // q_scales.shape[1]
        grids[inner] = QuantizationGrid(bits, size, q_scales.float(), q_zeros.float())

    with (
        contextlib.redirect_stdout(io.StringIO()),
        _copied(lm) as folder,
    ):  # it prints a line per layer, and a banner
        from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
        from gptqmodel.looper import gptq_processor, loop_processor

        config = QuantizeConfig(
            bits=bits,
            group_size=group,
            sym=symmetric,
            desc_act=act_order,
            static_groups=act_order,
            act_group_aware=False,
            damp_percent=damp,
            device="cpu",
            offload_to_disk=False,
        )
        peer = GPTQModel.load(str(folder), config, dtype=lm.model.dtype)
        prefix = next(
            name for name, module in peer.model.named_modules() if module is blocks(peer.model)
        )
        # 7.6 does not hand on quantize(calibration_data_min_length=…) and drops texts of up to 10 tokens
        peer.prepare_dataset = functools.partial(
            peer.prepare_dataset, calibration_data_min_length=0
        )
        rows = [{"input_ids": ids} for ids in _tokens(lm, texts)]
        with (
            mock.patch.object(
                gptq_processor, "pack_module", keep
            ),  # packing is for GPUs, and takes longer than GPTQ
            mock.patch.object(loop_processor, "_PROJECT_LOG_DIR", folder),  # else it writes ./logs
        ):
            peer.quantize(rows, batch_size=_BATCH, backend=BACKEND.GPTQ_TORCH)
    return _brought_back(lm, weights, grids)


@torch.no_grad()
def autoawq(lm: LM, texts: Sequence[str], *, bits: int, group: int) -> LM:
    """AWQ by AutoAWQ 0.2.9 (deprecated by its authors), in place: 4 bits, with a zero point.

    It calibrates on all texts as one, cut into rows as long as the longest text; no other way is open to it.

    Source: github.com/casper-hansen/AutoAWQ.

    Raises:
        InvalidInput: not installed, a width or group that it cannot do, or a model that it scales outside the weights.
    """
    require("autoawq")
    if bits != 4 or group == -1:
        raise InvalidInput(
            f"backend='autoawq' works at 4 bits in groups only, but got bits={bits}, group={group}; use backend='own'"
        )
    with (
        warnings.catch_warnings(record=True),
        _copied(lm) as folder,
    ):  # it says farewell, whatever the filters
        from awq import AutoAWQForCausalLM

        tokens = _tokens(lm, texts)
        peer = AutoAWQForCausalLM.from_pretrained(
            str(folder), torch_dtype=lm.model.dtype, device_map="cpu", trust_remote_code=False
        )
        peer.quantize(
            lm.tokenizer,
            {"zero_point": True, "q_group_size": group, "w_bit": bits, "version": "GEMM"},
            calib_data=tokens,
            quantizer_cls=_sound_quantizer(),
            export_compatible=True,  # scales and clips, and leaves the rounding to us: its packed modules need a GPU
            max_calib_samples=len(tokens),
            max_calib_seq_len=max(map(len, tokens)),  # longer texts would be dropped
        )
    weights, grids = dict(blocks(peer.model).named_parameters()), {}
    if set(weights) != {name for name, _ in blocks(lm.model).named_parameters()}:
        raise InvalidInput(
            f"backend='autoawq' adds scales to {type(lm.model).__name__} that no weight can take; use backend='own'"
        )
    for name in block_linears(lm.model):
        weight = weights[f"{name}.weight"]
        _, scale, zero = peer.quantizer.pseudo_quantize_tensor(weight)
        grids[name] = QuantizationGrid(bits, group, scale.float(), zero.float())
    return _brought_back(lm, weights, grids)


@torch.no_grad()
def llmcompressor(
    lm: LM,
    texts: Sequence[str],
    *,
    method: Literal["wanda", "sparsegpt", "gptq", "awq"],
    **settings: Any,
) -> LM:
    """Wanda, SparseGPT, GPTQ or AWQ by llm-compressor 0.14, in place.

    Args:
        lm: changed in place.
        texts: to calibrate on.
        method: whose settings are ``sparsity`` and ``pattern`` ("2:4") for the first two (and ``damp`` for SparseGPT),
            ``bits``, ``group`` and ``symmetric`` for the last two (and ``damp`` and ``act_order`` for GPTQ).
        settings: those that the method has.

    Source: github.com/vllm-project/llm-compressor.

    Raises:
        InvalidInput: not installed.
    """
    require("llmcompressor")
    os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "ERROR")
    with _copied(lm) as folder, _no_pinning():
        from llmcompressor import oneshot

        peer = LM.load(folder, dtype=str(lm.model.dtype).removeprefix("torch."))
        rows = [{"input_ids": torch.tensor([ids])} for ids in _tokens(lm, texts)]
        oneshot(
            model=peer.model,
            processor=peer.tokenizer,
            dataset=DataLoader(rows, batch_size=None),  # type: ignore[arg-type]  # a list is a map-style dataset
            recipe=_recipe(peer.model, method, settings),
            clear_sparse_session=True,
        )
    weights = dict(blocks(peer.model).named_parameters())
    if "bits" not in settings:
        return _brought_back(lm, weights, {})
    middle = 2 ** (settings["bits"] - 1)  # its integers are signed
    grids = {}
    for name, linear in block_linears(peer.model).items():
        scale = weights[f"{name}.weight_scale"].float()
        zero = weights.get(f"{name}.weight_zero_point", torch.zeros_like(scale)).float() + middle
        grids[name] = QuantizationGrid(
            settings["bits"], linear.in_features // scale.shape[1], scale, zero
        )
    return _brought_back(lm, weights, grids)


def _recipe(model: nn.Module, method: str, settings: Mapping[str, Any]) -> list[Any]:
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    inside = set(block_linears(model).values())
    outside = [
        name for name, m in model.named_modules() if isinstance(m, nn.Linear) and m not in inside
    ]
    ignore = [
        f"re:{re.escape(name)}" for name in outside
    ]  # pruning ignores plain names without a word
    if method in ("wanda", "sparsegpt"):
        pattern = settings.get("pattern", "unstructured")
        same = {
            "sparsity": settings["sparsity"],
            "mask_structure": "0:0" if pattern == "unstructured" else pattern,
            "ignore": ignore,
        }
        if method == "wanda":
            return [WandaPruningModifier(**same)]
        return [SparseGPTModifier(dampening_frac=settings.get("damp", 0.01), **same)]
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


def _sound_quantizer() -> type:
    """AutoAWQ's quantizer, whose search for scales on a CPU leaves the weights multiplied by the first it tried.

    It restores them from ``{name: tensor.cpu()}``, which on a CPU is no copy; here it gets one.
    """
    from awq.quantize.quantizer import AwqQuantizer

    class Sound(AwqQuantizer):
        def _compute_best_scale(
            self, x: Tensor, w_mean: Tensor, x_mean: Tensor, module: nn.Module, *rest: Any
        ) -> Any:
            before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
            with mock.patch.object(module, "state_dict", lambda: before):
                return super()._compute_best_scale(x, w_mean, x_mean, module, *rest)

    return Sound


@contextlib.contextmanager
def _copied(lm: LM) -> Iterator[Path]:
    """A temporary folder with the model; all three want one, if only to read its configuration."""
    with tempfile.TemporaryDirectory(prefix="composability-peer-") as folder:
        lm.save(Path(folder))
        yield Path(folder)


def _no_pinning() -> contextlib.AbstractContextManager[Any]:
    """Without a GPU, ``pin_memory`` (which llm-compressor's AWQ calls) raises: make it do nothing meanwhile."""
    if torch.cuda.is_available():
        return contextlib.nullcontext()
    return mock.patch.object(Tensor, "pin_memory", lambda tensor, *args: tensor)


def _tokens(lm: LM, texts: Sequence[str]) -> list[list[int]]:
    return [lm.tokenizer.encode(text) for text in texts]


def _brought_back(
    lm: LM, weights: Mapping[str, Tensor], grids: Mapping[str, QuantizationGrid]
) -> LM:
    """Copy a peer's weights, by their names in the list of blocks, into the model, rounded to their grids."""
    for name, parameter in blocks(lm.model).named_parameters():
        if name.removesuffix(".weight") not in grids and name in weights:
            parameter.copy_(weights[name])
    layers = block_linears(lm.model)
    for name, grid in grids.items():
        here = replace(
            grid, scale=grid.scale.to(lm.device, copy=True), zero=grid.zero.to(lm.device, copy=True)
        )
        lm.quantize(name, layers[name].weight, here, weights[f"{name}.weight"].to(lm.device))
    return lm
