"""What a run will do, checked in full before any weight is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH
from transformers import PreTrainedModel

from interventions.anatomy import check_anatomy, context_length
from interventions.composition import Composition, digest
from interventions.data.base import Data
from interventions.data.paper import paper
from interventions.data.testbed import testbed
from interventions.errors import LONGEST_PATH, InvalidInput, one_of, plain_text, shown, whole_number
from interventions.files import file_digest
from interventions.lm import skeleton
from interventions.model_files import downloaded_commit, own_code
from interventions.options import PRESET, PROFILES, RECOMPRESS, SPLITS, Split
from tracking import schema
from tracking.model_name import model_source
from tracking.settings import (
    CHECKPOINTS,
    DATA,
    DEVICES,
    PAPER,
    SEED_LIMIT,
    Settings,
    check_window,
    yes_or_no,
)
from tracking.settings import DTYPES as DTYPE_NAMES

_MOST_EDIT_BATCHES = 1_000_000  # the data say how many there are


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
        settings: the settings as they came out: device and dtype are no longer "auto", recompress
            is no longer "preset", and window is what is scored together.
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

    def sources(self) -> dict[str, str]:
        """Return the params that say what was read where there is a choice of files."""
        names = {"", *(step.name for step in self.composition)}
        return {
            f"{part}{schema.FROM}": source
            for part, source in self.data.sources
            if part.rpartition(".")[0] in names
        }


class RunContext:
    """What all compositions under the same settings share; each part is made when first needed.

    Args:
        settings: as a user gave them.
        remote: whether the runs are on another machine, so that this one need not have the device.

    Attributes:
        requested: the settings as given.
        settings: with device, dtype and recompress as they come out.
        source: the model's folder, or its Hugging Face id.

    Raises:
        InvalidInput: a setting is not valid.
    """

    def __init__(self, settings: Settings, remote: bool = False) -> None:
        one_of("data", settings.data, DATA)
        one_of("split", settings.split, SPLITS)
        one_of("recompress", settings.recompress, RECOMPRESS)
        check_window(settings.window)
        one_of("checkpoints", settings.checkpoints, CHECKPOINTS)
        whole_number("seed", settings.seed, 0, SEED_LIMIT)
        whole_number("edit_batch", settings.edit_batch, 0, _MOST_EDIT_BATCHES)
        plain_text("model", settings.model, LONGEST_PATH)
        yes_or_no("trust_remote_code", settings.trust_remote_code)
        yes_or_no("allow_pickle", settings.allow_pickle)
        self.requested, self._remote = settings, remote
        device, dtype = _device_and_dtype(settings, remote)
        recompress = "auto" if settings.recompress == PRESET else settings.recompress
        self.settings = replace(settings, device=device, dtype=dtype, recompress=recompress)
        self.source = model_source(settings.model)

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
        return skeleton(
            self.source,
            trust_remote_code=self.settings.trust_remote_code,
            allow_pickle=self.settings.allow_pickle,
        )

    @cached_property
    def weights(self) -> str:
        """The identity of the model's weights."""
        code = own_code(self.source) if self.settings.trust_remote_code else []
        return _weights_identity(self.source, self.anatomy.config, bool(code))

    @cached_property
    def data(self) -> Data:
        """What the steps learn from and what judges them."""
        make_data = paper if self.settings.data == PAPER else testbed
        split = cast(Split, self.settings.split)  # checked above
        data = make_data(self.settings.edit_batch, split)
        window = self.settings.window
        return replace(data, window=window) if window else data

    @property
    def window(self) -> int:
        """How many tokens perplexity scores together: the data's, or as many as the model reads."""
        return min(self.data.window, context_length(self.anatomy) or self.data.window)

    @property
    def origin(self) -> str:
        """The identity of the base model in a run: weights, dtype, seed."""
        return digest("origin", self.weights, self.settings.dtype, self.settings.seed)

    def plan(self, steps: Composition, recorded: bool = False) -> Plan:
        """Return the checked plan of a composition.

        Args:
            steps: the composition.
            recorded: whether a run did it before; then it took as many texts as there were.

        Raises:
            InvalidInput: a step does not fit the model, or its weights are not all known: every
                run measures their sparsity and bits.
        """
        _check_length(steps.spec(self.settings.data))
        check_anatomy(self.anatomy)
        for step in steps:
            step.check(self.anatomy)
            if not recorded:
                step.check_texts(self.data.seen_by(step.name))
        return Plan(
            composition=steps,
            requested=self.requested,
            settings=replace(self.settings, window=self.window),
            source=self.source,
            data=self.data,
            origin=self.origin,
            keys=steps.keys(self.origin, self.data),
        )


def plan_run(composition: Composition | str, settings: Settings, recorded: bool = False) -> Plan:
    """Check everything about a run; the model's config is read, not its weights.

    Args:
        composition: ``"lora | wanda(sparsity=0.25)"``, or a Composition.
        settings: as a user gave them.
        recorded: whether a run did it before.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.

    Example:
        >>> plan_run("wanda", Settings(seed=1)).spec()
        'wanda(sparsity=0.5)'
    """
    context = RunContext(settings)
    if isinstance(composition, str):
        composition = Composition.parse(composition, settings.data)
    return context.plan(composition, recorded)


def _check_length(spec: str) -> None:
    """Refuse a composition that MLflow would cut: its runs could not be told apart."""
    if len(spec) > MAX_PARAM_VAL_LENGTH:
        raise InvalidInput(
            f"a composition may have {MAX_PARAM_VAL_LENGTH} characters, as MLflow's params,"
            f" but got {len(spec)}: {shown(spec, 100)}"
        )


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


def _weights_identity(source: str, config: Any, with_code: bool = False) -> str:
    """Return what tells a model's weights from others.

    Args:
        source: the model's folder, or its Hugging Face id.
        config: the model's.
        with_code: whether code of the model's own is run: it belongs to the model then. It is the
            only reason for a key to depend on ``trust_remote_code``.
    """
    folder = Path(source)
    if not folder.is_dir():
        # transformers 5 no longer says it on a config
        commit = getattr(config, "_commit_hash", None) or downloaded_commit(source)
        identity = f"{source}@{commit}"
        return f"{identity} with its code" if with_code else identity
    suffixes = (".safetensors", ".bin", ".json")
    paths = [path for path in folder.iterdir() if path.suffix in suffixes and path.is_file()]
    if with_code:
        paths += folder.rglob("*.py")
    return file_digest(paths)
