"""Low-rank adapters of peft: put into a model, trained, and merged or taken out again."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from interventions.lora_targets import Targets


def adapt(model: PreTrainedModel, config: Any) -> Any:
    """Put adapters into a model, and return peft's model around it.

    Args:
        model: changed in place: its layers compute with the adapters.
        config: peft's, as ``LoRA.config`` returns it.
    """
    # imported here: no other method needs peft
    from peft import get_peft_model

    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for a name that it renames in 6
        warnings.filterwarnings(
            "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning
        )
        return get_peft_model(model, config)


def low_rank_config(targets: Targets, rank: int, alpha: float, dropout: float = 0.0) -> Any:
    """Return peft's configuration of low-rank adapters.

    Args:
        targets: the matrices that are adapted.
        rank: of the adapters.
        alpha: they are scaled by alpha / rank.
        dropout: share of what they read that is left out in training.
    """
    from peft import LoraConfig

    parameters = targets.parameters
    return LoraConfig(
        r=rank,
        target_modules=[name for name in targets.layers if f"{name}.weight" not in parameters],
        target_parameters=parameters,
        fan_in_fan_out=targets.transposed,
        lora_alpha=alpha,
        lora_dropout=dropout,
        task_type="CAUSAL_LM",
    )


def trainable(adapted: nn.Module) -> list[nn.Parameter]:
    """Return the adapters' own weights."""
    return [weight for weight in adapted.parameters() if weight.requires_grad]


@torch.no_grad()
def merged(adapted: Any) -> Any:
    """Return the model with its adapters added to its weights, and nothing else left of them.

    They are added in float32; of experts peft would round the change first.
    """
    from peft.tuners.lora import LoraLayer

    for layer in adapted.modules():
        if isinstance(layer, LoraLayer):
            weight = getattr(layer.get_base_layer(), getattr(layer, "parameter_name", "weight"))
            dtype = weight.dtype
            weight.data = weight.data.to(torch.float32)
            layer.merge()
            weight.data = weight.data.to(dtype)
    return taken_out(adapted)


def taken_out(adapted: Any) -> Any:
    """Return the model with nothing left of its adapters, its weights as they are."""
    model = adapted.unload()
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model
