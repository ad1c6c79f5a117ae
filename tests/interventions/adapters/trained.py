"""Adapters on small models, made by peft, as a user's own are."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from interventions.adapters.config import CONFIG
from interventions.adapters.files import WEIGHTS
from tests.anatomies.zoo import build

TARGETS = {"llama": ["q_proj", "down_proj"], "gpt2": ["c_attn", "c_proj"]}


def adapter(family: str, folder: Path, config: Any = None, **settings: Any) -> tuple[Path, Path]:
    """Write a model and an adapter of it with random factors; return both folders."""
    model_folder = build(family, folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    if config is None:
        values = {"r": 3, "lora_alpha": 6, "target_modules": TARGETS[family], **settings}
        config = LoraConfig(
            task_type="CAUSAL_LM", fan_in_fan_out=family == "gpt2", init_lora_weights=True, **values
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of embeddings that peft keeps, or would
        adapted = get_peft_model(model, config)
        torch.manual_seed(1)
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.2)
        out = folder / f"{family}-adapter"
        adapted.save_pretrained(str(out), save_embedding_layers=False)
    return model_folder, out


def merged_by_peft(model_folder: Path, adapter_folder: Path) -> dict[str, Tensor]:
    """Return all weights of the model with the adapter, by peft alone, in float32."""
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    merged: Any = PeftModel.from_pretrained(model, str(adapter_folder)).merge_and_unload()
    return dict(merged.state_dict())


def change_config(folder: Path, **values: Any) -> None:
    """Change what adapter_config.json says."""
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_factors(folder: Path, **renamed: Any) -> None:
    """Replace the first factors, by "A" or "B", with other tensors."""
    tensors = load_file(folder / WEIGHTS)
    for factor, tensor in renamed.items():
        name = next(name for name in sorted(tensors) if name.endswith(f"lora_{factor}.weight"))
        tensors[name] = tensor
    save_file(tensors, folder / WEIGHTS)
