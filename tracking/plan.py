"""What a run will do, checked in full before any weight is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from interventions.composition import Composition, Recompress, digest
from interventions.data.base import Data
from interventions.data.paper import paper
from interventions.data.testbed import MODEL, testbed
from interventions.lm import DTYPES, file_digest, skeleton
from interventions.registry import InvalidInput

TESTBED, PAPER = "testbed", "paper"
KEEP = ("all", "last", "none")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Settings:
    """Everything but the composition; the command line's options, with their defaults."""

    model: str = TESTBED
    data: str = TESTBED
    seed: int = 0
    edit_batch: int = 0
    recompress: str = "auto"
    checkpoints: str = "all"
    device: str = "auto"
    dtype: str = "auto"


@dataclass(frozen=True)
class Plan:
    """A checked run: settings as asked and as resolved, data made, one key per checkpoint (the base model's first)."""

    composition: Composition
    asked: Settings
    settings: Settings
    source: str
    data: Data
    origin: str
    keys: list[str]

    def spec(self) -> str:
        """The composition on this plan's profile."""
        return self.composition.spec(self.settings.data)


def prepare(composition: Composition | str, settings: Settings) -> Plan:
    """Check everything; reads the model's config, not its weights.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.
    """
    _choice("data", settings.data, (TESTBED, PAPER))
    _choice("recompress", settings.recompress, get_args(Recompress))
    _choice("checkpoints", settings.checkpoints, KEEP)
    if settings.seed < 0:
        raise InvalidInput(f"seed must be at least 0, but got {settings.seed}")
    steps = Composition.parse(composition, settings.data) if isinstance(composition, str) else composition
    device, dtype = _device_and_dtype(settings)
    source = _source(settings.model)
    anatomy = skeleton(source)
    for step in steps:
        step.check(anatomy)
    data = paper(settings.edit_batch) if settings.data == PAPER else testbed(settings.edit_batch)
    weights = _weights_identity(source, anatomy.config)
    origin = digest("origin", weights, dtype, settings.seed)
    resolved = Settings(**{**settings.__dict__, "device": device, "dtype": dtype})
    return Plan(steps, settings, resolved, source, data, origin, steps.keys(origin, data))


def _choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise InvalidInput(f"{name} must be {' or '.join(valid)}, but got {value!r}")


def _device_and_dtype(settings: Settings) -> tuple[str, str]:
    _choice("device", settings.device, DEVICES)
    _choice("dtype", settings.dtype, ("auto", *DTYPES))
    have = torch.cuda.is_available()
    if settings.device == "cuda" and not have:
        raise InvalidInput("device is cuda, but torch sees no GPU here; use device=cpu or device=auto")
    device = "cuda" if have and settings.device != "cpu" else "cpu"
    automatic = "bfloat16" if device == "cuda" else "float32"  # bfloat16 on a CPU is emulated
    return device, automatic if settings.dtype == "auto" else settings.dtype


def _source(model: str) -> str:
    if model == TESTBED:
        return str(MODEL)
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model) or model.startswith("."):
        raise InvalidInput(f"model {model!r} is not a folder, and no Hugging Face id (owner/name); or use 'testbed'")
    return model


def _weights_identity(source: str, config: Any) -> str:
    folder = Path(source)
    if folder.is_dir():
        return file_digest(p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".json"))
    return f"{source}@{getattr(config, '_commit_hash', None)}"
