"""GPTQ by GPTQModel 7.6."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from interventions.anatomy import blocks
from interventions.compression.backends.installed import require
from interventions.compression.backends.transfer import bring_back, saved_copy, token_ids
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid, ordered_groups

_GROUPS = (-1, 16, 32, 64, 128, 256, 512, 1024)  # its TorchLinear.SUPPORTS_GROUP_SIZE
_BATCH = 32  # texts at once; GPTQModel leaves their padding out, the other backends would not


@torch.no_grad()
def gptq(
    lm: LM,
    texts: Sequence[str],
    *,
    bits: int,
    group: int,
    symmetric: bool,
    act_order: bool,
    static_groups: bool,
    true_sequential: bool,
    damp: float,
) -> LM:
    """Quantize by GPTQModel, in place; scales are those it finds, before it rounds to float16.

    Args:
        lm: the model, changed in place.
        texts: what to calibrate on.
        bits: width of the integers.
        group: inputs that share a scale; -1 means the whole row.
        symmetric: whether the grid is symmetric about 0.
        act_order: its ``desc_act``.
        static_groups: whether a group is of consecutive inputs, whatever the order.
        true_sequential: whether a block's layers are quantized in the order of computation.
        damp: share of the Hessian's mean diagonal added to it.

    Source: github.com/ModelCloud/GPTQModel.

    Raises:
        InvalidInput: it is not installed, or does not know the group size.
    """
    require("gptqmodel")
    if group not in _GROUPS:
        known = ", ".join(map(str, _GROUPS))
        raise InvalidInput(
            f"backend='gptqmodel' knows groups of {known} inputs, but got {group};"
            " use backend='own'"
        )
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(torch.get_num_threads()))
    weights: dict[str, Tensor] = {}
    grids: dict[str, QuantizationGrid] = {}

    def keep(
        name: str,
        layers: dict[str, nn.Linear],
        q_scales: Tensor,
        q_zeros: Tensor,
        q_g_idx: Tensor,
        **rest: Any,
    ) -> None:
        inner = name.removeprefix(f"{prefix}.")
        weights[f"{inner}.weight"] = layers[name].weight.detach().float()  # (out, in)
        size = layers[name].in_features // q_scales.shape[1]
        grids[inner] = QuantizationGrid(
            bits,
            size,
            q_scales.float(),
            q_zeros.float(),
            input_groups=ordered_groups(q_g_idx, size),
        )

    # it prints a banner, and a line per layer
    with contextlib.redirect_stdout(io.StringIO()), saved_copy(lm) as folder:
        from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
        from gptqmodel.looper import gptq_processor, loop_processor

        config = QuantizeConfig(
            bits=bits,
            group_size=group,
            sym=symmetric,
            desc_act=act_order,
            static_groups=static_groups,
            true_sequential=true_sequential,
            act_group_aware=False,
            damp_percent=damp,
            device="cpu",
            offload_to_disk=False,
        )
        peer = GPTQModel.load(str(folder), config, dtype=lm.model.dtype, trust_remote_code=False)
        prefix = next(
            name for name, module in peer.model.named_modules() if module is blocks(peer.model)
        )
        # 7.6 does not hand on quantize(calibration_data_min_length=…) and drops texts of up to
        # 10 tokens
        peer.prepare_dataset = functools.partial(
            peer.prepare_dataset, calibration_data_min_length=0
        )
        rows = [{"input_ids": ids} for ids in token_ids(lm, texts)]
        with (
            # packing is for GPUs, and takes longer than GPTQ
            mock.patch.object(gptq_processor, "pack_module", keep),
            # else it writes ./logs
            mock.patch.object(loop_processor, "_PROJECT_LOG_DIR", folder),
        ):
            peer.quantize(rows, batch_size=_BATCH, backend=BACKEND.GPTQ_TORCH)
    return bring_back(lm, weights, grids)
