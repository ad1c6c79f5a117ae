"""What a run will do, checked in full before any weight is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

import torch
from transformers import PreTrainedModel

from interventions.composition import Composition, digest
from interventions.data.base import Data
from interventions.data.paper import paper
from interventions.data.testbed import MODEL, testbed
from interventions.errors import InvalidInput, one_of
from interventions.files import file_digest
from interventions.lm import skeleton
from interventions.options import PROFILES, SPLITS, Recompress, Split
from tracking.settings import CHECKPOINTS, DATA, DEVICES, PAPER, SEED_LIMIT, TESTBED, Settings
from tracking.settings import DTYPES as DTYPE_NAMES


def defaults_profile(data: str) -> str:
    """Return whose defaults steps have on some data: "testbed" or "paper".

    An unknown name of data gets the first; it is refused later, with the settings.
    """
    return data if data in PROFILES else PROFILES[0]


@dataclass(frozen=True)
class Plan:
    """A checked run.

    Attributes:
        composition: what is applied.
        requested: the settings as a user gave them.
        settings: the settings as they came out: device and dtype are no longer "auto".
        source: the model's folder, or its Hugging Face id.
        data: what the steps learn from and what judges them.
        origin: the identity of the base model in this run.
        keys: one per checkpoint, the base model's first.
    """

    composition: Composition
    requested: Settings
    settings: Settings
    source: str
    data: Data
    origin: str
    keys: list[str]

    def spec(self) -> str:
        """Return the composition as text, on this plan's profile."""
        return self.composition.spec(self.settings.data)


class RunContext:
    """What all compositions under the same settings share; each part is made when first needed.

    Args:
        settings: as a user gave them.
        remote: whether the runs are on another machine, so that this one need not have the device.

    Attributes:
        requested: the settings as given.
        settings: with device and dtype as they come out.
        source: the model's folder, or its Hugging Face id.

    Raises:
        InvalidInput: a setting is not valid.
    """

    def __init__(self, settings: Settings, remote: bool = False) -> None:
        one_of("data", settings.data, DATA)
        one_of("split", settings.split, SPLITS)
        one_of("recompress", settings.recompress, get_args(Recompress))
        one_of("checkpoints", settings.checkpoints, CHECKPOINTS)
        if not 0 <= settings.seed <= SEED_LIMIT:
            raise InvalidInput(f"seed must be 0 to {SEED_LIMIT}, but got {settings.seed}")
        self.requested, self._remote = settings, remote
        device, dtype = _device_and_dtype(settings, remote)
        self.settings = replace(settings, device=device, dtype=dtype)
        self.source = _source(settings.model)

    def for_replicate(self, seed: int, edit_batch: int) -> RunContext:
        """Return the context with another seed and batch of edits; the model is not read again."""
        replicate = self._with(seed=seed, edit_batch=edit_batch)
        if edit_batch == self.requested.edit_batch:
            replicate.data = self.data
        return replicate

    def for_split(self, split: str) -> RunContext:
        """Return the context judged by another split of the data; the model is not read again."""
        return self._with(split=split)

    def _with(self, **settings: Any) -> RunContext:
        changed = RunContext(replace(self.requested, **settings), self._remote)
        changed.anatomy, changed.weights = self.anatomy, self.weights
        return changed

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
        """What the steps learn from and what judges them."""
        make_data = paper if self.settings.data == PAPER else testbed
        split = cast(Split, self.settings.split)  # checked above
        return make_data(self.settings.edit_batch, split)

    @property
    def origin(self) -> str:
        """The identity of the base model in a run: weights, dtype, seed."""
        return digest("origin", self.weights, self.settings.dtype, self.settings.seed)

    def plan(self, steps: Composition) -> Plan:
        """Return the checked plan of a composition.

        Raises:
            InvalidInput: a step does not fit the model.
        """
        for step in steps:
            step.check(self.anatomy)
        return Plan(
            composition=steps,
            requested=self.requested,
            settings=self.settings,
            source=self.source,
            data=self.data,
            origin=self.origin,
            keys=steps.keys(self.origin, self.data),
        )


def plan_run(composition: Composition | str, settings: Settings) -> Plan:
    """Check everything about a run; the model's config is read, not its weights.

    Args:
        composition: ``"lora | wanda(sparsity=0.25)"``, or a Composition.
        settings: as a user gave them.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.

    Example:
        >>> plan_run("wanda", Settings(seed=1)).spec()
        'wanda(sparsity=0.5)'
    """
    context = RunContext(settings)
    if isinstance(composition, str):
        composition = Composition.parse(composition, settings.data)
    return context.plan(composition)


def _device_and_dtype(settings: Settings, remote: bool) -> tuple[str, str]:
    one_of("device", settings.device, DEVICES)
    one_of("dtype", settings.dtype, DTYPE_NAMES)
    wants_cuda = settings.device == "cuda"
    has_cuda = torch.cuda.is_available() or (remote and wants_cuda)
    if wants_cuda and not has_cuda:
        raise InvalidInput(
            "device is cuda, but torch sees no GPU here; use device=cpu or device=auto"
        )
    device = "cuda" if has_cuda and settings.device != "cpu" else "cpu"
    if settings.dtype != "auto":
        return device, settings.dtype
    # a CPU emulates bfloat16, a hundred times slower
    return device, "bfloat16" if device == "cuda" else "float32"


def _source(model: str) -> str:
    if model == TESTBED:
        return str(MODEL)
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model) or model.startswith("."):
        raise InvalidInput(
            f"model {model!r} is not a folder, and no Hugging Face id (owner/name);"
            " or use 'testbed'"
        )
    return model


def _weights_identity(source: str, config: Any) -> str:
    folder = Path(source)
    if not folder.is_dir():
        return f"{source}@{getattr(config, '_commit_hash', None)}"
    suffixes = (".safetensors", ".bin", ".json")
    return file_digest(path for path in folder.iterdir() if path.suffix in suffixes)
