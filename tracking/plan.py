"""What a run will do, checked in full before any weight is loaded."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

import torch
from transformers import PreTrainedModel

from interventions.composition import Composition, Recompress, digest
from interventions.data.base import SPLITS, Data
from interventions.data.paper import paper
from interventions.data.testbed import MODEL, testbed
from interventions.errors import InvalidInput, one_of
from interventions.lm import file_digest, skeleton
from interventions.options import PROFILES, Split
from tracking import store
from tracking.settings import CHECKPOINTS, DATA, DEVICES, PAPER, TESTBED, Settings
from tracking.settings import DTYPES as DTYPE_NAMES


def add_settings(
    made: ArgumentParser, checkpoints: str = Settings.checkpoints, split: bool = True
) -> None:
    """The settings that every command has which runs compositions.

    Args:
        made: the command's parser.
        checkpoints: that command's default.
        split: whether it may be chosen what to judge by; a study judges by validation data.
    """
    made.add_argument(
        "--model", default=Settings.model, help="testbed, a checkpoint folder, or a Hugging Face id"
    )
    made.add_argument(
        "--data", default=Settings.data, help="what to learn from and to judge by: testbed or paper"
    )
    if split:
        made.add_argument(
            "--split", default=Settings.split, help=f"of the data to judge by: {', '.join(SPLITS)}"
        )
    made.add_argument("--recompress", default=Settings.recompress, help="auto, never or paper")
    made.add_argument(
        "--checkpoints", default=checkpoints, help=f"logged: {', '.join(CHECKPOINTS)}"
    )
    made.add_argument("--device", default=Settings.device, help=", ".join(DEVICES))
    made.add_argument("--dtype", default=Settings.dtype, help="auto, float32, bfloat16, float16")
    made.add_argument(
        "--experiment", default=store.EXPERIMENT, help="name of the MLflow experiment"
    )


def profile(data: str) -> str:
    """Whose defaults a step has; an unknown one is refused later, with the settings."""
    return data if data in PROFILES else PROFILES[0]


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


class RunContext:
    """What all compositions under the same settings stand on; each part is made when it is first asked for."""

    def __init__(self, settings: Settings, elsewhere: bool = False) -> None:
        """Check the settings; whether there is the device, only unless it is ``elsewhere``; raises InvalidInput."""
        one_of("data", settings.data, DATA)
        one_of("split", settings.split, SPLITS)
        one_of("recompress", settings.recompress, get_args(Recompress))
        one_of("checkpoints", settings.checkpoints, CHECKPOINTS)
        if not 0 <= settings.seed < 2**32:
            raise InvalidInput(f"seed must be 0 to {2**32 - 1}, but got {settings.seed}")
        self.asked, self._elsewhere = settings, elsewhere
        device, dtype = _device_and_dtype(settings, elsewhere)
        self.settings = replace(settings, device=device, dtype=dtype)
        self.source = _source(settings.model)

    def varied(self, seed: int, edit_batch: int) -> RunContext:
        """The same with another seed and batch of edits; the model's files are not read again."""
        other = RunContext(replace(self.asked, seed=seed, edit_batch=edit_batch), self._elsewhere)
        other.anatomy, other.weights = self.anatomy, self.weights
        if edit_batch == self.asked.edit_batch:
            other.data = self.data
        return other

    def on(self, split: str) -> RunContext:
        """The same, judged by another split of the data; the model's files are not read again."""
        other = RunContext(replace(self.asked, split=split), self._elsewhere)
        other.anatomy, other.weights = self.anatomy, self.weights
        return other

    @cached_property
    def anatomy(self) -> PreTrainedModel:
        """The model without its weights."""
        return skeleton(self.source)

    @cached_property
    def weights(self) -> str:
        """The identity of the model's weights."""
        return _weights_identity(self.source, self.anatomy.config)

    @cached_property
    def data(self) -> Data:
        """What is learned from and judged by."""
        make = paper if self.settings.data == PAPER else testbed
        return make(self.settings.edit_batch, cast(Split, self.settings.split))  # checked above

    @property
    def origin(self) -> str:
        """The identity of the base model in a run: weights, dtype, seed."""
        return digest("origin", self.weights, self.settings.dtype, self.settings.seed)

    def plan(self, steps: Composition) -> Plan:
        """A composition's plan; raises InvalidInput where a step does not fit the model."""
        for step in steps:
            step.check(self.anatomy)
        keys = steps.keys(self.origin, self.data)
        return Plan(steps, self.asked, self.settings, self.source, self.data, self.origin, keys)


def prepare(composition: Composition | str, settings: Settings) -> Plan:
    """Check everything; reads the model's config, not its weights.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.
    """
    ground = RunContext(settings)
    return ground.plan(
        Composition.parse(composition, settings.data)
        if isinstance(composition, str)
        else composition
    )


def _device_and_dtype(settings: Settings, elsewhere: bool) -> tuple[str, str]:
    one_of("device", settings.device, DEVICES)
    one_of("dtype", settings.dtype, DTYPE_NAMES)
    have = torch.cuda.is_available() or (elsewhere and settings.device == "cuda")
    if settings.device == "cuda" and not have:
        raise InvalidInput(
            "device is cuda, but torch sees no GPU here; use device=cpu or device=auto"
        )
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
        raise InvalidInput(
            f"model {model!r} is not a folder, and no Hugging Face id (owner/name); or use 'testbed'"
        )
    return model


def _weights_identity(source: str, config: Any) -> str:
    folder = Path(source)
    if folder.is_dir():
        return file_digest(
            p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".json")
        )
    return f"{source}@{getattr(config, '_commit_hash', None)}"
