"""AWQ by AutoAWQ 0.2.9, which its authors have deprecated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from interventions.anatomy import block_linears, blocks
from interventions.compression.backends.installed import require
from interventions.compression.backends.transfer import bring_back, saved_copy, token_ids
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.quantization_grid import QuantizationGrid


@torch.no_grad()
def awq(lm: LM, texts: Sequence[str], *, bits: int, group: int) -> LM:
    """Quantize by AutoAWQ, in place: at 4 bits, with a zero point.

    It calibrates on all texts as one, cut into rows as long as the longest text; it has no option
    for anything else.

    Args:
        lm: the model, changed in place.
        texts: what to calibrate on.
        bits: 4.
        group: inputs that share a scale.

    Source: github.com/casper-hansen/AutoAWQ.

    Raises:
        InvalidInput: it is not installed, cannot do such a width or group, or scales the model
            outside its weights.
    """
    require("autoawq")
    if bits != 4 or group == -1:
        raise InvalidInput(
            f"backend='autoawq' works at 4 bits in groups only, but got bits={bits}, group={group};"
            " use backend='own'"
        )
    # it warns of its end of life, whatever the filters
    with warnings.catch_warnings(record=True), saved_copy(lm) as folder:
        from awq import AutoAWQForCausalLM

        tokens = token_ids(lm, texts)
        peer = AutoAWQForCausalLM.from_pretrained(
            str(folder),
            torch_dtype=lm.model.dtype,
            device_map="cpu",
            trust_remote_code=False,
            safetensors=True,
        )
        peer.quantize(
            lm.tokenizer,
            {"zero_point": True, "q_group_size": group, "w_bit": bits, "version": "GEMM"},
            calib_data=tokens,
            quantizer_cls=_sound_quantizer(),
            # it scales and clips, and leaves the rounding to us: its packed modules need a GPU
            export_compatible=True,
            max_calib_samples=len(tokens),
            max_calib_seq_len=max(map(len, tokens)),  # longer texts would be dropped
        )
    weights = dict(blocks(peer.model).named_parameters())
    if set(weights) != {name for name, _ in blocks(lm.model).named_parameters()}:
        raise InvalidInput(
            f"backend='autoawq' adds scales to {type(lm.model).__name__} that no weight can take;"
            " use backend='own'"
        )
    grids = {}
    for name in block_linears(lm.model):
        weight = weights[f"{name}.weight"]
        _, scale, zero = peer.quantizer.pseudo_quantize_tensor(weight)
        grids[name] = QuantizationGrid(bits, group, scale.float(), zero.float())
    return bring_back(lm, weights, grids)


def _sound_quantizer() -> type:
    """Return AutoAWQ's quantizer, corrected: after its search it restores the weights.

    It restores them from ``{name: tensor.cpu()}``, which on a CPU is no copy, and so leaves them
    multiplied by the first scale that it tried; here it gets a copy.
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
