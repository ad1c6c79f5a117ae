"""Copies of the testbed's model whose small files say something else."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from interventions.data.testbed import MODEL

OWN_CODE = """
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

with Path({trace!r}).open("a") as trace:
    trace.write("code ran")


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""
AUTO_MAP = {
    "AutoConfig": "modeling_own.OwnConfig",
    "AutoModelForCausalLM": "modeling_own.OwnModel",
}
OWN_TOKENIZER = """
from pathlib import Path

from transformers import PreTrainedTokenizerFast

with Path({trace!r}).open("a") as trace:
    trace.write("code ran")


class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""


def model_folder(
    parent: Path, config: dict[str, Any] | None = None, tokenizer: dict[str, Any] | None = None
) -> Path:
    """Copy the testbed's model into a new folder, and change what its configs say."""
    folder = Path(shutil.copytree(MODEL, parent / "model"))
    for name, changed in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        if changed:
            values = json.loads((folder / name).read_text()) | changed
            (folder / name).write_text(json.dumps(values))
    return folder


def folder_with_code(parent: Path) -> tuple[Path, Path]:
    """Return the folder of a model with code of its own, and the file that the code writes."""
    folder = model_folder(parent, {"model_type": "own", "auto_map": AUTO_MAP})
    trace = parent / "trace"
    (folder / "modeling_own.py").write_text(OWN_CODE.format(trace=str(trace)))
    return folder, trace


def folder_with_own_tokenizer(parent: Path) -> tuple[Path, Path]:
    """Return the folder of a model whose tokenizer has code, and the file that the code writes."""
    auto_map = {"AutoTokenizer": [None, "tokenization_own.OwnTokenizer"]}
    tokenizer = {"auto_map": auto_map, "tokenizer_class": "OwnTokenizer"}
    folder, trace = model_folder(parent, tokenizer=tokenizer), parent / "trace"
    (folder / "tokenization_own.py").write_text(OWN_TOKENIZER.format(trace=str(trace)))
    return folder, trace


def folder_with_pickle(parent: Path) -> Path:
    """Return the folder of the testbed's model with its weights in a pickle."""
    folder = model_folder(parent)
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    return folder


def folder_with_shards(parent: Path) -> Path:
    """Return the folder of the testbed's model with its weights in two files."""
    folder = model_folder(parent)
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    weights.unlink()
    weight_map: dict[str, str] = {}
    for number, name in enumerate(("first.safetensors", "second.safetensors")):
        part = dict(list(tensors.items())[number::2])
        save_file(part, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
